"""Opens the files that data are read from: plain or compressed by gzip, and never something else."""

import codecs
import contextlib
import gzip
import io
import os
import zlib
from typing import Any, BinaryIO, Iterator, Union

from ..errors import DataError
from ..system.filetypes import HEAD_SIZE, describe
from ..system.reading import BoundedLines, open_lines, reading

_GZIP = b"\x1f\x8b"
_DECOMPRESSED_AT_ONCE = 1 << 18  # bytes


@contextlib.contextmanager
def opened(path: Union[str, "os.PathLike[str]"], content_hash: Any = None) -> Iterator[BinaryIO]:
    """Open a file of text, at its first byte behind a byte order mark.

    Parameters
    ----------
    path : str or Path
        A file compressed by gzip is recognized by its content.
    content_hash : hash object or None
        Is updated with all bytes of the file, as they are read.

    Yields
    ------
    BufferedReader

    Raises
    ------
    DataError
        If the file cannot be read, now or later, or is something else than text; names it.
    """
    with reading(path, DataError):
        raw = open_lines(path, pipe=True)
    try:
        with raw:
            file: Any = raw if content_hash is None else io.BufferedReader(_Hashing(raw, content_hash))
            if file.peek(len(_GZIP)).startswith(_GZIP):
                file = io.BufferedReader(BoundedLines(gzip.GzipFile(fileobj=file), path), _DECOMPRESSED_AT_ONCE)
            head = file.peek(HEAD_SIZE)
            refuse_other_files(path, head)
            if head.startswith(codecs.BOM_UTF8):
                file.read(len(codecs.BOM_UTF8))
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def refuse_other_files(name: Any, head: bytes) -> None:
    """Raise a DataError if a file that begins like this is known not to be text."""
    kind = describe(head)
    if kind:
        raise DataError(f"{name} is {kind}")


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what it reads."""

    def __init__(self, file: BinaryIO, content_hash: Any) -> None:
        self._file, self._hash = file, content_hash

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._hash.update(memoryview(buffer)[:size])
        return size
