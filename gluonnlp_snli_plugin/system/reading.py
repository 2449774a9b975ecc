"""Reads files from outside with care: regular files of a sensible size, and errors of one line."""

import contextlib
import errno
import io
import json
import os
import select
import stat
from typing import IO, Any, BinaryIO, Iterator, Optional, Type, Union

from ..errors import PluginError

# How large a file from outside may be, in bytes: far above real ones, and below what fills the memory.
JSON_BYTES = 32 << 20  # settings, records, indexes
VOCABULARY_BYTES = 256 << 20
WEIGHTS_BYTES = 24 << 30  # and the state of an optimizer
LONGEST_LINE = 256 << 20  # a JSON document may be a single one

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

# What is raised where content has not the expected form, be it here, in json, in NumPy or in GluonNLP.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, AssertionError, OverflowError, RecursionError)
_Path = Union[str, "os.PathLike[str]"]


@contextlib.contextmanager
def reading(
    path: _Path, error: Type[PluginError], damaged: Optional[str] = None, missing: Optional[str] = None
) -> Iterator[None]:
    """Turn what goes wrong in a block that reads a file into one line.

    A DataError or CheckpointError of the block passes; a UsageError is a ValueError like any other.

    Parameters
    ----------
    path : str or Path
    error : type of PluginError
        What to raise.
    damaged : str or None
        The message where the content has not the form that the block expects; default "PATH is damaged".
    missing : str or None
        The message where there is no file; default the system's.
    """
    try:
        yield
    except OSError as caught:
        if missing and isinstance(caught, (FileNotFoundError, NotADirectoryError)):
            raise error(missing) from None
        raise error(f"{caught.filename or path}: {caught.strerror or caught}") from None
    except _MALFORMED:
        raise error(damaged or f"{path} is damaged") from None


def open_regular(path: _Path, mode: str = "rb", encoding: Optional[str] = None) -> Any:
    """Open a regular file and nothing else; never blocks, as opening a named pipe would.

    Raises
    ------
    OSError
        If the file cannot be opened or is not a regular file.
    """
    with naming(path):
        return open(path, mode, encoding=encoding, opener=_regular)


def _regular(path: str, flags: int) -> int:
    return _opened(path, flags)


def _opened(path: _Path, flags: int, pipe: bool = False) -> int:
    """A descriptor of a regular file; with `pipe` also of a pipe or the null device."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:  # of a socket, or of a pipe to write to without a reader
            raise
        raise OSError(errno.ENXIO, "not a regular file", str(path)) from None
    try:
        status = os.fstat(descriptor)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        is_null = stat.S_ISCHR(mode) and status.st_rdev == os.stat(os.devnull).st_rdev
        if not stat.S_ISREG(mode) and not (pipe and (stat.S_ISFIFO(mode) or is_null)):
            raise OSError(errno.EINVAL, f"not a regular file, but {kind_of(mode)}", str(path))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def kind_of(mode: int) -> str:
    """What a file that is not a regular one is, from its ``st_mode``."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def require_regular(path: _Path, limit: int = WEIGHTS_BYTES) -> None:
    """Raise an OSError unless `path` is a regular file of at most `limit` bytes; before another library opens it."""
    with open_regular(path) as file:
        require_size(file, limit)


def require_size(file: IO[bytes], limit: int) -> None:
    """Raise an OSError if an open file has more than `limit` bytes."""
    size = os.fstat(file.fileno()).st_size
    if size > limit:
        raise OSError(errno.EFBIG, f"{size:,} bytes; such a file has at most {limit:,}", str(file.name))


def read_bytes(path: _Path, limit: int = VOCABULARY_BYTES) -> bytes:
    """The content of a file from outside.

    Parameters
    ----------
    path : str or Path
    limit : int
        Bytes that such a file may have.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If there is no such file, or it is not a regular file or is larger; ``strerror`` says which.
    """
    content = bytearray()
    with open_regular(path) as file:
        require_size(file, limit)
        for block in iter(lambda: file.read(1 << 20), b""):
            content += block
            if len(content) > limit:  # it has grown, or reports no size, as those in /proc
                raise OSError(errno.EFBIG, f"more than {limit:,} bytes", str(path))
    return bytes(content)


def read_text(path: _Path, limit: int = VOCABULARY_BYTES) -> str:
    """The content of a file of UTF-8 from outside, without a byte order mark, its line ends as ``\\n``.

    Raises
    ------
    OSError
        As :func:`read_bytes` does.
    ValueError
        If it is not valid UTF-8.
    """
    return io.TextIOWrapper(io.BytesIO(read_bytes(path, limit)), "utf-8-sig").read()


def read_json(path: _Path, limit: int = JSON_BYTES) -> Any:
    """The content of a file of JSON from outside.

    Raises
    ------
    OSError
        As :func:`read_bytes` does.
    ValueError
        If it is not valid JSON, or nested too deeply.
    """
    content = read_bytes(path, limit)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def open_lines(path: _Path, pipe: bool = False) -> BinaryIO:
    """Open a file of text.

    Parameters
    ----------
    path : str or Path
    pipe : bool, default False
        Whether it may also be a pipe, which can be read once, or the null device, as the user may name.

    Returns
    -------
    file
        Of bytes, buffered. Reading it raises an OSError at a line longer than ``LONGEST_LINE``.

    Raises
    ------
    OSError
        If there is no such file, or it is something else.
    """
    with naming(path):
        descriptor = _opened(path, os.O_RDONLY, pipe)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()  # until there is a writer; before, the pipe would seem to be at its end
    os.set_blocking(descriptor, True)
    return io.BufferedReader(BoundedLines(open(descriptor, "rb", buffering=0), path), 1 << 16)


class BoundedLines(io.RawIOBase):
    """Raises an OSError at a line without an end, before it fills the memory; else the bytes of `source`.

    Parameters
    ----------
    source : file
        Of bytes.
    path : str or Path
        Its name.
    longest : int, default LONGEST_LINE
        Bytes that a line may have; one longer by up to a buffer may pass.
    """

    def __init__(self, source: Any, path: _Path, longest: int = LONGEST_LINE) -> None:
        self._source, self._path, self._longest = source, path, longest
        self._lines, self._behind_last_end = 0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._source.readinto(buffer)
        block = bytes(memoryview(buffer)[:size])
        self._lines += block.count(b"\n")
        end = block.rfind(b"\n")
        self._behind_last_end = len(block) - end - 1 if end >= 0 else self._behind_last_end + len(block)
        if self._behind_last_end > self._longest:
            what = f"line {self._lines + 1} is longer than {self._longest:,} bytes"
            raise OSError(errno.EFBIG, what, str(self._path))
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


@contextlib.contextmanager
def naming(path: _Path) -> Iterator[None]:
    """Turn the ValueError for a name with a NUL or half a character in it into an OSError."""
    try:
        yield
    except ValueError:
        raise OSError(errno.EINVAL, "not a possible file name", str(path)) from None
