"""Files that are whole or not there, and files from outside: atomic writes, locks, fingerprints, careful reads."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import select
import stat
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UsageError
from .temporary import temporary_file, temporary_folder

# How large a file from outside can be, in bytes. Each is far above what there is, and below what fills a memory.
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


def open_regular(path, mode="rb", encoding=None) -> Any:
    """Open a regular file and nothing else; never waits, as opening a named pipe would.

    Raises
    ------
    OSError
        If the file cannot be opened, or is something else.
    """
    with _naming(path):
        return open(path, mode, encoding=encoding, opener=_regular)


def _regular(path, flags):
    return _opened(path, flags)


def _opened(path, flags, pipe=False):
    """A descriptor of a regular file; or, with `pipe`, of a pipe or the null device."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:  # of a socket; of a pipe to write to that nobody reads
            raise
        raise OSError(errno.ENXIO, "not a regular file", str(path)) from None
    try:
        status = os.fstat(descriptor)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        is_stream = kind == stat.S_IFIFO or (kind == stat.S_IFCHR and status.st_rdev == os.stat(os.devnull).st_rdev)
        if kind != stat.S_IFREG and not (pipe and is_stream):
            raise OSError(errno.EINVAL, f"not a regular file, but {_KINDS.get(kind, 'something else')}", str(path))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def require_regular(path, limit=WEIGHTS_BYTES):
    """Raise an OSError unless there is a regular file of at most `limit` bytes; before another library opens it."""
    with open_regular(path) as file:
        _require_size(file, limit)


def _require_size(file, limit):
    size = os.fstat(file.fileno()).st_size
    if size > limit:
        raise OSError(errno.EFBIG, f"{size:,} bytes; such a file has at most {limit:,}", str(file.name))


def read_bytes(path, limit=VOCABULARY_BYTES):
    """The content of a file from outside.

    Parameters
    ----------
    path : str or Path
    limit : int
        Bytes that such a file can have.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If there is none, it is not a regular file, or is larger; ``strerror`` says which.
    """
    content = bytearray()
    with open_regular(path) as file:
        _require_size(file, limit)
        for block in iter(lambda: file.read(1 << 20), b""):
            content += block
            if len(content) > limit:  # it has grown, or tells no size, as those in /proc
                raise OSError(errno.EFBIG, f"more than {limit:,} bytes", str(path))
    return bytes(content)


def read_text(path, limit=VOCABULARY_BYTES):
    """The content of a file of UTF-8 from outside, without a byte order mark, its line ends as ``\\n``.

    Raises
    ------
    OSError
        As :func:`read_bytes` does.
    ValueError
        If it is not UTF-8.
    """
    return io.TextIOWrapper(io.BytesIO(read_bytes(path, limit)), "utf-8-sig").read()


def read_json(path, limit=JSON_BYTES) -> Any:
    """The content of a file of JSON from outside.

    Raises
    ------
    OSError
        As :func:`read_bytes` does.
    ValueError
        If it is not JSON, or nested too deeply.
    """
    content = read_bytes(path, limit)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def open_lines(path, pipe=False) -> BinaryIO:
    """Open a file of text.

    Parameters
    ----------
    path : str or Path
    pipe : bool, default False
        Whether it may be a pipe, which can be read once, or the null device: one that the user has named.

    Returns
    -------
    file
        Of bytes, buffered. Reading it raises an OSError at a line longer than ``LONGEST_LINE``.

    Raises
    ------
    OSError
        If there is none, or it is something else.
    """
    with _naming(path):
        descriptor = _opened(path, os.O_RDONLY, pipe)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()  # until there is a writer; before, the pipe would seem to be at its end
    os.set_blocking(descriptor, True)
    return io.BufferedReader(BoundedLines(open(descriptor, "rb", buffering=0), path), 1 << 16)


class BoundedLines(io.RawIOBase):
    """Passes bytes on; raises an OSError where a line has no end, before it fills the memory.

    Parameters
    ----------
    source : file
        Of bytes.
    path : str or Path
        Its name.
    longest : int, default LONGEST_LINE
        Bytes of a line that are passed on at least, a buffer more at most.
    """

    def __init__(self, source, path, longest=LONGEST_LINE):
        self._source, self._path, self._longest = source, path, longest
        self._lines, self._behind_last_end = 0, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        size = self._source.readinto(buffer)
        block = bytes(memoryview(buffer)[:size])
        self._lines += block.count(b"\n")
        end = block.rfind(b"\n")
        self._behind_last_end = len(block) - end - 1 if end >= 0 else self._behind_last_end + len(block)
        if self._behind_last_end > self._longest:
            what = f"line {self._lines + 1} is longer than {self._longest:,} bytes"
            raise OSError(errno.EFBIG, what, str(self._path))
        return size

    def close(self):
        self._source.close()
        super().close()


@contextlib.contextmanager
def replacing(path):
    """Write a file under a temporary name; it takes the place of `path` only once it is complete and on the disk.

    Yields
    ------
    Path
        The temporary file, in the same folder.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with _naming(path):
            _require_replaceable(path)
            temporary = stack.enter_context(temporary_file(path.parent))
        yield temporary
        publish(temporary, path)


def publish(temporary, path):
    """Give a temporary file its name, once it is on the disk."""
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())
    os.chmod(temporary, 0o666 & ~_umask())
    os.replace(temporary, path)


def _require_replaceable(path):
    """Raise an OSError for a device or a pipe: ``/dev/null`` is not to become a file."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:  # nothing is there, or what writing will complain about
        return
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise OSError(errno.EINVAL, f"not a regular file, but {_KINDS.get(kind, 'something else')}", str(path))


@contextlib.contextmanager
def new_folder(path, mark, overwrite=False):
    """Write a folder under a temporary name; it is at `path` only once it is complete and on the disk.

    Parameters
    ----------
    path : str or Path
        Nothing, or an empty folder; its own parent is made if need be.
    mark : str
        A file by which such a folder is known: the only kind that is ever replaced.
    overwrite : bool, default False
        Whether to replace the folder of that kind that is there.

    Yields
    ------
    Path
        The temporary folder, beside `path`.

    Raises
    ------
    UsageError
        If something else is at `path`, or such a folder without `overwrite`.
    """
    with _naming(path):
        path = Path(os.path.realpath(path))
        is_there = os.path.exists(path)
    if is_there and not path.is_dir():
        raise UsageError(f"{path} exists and is not a folder")
    if is_there and any(path.iterdir()):
        if not (path / mark).is_file():
            raise UsageError(f"{path} holds other files, and no {mark}: give another folder")
        if not overwrite:
            raise UsageError(f"{path} exists already: give another folder, or --overwrite")
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent) as workspace:
        folder = workspace / "new"
        folder.mkdir()
        yield folder
        for file in filter(Path.is_file, folder.rglob("*")):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if path.is_dir():
            path.rename(workspace / "old")
        folder.rename(path)


@contextlib.contextmanager
def _naming(path):
    """An OSError where the operating system cannot be asked: there is a NUL, or half a character, in the name."""
    try:
        yield
    except ValueError:
        raise OSError(errno.EINVAL, "there can be no file of that name", str(path)) from None


def _umask():
    """The process's umask, which os.umask() can only tell by changing it, for all threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))


def write_json(path, content):
    """Write `content` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(content, "utf-8", indent=2) + "\n", encoding="utf-8")


def json_text(content, encoding, indent=None):
    """JSON that people can read, or ASCII where `encoding` lacks a character, as for a file name that is not UTF-8.

    Characters that control a terminal, or turn the text around them, are escaped.

    Returns
    -------
    str
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(content, indent=indent)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


@contextlib.contextmanager
def locked(path):
    """Hold the lock file `path` (made if need be), waiting for whoever holds it now."""
    with open_regular(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_utf8(path):
    """Whether a file's name is UTF-8; MXNet and SentencePiece can open no other."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def digest(path, algorithm="sha256"):
    """Hash of a file's content, as hexadecimal digits; an OSError if it is not a regular file, or too large."""
    with open_regular(path) as file:
        _require_size(file, WEIGHTS_BYTES)
        return digest_of(file, algorithm)


def digest_of(file, algorithm="sha256"):
    """Hash of what an open file holds from here on, as hexadecimal digits."""
    result = hashlib.new(algorithm)
    for block in iter(lambda: file.read(1 << 20), b""):
        result.update(block)
    return result.hexdigest()


def cache_folder(kind):
    """This user's folder for files of one kind that can be made again: ``$XDG_CACHE_HOME/gluonnlp_snli_plugin/KIND``.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    root = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    if not root.is_absolute():  # as the XDG specification wants it; without a home the tilde stays
        raise FileNotFoundError(f"{root} is no place for a cache: set XDG_CACHE_HOME to an absolute path")
    folder = root / "gluonnlp_snli_plugin" / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
