"""The download of SNLI and WikiText-2, from local servers into folders that may not take it."""

import logging
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mirrors import (
    ARCHIVE,
    CONTENT,
    FILES,
    GOOD,
    Mirror,
    assert_complete,
    download_snli,
    failure,
    fetch,
    obey_range,
    place,
    sha1,
    zipped,
)

from gluonnlp_snli_plugin.errors import DownloadError
from gluonnlp_snli_plugin.tasks import download
from gluonnlp_snli_plugin.tasks.download import WIKITEXT2_ARCHIVE

# The way it should go.


def test_three_files_arrive_and_nothing_else_stays(root):
    with Mirror() as mirror:
        fetch(root, mirror)
        assert_complete(root)
        fetch(root, mirror)
        assert mirror.ranges == [None]  # the second call had nothing to do


def test_files_have_the_permissions_of_any_new_file(root):
    with Mirror() as mirror:
        fetch(root, mirror)
    other = root / "other"
    other.touch()
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in FILES} == {stat.S_IMODE(other.stat().st_mode)}


def test_url_argument_goes_before_the_environment_variable(root, monkeypatch):
    with Mirror() as named, Mirror() as from_environment:
        monkeypatch.setenv("SNLI_URL", from_environment.url)
        fetch(root, named)
        assert (len(named.ranges), len(from_environment.ranges)) == (1, 0)


def test_environment_variable_goes_before_the_official_address(root, monkeypatch):
    with Mirror() as mirror:
        monkeypatch.setenv("SNLI_URL", mirror.url)
        download_snli(root, sha1=sha1(ARCHIVE))
        assert_complete(root)


def test_wikitext_arrives_and_a_server_is_told_who_asks(root, monkeypatch, caplog):
    files = {name: f" = {name} = \n".encode() for name in WIKITEXT2_ARCHIVE.files}
    archive = zipped([(f"wikitext-2/{name}", content) for name, content in files.items()])
    asked = []

    def refuse_python(handler):
        asked.append(handler.headers["User-Agent"])
        handler.answer(403) if "python" in asked[-1].lower() else obey_range(handler)

    with Mirror(archive, script=[refuse_python]) as mirror:
        monkeypatch.setenv("WIKITEXT2_URL", mirror.url)
        WIKITEXT2_ARCHIVE._replace(sha1=sha1(archive)).fetch(root)
    assert asked == ["gluonnlp-snli-plugin"]
    assert {name: (root / name).read_bytes() for name in files} == files
    assert sorted(os.listdir(root)) == sorted([".lock", *files])
    assert "downloading WikiText-2 (about 4 MB) from" in caplog.text


def test_each_archive_says_how_to_have_it_by_hand(root):
    with Mirror() as mirror, pytest.raises(DownloadError) as caught:
        WIKITEXT2_ARCHIVE.fetch(root, mirror.url)
    message = str(caught.value)
    assert "set WIKITEXT2_URL to a mirror of it; put wikitext-2-v1.zip (or" in message and "\n" not in message


def test_files_that_are_there_are_left_as_they_are(root):
    place(root, b"my own", "snli_1.0_dev.jsonl")
    with Mirror() as mirror:
        fetch(root, mirror)
    assert (root / "snli_1.0_dev.jsonl").read_bytes() == b"my own"
    assert (root / "snli_1.0_train.jsonl").read_bytes() == CONTENT["snli_1.0_train.jsonl"]


def test_bar_on_a_terminal(root, capsys, caplog):
    with Mirror() as mirror:
        fetch(root, mirror, progress=True)
    assert "SNLI: 100%" in capsys.readouterr().err
    assert not caplog.records


def test_one_logged_line_elsewhere(root, capsys, caplog):
    with Mirror() as mirror:
        fetch(root, mirror)
    assert "SNLI: " not in capsys.readouterr().err
    assert [(record.name, record.levelno) for record in caplog.records] == [("gluonnlp_snli_plugin", logging.WARNING)]


# Folders that cannot take it.


def test_root_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with Mirror() as mirror:
        assert "Not a directory" in failure(tmp_path / "file" / "snli", mirror.url)
        assert mirror.ranges == []


def test_disk_full_while_downloading(root):
    root.mkdir(parents=True)
    (root / "snli_1.0.zip.part").symlink_to("/dev/full")
    with Mirror() as mirror:
        message = failure(root, mirror.url)
    assert "No space left on device" in message and mirror.url in message


def test_disk_full_while_unpacking_and_then_not(root):
    large = {name: b"a" * 1_000_000 for name in FILES}
    archive = zipped([(f"snli_1.0/{name}", content) for name, content in large.items()])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Mirror(archive) as mirror:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
        try:
            assert "File too large" in failure(root, mirror.url, sha1(archive))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert sorted(os.listdir(root)) == [".lock", "snli_1.0.zip.part"]
        fetch(root, mirror)
        assert len(mirror.ranges) == 1  # the complete download is not asked for again
    assert {name: (root / name).read_bytes() for name in FILES} == large


# An archive put there by hand.


def test_archive_put_there_by_hand_is_used_and_kept(root):
    digest = place(root, ARCHIVE)
    with Mirror() as mirror:
        fetch(root, mirror, sha1=digest)
        assert mirror.ranges == []
    assert (root / "snli_1.0.zip").read_bytes() == ARCHIVE
    assert (root / "snli_1.0_test.jsonl").read_bytes() == CONTENT["snli_1.0_test.jsonl"]


def test_wrong_archive_put_there_by_hand_is_named_and_kept(root):
    place(root, b"something else")
    message = failure(root)
    assert str(root / "snli_1.0.zip") in message and sha1(b"something else") in message
    assert (root / "snli_1.0.zip").read_bytes() == b"something else"


def test_other_names_are_not_touched(root, tmp_path):
    absolute = str(tmp_path / "absolute.jsonl")
    evil = [("../evil.jsonl", b"1"), (absolute, b"2"), ("snli_1.0/../../snli_1.0_dev.jsonl", b"3"), (FILES[0], b"4")]
    with Mirror(zipped([*evil, *GOOD, ("__MACOSX/._x", b"5")])) as mirror:
        fetch(root, mirror)
    assert_complete(root)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["datasets", "snli", ".lock", *FILES])


# Two processes.


def test_two_processes_at_once_download_once(root, tmp_path, without_mxnet):
    release = threading.Event()

    def when_released(handler):
        assert release.wait(600)
        obey_range(handler)

    code = without_mxnet + (
        "import sys; from gluonnlp_snli_plugin.tasks.download import SNLI_ARCHIVE; "
        "SNLI_ARCHIVE._replace(sha1=sys.argv[3]).fetch(sys.argv[1], url=sys.argv[2])"
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(download.__file__).parents[2]))
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    with Mirror(script=[when_released]) as mirror:
        processes = []
        for log in logs:
            with open(log, "wb") as stderr:
                command = [sys.executable, "-c", code, str(root), mirror.url, sha1(ARCHIVE)]
                processes.append(subprocess.Popen(command, stderr=stderr, env=environment))
        try:
            deadline = time.monotonic() + 600
            while not any("waiting for another process" in log.read_text() for log in logs):
                assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
                time.sleep(0.02)
            release.set()
            assert [process.wait(600) for process in processes] == [0, 0]
        finally:
            release.set()
            for process in processes:
                process.kill()
                process.wait()
        assert mirror.ranges == [None]
    assert sum(log.read_text().count("waiting for another process") for log in logs) == 1
    assert_complete(root)
