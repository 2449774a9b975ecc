"""Files are written atomically, locked and hashed."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

from gluonnlp_snli_plugin.errors import CheckpointError, PluginError, UsageError
from gluonnlp_snli_plugin.system.files import (
    digest,
    is_utf8,
    locked,
    new_folder,
    replacing,
    workspace,
    write_json,
    writing,
)


def test_a_file_takes_its_place_only_when_complete(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "file", {})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_json_is_written_as_utf8(tmp_path):
    write_json(tmp_path / "file", {"name": "Ünïcode"})
    assert json.loads((tmp_path / "file").read_bytes()) == {"name": "Ünïcode"}


def test_a_lock_keeps_other_processes_out(tmp_path):
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    lock = tmp_path / "lock"
    with locked(lock):
        assert subprocess.run([sys.executable, "-c", code, str(lock)], stderr=subprocess.DEVNULL).returncode == 1
    assert subprocess.run([sys.executable, "-c", code, str(lock)]).returncode == 0


def test_digest_is_the_hash_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    assert digest(tmp_path / "file", "sha1") == hashlib.sha1(b"x" * 3_000_000).hexdigest()


def test_json_is_readable_and_holds_file_names_that_are_no_utf_8(tmp_path):
    path = tmp_path / "file"
    for content in ({"name": "caf\u00e9"}, {"name": "caf\udce9"}):
        write_json(path, content)
        assert json.loads(path.read_bytes()) == content
        assert is_utf8(content["name"]) == ("caf\u00e9" in path.read_text(encoding="utf-8"))


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
    with new_folder(tmp_path / "a" / "b", "mark") as folder:
        (folder / "mark").write_text("1")
        (folder / "inner").mkdir()
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "mark").read_text() == "1"
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a" / "b", "mark", overwrite=True) as folder:
        raise RuntimeError
    assert (tmp_path / "a" / "b" / "mark").read_text() == "1"
    with new_folder(tmp_path / "a" / "b", "mark", overwrite=True) as folder:
        (folder / "mark").write_text("2")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["mark"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_new_folder_replaces_its_own_kind_only(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mark").touch()
    with new_folder(tmp_path / "empty", "mark") as folder:
        (folder / "mark").touch()
    for path, mark, overwrite in (("full", "mark", False), ("full", "other", True), ("full/mark", "mark", True)):
        with pytest.raises(UsageError), new_folder(tmp_path / path, mark, overwrite):
            pass


def test_a_folder_that_another_process_makes_meanwhile_is_not_replaced_unless_that_is_wanted(tmp_path):
    path = tmp_path / "both"
    refused = pytest.raises(UsageError, match="both exists already: give another folder, or --overwrite")
    with refused, new_folder(path, "mark") as slow:
        (slow / "mark").write_text("slow")
        with new_folder(path, "mark") as quick:
            (quick / "mark").write_text("quick")
    assert (path / "mark").read_text() == "quick"
    with new_folder(path, "mark", overwrite=True) as slow:
        (slow / "mark").write_text("slow")
        with new_folder(path, "mark", overwrite=True) as quick:
            (quick / "mark").write_text("quick")
    assert (path / "mark").read_text() == "slow" and os.listdir(tmp_path) == ["both"]


def test_a_file_that_another_process_makes_meanwhile_is_not_replaced_by_a_folder(tmp_path):
    with pytest.raises(UsageError, match="path exists and is not a folder"), new_folder(tmp_path / "path", "mark"):
        (tmp_path / "path").write_text("mine")
    assert (tmp_path / "path").read_text() == "mine"


def test_several_who_replace_a_folder_at_once_all_do(tmp_path):
    failures = []

    def work(name):
        try:
            for _ in range(15):
                with new_folder(tmp_path / "all", "mark", overwrite=True) as folder:
                    for file in ("a", "mark", "z"):
                        (folder / file).write_text(name)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and os.listdir(tmp_path) == ["all"]
    assert len({(tmp_path / "all" / file).read_text() for file in ("a", "mark", "z")}) == 1


def test_a_lock_or_a_log_is_a_regular_file_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"), locked(tmp_path / "pipe"):
        pass


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name, what in (("pipe", "a named pipe"), ("null", "a device")):
        with pytest.raises(OSError, match=f"not a regular file, but {what}"):
            write_json(tmp_path / name, {})
    assert sorted(os.listdir(tmp_path)) == ["null", "pipe"] and os.path.islink(tmp_path / "null")


def test_what_goes_wrong_in_writing_is_one_line_that_names_the_file(tmp_path):
    for call, message in (
        (lambda: (tmp_path / "a" / "b").write_text(""), f"cannot write to {tmp_path}/a/b: No such file or directory"),
        (lambda: os.write(99999, b""), "cannot write to OUT: Bad file descriptor"),
        (lambda: write_json(tmp_path / "a" / "b", {}), "cannot write to OUT: No such file or directory"),
    ):
        with pytest.raises(PluginError) as caught, writing("OUT"):
            call()
        assert str(caught.value) == message
    with pytest.raises(CheckpointError), writing("OUT", CheckpointError):
        raise OSError
    with pytest.raises(BrokenPipeError), writing("OUT"):
        raise BrokenPipeError


def test_a_folder_for_temporary_files_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyError), workspace() as folder:
        (folder / "file").touch()
        assert list(tmp_path.iterdir()) == [folder]
        raise KeyError
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    where = r"the system's folder for temporary files \(TMPDIR\)"
    with pytest.raises(PluginError, match=f"^cannot write to {where}: No such file or directory$"), workspace():
        pass
