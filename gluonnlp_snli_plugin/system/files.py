"""Atomic writes, locks and hashes of files."""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import stat
from pathlib import Path
from typing import IO, Any, Iterator, Optional, Type, Union

from ..errors import PluginError, UsageError
from .reading import WEIGHTS_BYTES, kind_of, naming, open_regular, require_size
from .temporary import is_temporary, temporary_file, temporary_folder

_Path = Union[str, "os.PathLike[str]"]


@contextlib.contextmanager
def writing(path: _Path, error: Type[PluginError] = PluginError) -> Iterator[None]:
    """Turn an OSError of the block into one line that names the file.

    A BrokenPipeError passes: it is of standard output, to which the block may print.

    Parameters
    ----------
    path : str or Path
        What is written, named where the error itself names no file, or a temporary one.
    error : type of PluginError
        What to raise.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as caught:
        name = str(caught.filename or path)
        if any(map(is_temporary, Path(name).parts)):
            name = str(path)
        raise error(f"cannot write to {name}: {caught.strerror or caught}") from None


@contextlib.contextmanager
def replacing(path: _Path) -> Iterator[Path]:
    """Write a file atomically: under a temporary name, renamed to `path` once it is complete and on the disk.

    Yields
    ------
    Path
        The temporary file, in the same folder.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with naming(path):
            _require_replaceable(path)
            temporary = stack.enter_context(temporary_file(path.parent))
        yield temporary
        publish(temporary, path)


def publish(temporary: _Path, path: _Path) -> None:
    """Sync a temporary file to the disk and rename it to `path`."""
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())
    os.chmod(temporary, 0o666 & ~_umask())
    os.replace(temporary, path)


def _require_replaceable(path: Path) -> None:
    """Raise an OSError for a device or a pipe: ``/dev/null`` must not become a file."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # there is nothing, or writing will raise the error
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, f"not a regular file, but {kind_of(mode)}", str(path))


@contextlib.contextmanager
def new_folder(path: _Path, mark: str, overwrite: bool = False) -> Iterator[Path]:
    """Write a folder atomically: under a temporary name, renamed to `path` once it is complete and on the disk.

    Parameters
    ----------
    path : str or Path
        Must not exist or be an empty folder; its parent is made if need be.
    mark : str
        The file that identifies such a folder; no other folder is ever replaced.
    overwrite : bool, default False
        Whether to replace such a folder.

    Yields
    ------
    Path
        The temporary folder, beside `path`.

    Raises
    ------
    UsageError
        If something else is at `path`, or such a folder without `overwrite`, or comes there meanwhile.
    """
    with naming(path):
        path = Path(os.path.realpath(path))
    _require_room(path, mark, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent) as workspace:
        folder = workspace / "new"
        folder.mkdir()
        yield folder
        for file in filter(Path.is_file, folder.rglob("*")):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        for number in itertools.count():
            try:
                folder.rename(path)  # which replaces an empty folder, and nothing else
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            _require_room(path, mark, overwrite)
            with contextlib.suppress(FileNotFoundError):  # another process has replaced it
                path.rename(workspace / f"old-{number}")


def _require_room(path: Path, mark: str, overwrite: bool) -> None:
    """Raise a UsageError if there is something that a new folder must not replace."""
    while True:
        try:
            with naming(path):
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            if not os.path.exists(path):  # there is a file in the place of a folder above
                return
            raise UsageError(f"{path} exists and is not a folder") from None
        try:
            found = os.listdir(descriptor)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    break  # else another process has replaced it, and is removing what is in it
        finally:
            os.close(descriptor)
    if found and mark not in found:
        raise UsageError(f"{path} holds other files, and no {mark}: give another folder")
    if found and not overwrite:
        raise UsageError(f"{path} exists already: give another folder, or --overwrite")


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder among the system's temporary files; removed at the end, with all that is in it.

    Yields
    ------
    Path

    Raises
    ------
    PluginError
        If there is no place for it.
    """
    with contextlib.ExitStack() as stack:
        with writing("the system's folder for temporary files (TMPDIR)"):
            folder = stack.enter_context(temporary_folder())
        yield folder


def _umask() -> int:
    """The process's umask, which os.umask() can only tell by changing it, for all threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))


def write_json(path: _Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(content, "utf-8", indent=2) + "\n", encoding="utf-8")


def json_text(content: Any, encoding: str, indent: Optional[int] = None) -> str:
    """Readable JSON, or ASCII where `encoding` lacks a character, as for a file name that is not UTF-8.

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
def locked(path: _Path) -> Iterator[None]:
    """Hold the lock file `path` (made if need be); waits until no other process holds it."""
    with open_regular(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_utf8(path: _Path) -> bool:
    """Whether a file's name is UTF-8; MXNet and SentencePiece can open no other."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def digest(path: _Path, algorithm: str = "sha256") -> str:
    """Hash of a file's content, as hexadecimal digits; an OSError if it is not a regular file, or too large."""
    with open_regular(path) as file:
        require_size(file, WEIGHTS_BYTES)
        return digest_of(file, algorithm)


def digest_of(file: IO[bytes], algorithm: str = "sha256") -> str:
    """Hash of the rest of an open file, as hexadecimal digits."""
    result = hashlib.new(algorithm)
    for block in iter(lambda: file.read(1 << 20), b""):
        result.update(block)
    return result.hexdigest()


def cache_folder(kind: str) -> Path:
    """This user's folder for cached files of one kind: ``$XDG_CACHE_HOME/gluonnlp_snli_plugin/KIND``.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    root = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    if not root.is_absolute():  # as the XDG specification wants it; without a home the tilde stays
        raise FileNotFoundError(f"{root} is not an absolute path: set XDG_CACHE_HOME to one")
    folder = root / "gluonnlp_snli_plugin" / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
