"""The download of SNLI and WikiText-2, against local servers that misbehave."""

import hashlib
import io
import logging
import os
import random
import re
import resource
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.errors import DownloadError
from gluonnlp_snli_plugin.tasks import download
from gluonnlp_snli_plugin.tasks.download import SNLI_ARCHIVE, WIKITEXT2_ARCHIVE

FILES = SNLI_ARCHIVE.files
# Noise, so that packing does not make it small: the client needs several reads for it.
CONTENT = {name: bytes(random.Random(name).choices(range(256), k=150_000)) for name in FILES}


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    """Bytes of an archive with `members`, a list of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("README.txt", "not wanted")
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


GOOD = [(f"snli_1.0/{name}", content) for name, content in CONTENT.items()]
ARCHIVE = zipped(GOOD)


def sha1(content):
    return hashlib.sha1(content).hexdigest()


class Mirror(ThreadingHTTPServer):
    """A server that gives `archive`, with ranges; `script` says how it answers the first requests instead."""

    def __init__(self, archive=ARCHIVE, script=()):
        self.archive, self.script = archive, list(script)
        self.ranges = []  # the Range header of every request, or None
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/snli_1.0.zip"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        answer = self.server.script.pop(0) if self.server.script else obey_range
        answer(self)

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", declared=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if declared is None else declared))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def start_of(handler):
    return int(re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "bytes=0-")).group(1))


def obey_range(handler, at_most=None):
    whole, start = handler.server.archive, start_of(handler)
    body = whole[start:][:at_most]
    if start >= len(whole):
        handler.answer(416, Content_Range=f"bytes */{len(whole)}")
    elif start:
        content_range = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        handler.answer(206, body, declared=len(whole) - start, Content_Range=content_range)
    else:
        handler.answer(200, body, declared=len(whole))


def break_off(handler):
    """Promise all, send 100,000 bytes, hang up."""
    obey_range(handler, at_most=100_000)


def ignore_range(handler):
    handler.answer(200, handler.server.archive)


def wrong_range(handler):
    """Say 206, and send the archive from its beginning."""
    whole = handler.server.archive
    handler.answer(206, whole, Content_Range=f"bytes 0-{len(whole) - 1}/{len(whole)}")


def short_range(handler):
    """Give 100,000 bytes of the range that was asked for, and say so, as a server may."""
    whole, start = handler.server.archive, start_of(handler)
    body = whole[start:][:100_000]
    handler.answer(206, body, Content_Range=f"bytes {start}-{start + len(body) - 1}/{len(whole)}")


def status(code):
    return lambda handler: handler.answer(code, b"<html>an error page</html>")


@pytest.fixture(autouse=True)
def quick_and_local(monkeypatch):
    monkeypatch.setattr(download, "RETRY_DELAYS", (0.01, 0.01))
    monkeypatch.delenv("SNLI_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "datasets" / "snli"


def download_snli(root, url=None, sha1=SNLI_ARCHIVE.sha1, progress=None):
    SNLI_ARCHIVE._replace(sha1=sha1).fetch(root, url, progress)


def fetch(root, mirror, **options):
    options.setdefault("sha1", sha1(mirror.archive))
    download_snli(root, url=mirror.url, **options)


def failure(root, *args, **options):
    """The message of the DownloadError, which is one line that says where to put the file by hand."""
    with pytest.raises(DownloadError) as caught:
        download_snli(root, *args, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(root) in message
    return message


def assert_complete(root):
    assert {name: (root / name).read_bytes() for name in FILES} == CONTENT
    assert sorted(os.listdir(root)) == sorted([".lock", *FILES])


def place(root, archive, name="snli_1.0.zip"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(archive)
    return sha1(archive)


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


# Connections that break off.


def test_broken_download_goes_on_where_it_stopped(root):
    with Mirror(script=[break_off]) as mirror:
        fetch(root, mirror)
        assert_complete(root)
        first, second = mirror.ranges
        assert first is None
        assert 50_000 < int(re.fullmatch(r"bytes=(\d+)-", second).group(1)) <= 100_000


def test_later_run_goes_on_where_the_earlier_gave_up(root):
    with Mirror(script=[break_off] * 3) as mirror:
        message = failure(root, mirror.url, sha1(ARCHIVE))
        assert f"of {len(ARCHIVE)} bytes" in message or "more expected" in message
        assert len(mirror.ranges) == 3
        part = (root / "snli_1.0.zip.part").stat().st_size
        assert part > 150_000
        fetch(root, mirror)
        assert mirror.ranges[3:] == [f"bytes={part}-"]
    assert_complete(root)


def test_server_that_ignores_the_range_makes_it_start_again(root):
    with Mirror(script=[break_off, ignore_range]) as mirror:
        fetch(root, mirror)
        assert mirror.ranges[1] is not None
    assert_complete(root)


def test_answer_with_another_range_is_not_trusted(root):
    with Mirror(script=[break_off, wrong_range]) as mirror:
        fetch(root, mirror)
        assert mirror.ranges[1] is not None and mirror.ranges[2] is None
    assert_complete(root)


def test_range_that_is_shorter_than_asked_for_is_continued(root):
    with Mirror(script=[break_off, short_range]) as mirror:
        fetch(root, mirror)
        assert len(mirror.ranges) == 3
    assert_complete(root)


def test_part_that_is_too_long_starts_again(root):
    place(root, b"x" * (len(ARCHIVE) + 5), "snli_1.0.zip.part")
    with Mirror() as mirror:
        fetch(root, mirror)
        assert mirror.ranges == [f"bytes={len(ARCHIVE) + 5}-", None]
    assert_complete(root)


# Servers that give something else, or nothing.


def test_wrong_bytes_are_thrown_away(root):
    with Mirror(archive=b"<html>Please log in</html>") as mirror:
        message = failure(root, mirror.url, sha1(ARCHIVE))
    assert sha1(ARCHIVE) in message and sha1(mirror.archive) in message and "SNLI_URL" in message
    assert os.listdir(root) == [".lock"]


def test_404_is_said_at_once(root):
    with Mirror(script=[status(404)] * 3) as mirror:
        message = failure(root, mirror.url)
        assert len(mirror.ranges) == 1
    assert "404" in message and mirror.url in message and f"into {root} by hand" in message
    assert os.listdir(root) == [".lock"]


def test_503_is_tried_again(root):
    with Mirror(script=[status(503)]) as mirror:
        fetch(root, mirror)
        assert len(mirror.ranges) == 2
    assert_complete(root)


def test_503_is_not_tried_for_ever(root):
    with Mirror(script=[status(503)] * 9) as mirror:
        message = failure(root, mirror.url)
        assert len(mirror.ranges) == 3
    assert "503" in message and "3 attempts" in message and mirror.url in message


def test_nobody_listens(root):
    with socket.socket() as taken:  # bound and not listening: nobody else gets this port meanwhile
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/snli_1.0.zip"
        message = failure(root, url)
    assert "Connection refused" in message and url in message and f"into {root} by hand" in message


def test_server_that_falls_silent(root, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.1))
    has_failed = threading.Event()
    with Mirror(script=[lambda handler: has_failed.wait(600)] * 3) as mirror:
        try:
            assert "timed out" in failure(root, mirror.url).lower()
        finally:
            has_failed.set()


def test_endless_answer_is_cut_off(root, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 200_000)
    with Mirror() as mirror:
        assert "more than 200000 bytes" in failure(root, mirror.url)
    assert (root / "snli_1.0.zip.part").stat().st_size == 0


@pytest.mark.parametrize("url", ["snli_1.0.zip", "ftp://127.0.0.1/snli_1.0.zip", "http://", "http://[", "file:///etc"])
def test_address_that_makes_no_sense(root, url):
    assert url in failure(root, url)


def test_password_of_a_mirror_is_not_shown(root, caplog):
    with Mirror(script=[status(404)]) as mirror:
        message = failure(root, mirror.url.replace("http://", "http://me:se@cret@"))
    assert "cret" not in message + caplog.text
    assert mirror.url in message


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
