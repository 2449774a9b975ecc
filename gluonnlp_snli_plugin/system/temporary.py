"""Temporary files and folders that are removed even if the process that made them is killed.

Each has a name that begins with :data:`PREFIX` and is locked by the process that uses it. The lock ends with the
process, so one that is not locked is abandoned; it is removed when the next one is made in the same folder.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Iterator, Tuple, Union

PREFIX = ".gluonnlp-snli-"
_NAME = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")  # as the module tempfile makes them


def is_temporary(name: str) -> bool:
    """Whether a file or folder of that name is one of these."""
    return bool(_NAME.fullmatch(name))


@contextlib.contextmanager
def temporary_file(folder: Union[str, "os.PathLike[str]"]) -> Iterator[Path]:
    """Make an empty file, which only its owner may read; removed at the end unless it has been moved.

    Yields
    ------
    Path
    """
    descriptor, path = _locked(folder, lambda: tempfile.mkstemp(dir=folder, prefix=PREFIX))
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def temporary_folder(folder: Union[str, Path, None] = None) -> Iterator[Path]:
    """Make an empty folder, which only its owner may enter; removed at the end, with all that is in it.

    Parameters
    ----------
    folder : str, Path or None
        Where to make it, default the system's folder for temporary files.

    Yields
    ------
    Path
    """

    def make() -> Tuple[int, str]:
        while True:
            path = tempfile.mkdtemp(dir=folder, prefix=PREFIX)
            with contextlib.suppress(FileNotFoundError):  # another process removed it before it was opened
                return os.open(path, os.O_RDONLY), path

    descriptor, path = _locked(tempfile.gettempdir() if folder is None else folder, make)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(folder: Union[str, "os.PathLike[str]"]) -> None:
    """Remove the temporary files and folders of ended processes from a folder."""
    try:
        names = list(filter(is_temporary, os.listdir(folder)))
    except OSError:  # writing there will raise it
        return
    for name in names:
        path = Path(folder, name)
        with contextlib.suppress(OSError):  # in use, another user's, or just removed by another process
            is_folder = path.is_dir()
            descriptor = os.open(path, os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_RDONLY if is_folder else os.O_RDWR))
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_folder:
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)


def _locked(folder: Union[str, "os.PathLike[str]"], make: Callable[[], Tuple[int, str]]) -> Tuple[int, Path]:
    """A new file or folder and a descriptor that holds its lock."""
    remove_abandoned(folder)
    while True:
        descriptor, path = make()
        with contextlib.suppress(OSError):  # a file system without locks: it stays if this process is killed
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, Path(path)
        except FileNotFoundError:  # another process removed it before it was locked
            pass
        os.close(descriptor)
