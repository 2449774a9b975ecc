"""Files are whole or not there, and those from outside are opened with care."""

import hashlib
import io
import json
import os
import socket
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.system.files import (
    LONGEST_LINE,
    BoundedLines,
    digest,
    is_utf8,
    locked,
    new_folder,
    open_lines,
    read_bytes,
    read_json,
    read_text,
    replacing,
    require_regular,
    write_json,
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


@pytest.fixture
def odd_files(tmp_path):
    """What may lie where a file is expected, and what is said about it."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("/dev/zero")
    with open(tmp_path / "sparse", "wb") as sparse:
        sparse.truncate(60 * 10**9)
    return {
        tmp_path / "pipe": "not a regular file, but a named pipe",
        tmp_path / "socket": "not a regular file",
        tmp_path / "link": "not a regular file, but a device",
        tmp_path / "sparse": "60,000,000,000 bytes; such a file has at most",
        tmp_path: "Is a directory",
        tmp_path / "missing": "No such file or directory",
        tmp_path / "a\0b": "there can be no file of that name",
    }


@pytest.mark.parametrize("read", [read_bytes, read_json, read_text, require_regular, digest])
def test_only_a_regular_file_of_a_sensible_size_is_read(read, odd_files):
    for path, what in odd_files.items():
        with pytest.raises(OSError) as caught:
            read(path)
        assert caught.value.strerror.startswith(what)


def test_a_limit_is_that_of_what_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345" and read_json(tmp_path / "file") == 12345
    with pytest.raises(OSError, match="5 bytes; such a file has at most 4"):
        read_bytes(tmp_path / "file", 4)
    with pytest.raises(OSError, match="more than 4 bytes"):  # whose size is 0
        read_bytes("/proc/self/status", 4)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "bytes", "deep"])
def test_what_is_not_json_is_a_value_error(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError):
        read_json(tmp_path / "file")


def test_text_has_one_kind_of_line_end(tmp_path):
    (tmp_path / "file").write_bytes("é\r\nb\n".encode())
    assert read_text(tmp_path / "file") == "é\nb\n"


def test_a_lock_or_a_log_is_a_regular_file_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"), locked(tmp_path / "pipe"):
        pass


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_lines_are_those_of_the_file_up_to_the_first_that_is_too_long(parts, longest):
    content = b"\n".join(parts)
    lines = io.BytesIO(content).readlines()
    source = io.BufferedReader(BoundedLines(io.BytesIO(content), "file", longest), 7)
    number = next((i for i, line in enumerate(lines, 1) if len(line.rstrip(b"\n")) > longest + 7), 0)
    if number:
        with pytest.raises(OSError, match="longer than"):
            source.readlines()
    elif all(len(line) <= longest for line in lines):
        assert source.readlines() == lines


def test_the_line_that_is_too_long_is_named(odd_files, tmp_path):
    with pytest.raises(OSError, match=f"line 1 is longer than {LONGEST_LINE:,} bytes"), open_lines(
        tmp_path / "sparse"
    ) as file:
        file.readline()
    with pytest.raises(OSError, match="line 3 is longer than 10 bytes"):
        BoundedLines(io.BytesIO(b"a\nb\n" + b"c" * 20), "file", 10).readlines()


def test_a_pipe_that_the_user_names_is_read_once_its_writer_has_come(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="but a named pipe"):
        open_lines(tmp_path / "pipe")
    writer = subprocess.Popen(["sh", "-c", 'sleep 0.2; echo 1 > "$0"', str(tmp_path / "pipe")])
    with open_lines(tmp_path / "pipe", pipe=True) as file:
        assert file.read() == b"1\n"
    assert writer.wait() == 0
    inner, outer = os.pipe()  # as a shell's <(...)
    os.write(outer, b"2\n")
    os.close(outer)
    with open_lines(f"/dev/fd/{inner}", pipe=True) as file:
        assert file.readlines() == [b"2\n"]
    os.close(inner)


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name, what in (("pipe", "a named pipe"), ("null", "a device")):
        with pytest.raises(OSError, match=f"not a regular file, but {what}"):
            write_json(tmp_path / name, {})
    assert sorted(os.listdir(tmp_path)) == ["null", "pipe"] and os.path.islink(tmp_path / "null")


def test_the_null_device_is_an_empty_file_of_lines_where_a_pipe_may_be():
    with open_lines(os.devnull, pipe=True) as file:
        assert file.read() == b""
    with pytest.raises(OSError, match="but a device"):
        open_lines(os.devnull)
