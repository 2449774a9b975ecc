"""Files that are whole or not there: atomic writes, locks and fingerprints."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path

from .errors import UsageError


@contextlib.contextmanager
def replacing(path):
    """Write a file under a temporary name; it takes the place of `path` only once it is complete and on the disk.

    Yields
    ------
    Path
        The temporary file, in the same folder.
    """
    path = Path(path)
    with _naming(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        yield Path(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


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
        raise UsageError(f"{path} is there already, and no folder")
    if is_there and any(path.iterdir()):
        if not (path / mark).is_file():
            raise UsageError(f"{path} holds other files, and no {mark}: give another folder")
        if not overwrite:
            raise UsageError(f"{path} is there already: give another folder, or --overwrite")
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    with temporary as workspace:
        folder = Path(workspace, "new")
        folder.mkdir()
        yield folder
        for file in filter(Path.is_file, folder.rglob("*")):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if path.is_dir():
            path.rename(Path(workspace, "old"))
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
    """JSON that people can read, or ASCII where `encoding` lacks a character, as for a file name that is no UTF-8.

    Returns
    -------
    str
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(content, indent=indent)
    return text


@contextlib.contextmanager
def locked(path):
    """Hold the lock file `path` (made if need be), waiting for whoever holds it now."""
    with open(path, "a") as lock:
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
    """Hash of a file's content, as hexadecimal digits."""
    result = hashlib.new(algorithm)
    with open(path, "rb") as content:
        for block in iter(lambda: content.read(1 << 20), b""):
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
