"""Files from outside are read with care."""

import io
import os
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.system.files import digest
from gluonnlp_snli_plugin.system.reading import (
    LONGEST_LINE,
    BoundedLines,
    open_lines,
    read_bytes,
    read_json,
    read_text,
    reading,
    require_regular,
)


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
        tmp_path / "a\0b": "not a possible file name",
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


def test_the_null_device_is_an_empty_file_of_lines_where_a_pipe_may_be():
    with open_lines(os.devnull, pipe=True) as file:
        assert file.read() == b""
    with pytest.raises(OSError, match="but a device"):
        open_lines(os.devnull)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "PATH: No such file or directory"),
        ("{", "PATH is damaged"),
        ("[1]", "PATH is damaged"),
        ("[" * 100_000, "PATH is damaged"),
        ('{"a": []}', "PATH is damaged"),
        ('{"a": {"b": 1}}', "it is 1"),
        ('{"a": {"b": 2}}', "PATH is damaged"),
    ],
)
def test_what_goes_wrong_in_reading_is_one_line_that_names_the_file(tmp_path, content, message):
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as caught, reading(path, DataError):
        found = read_json(path)["a"]["b"]
        raise (DataError if found == 1 else UsageError)(f"it is {found}")
    assert str(caught.value) == message.replace("PATH", str(path))


def test_the_caller_may_say_what_a_missing_or_a_damaged_file_means(tmp_path):
    for missing in (tmp_path / "none", tmp_path / "file" / "none"):
        (tmp_path / "file").write_text("{")
        with pytest.raises(DataError, match="^it is not there$"), reading(
            missing, DataError, missing="it is not there"
        ):
            read_json(missing)
    with pytest.raises(DataError, match="^it is wrong$"), reading("x", DataError, damaged="it is wrong"):
        read_json(tmp_path / "file")
