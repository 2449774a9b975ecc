"""What a parameter file of MXNet's claims to hold, checked against its size.

MXNet's own loader believes what a file says: it reserves the memory of any shape, and some damage ends the process.
So it gets only files that have passed here.
"""

import math
import os
import struct
from typing import BinaryIO, Dict, NamedTuple, Tuple, Union

from ..errors import CheckpointError
from .files import is_utf8
from .filetypes import what_is
from .reading import open_regular

_LIST_MAGIC = (0x112).to_bytes(8, "little")  # with which MXNet begins a list of arrays
_ARRAY_MAGIC = 0xF993FAC9  # of an array, as MXNet has written them since version 1.0
_MOST_DIMENSIONS = 32  # as in NumPy
_CONTEXTS = (1, 2, 3, 5)  # cpu, gpu, cpu_pinned, cpu_shared: where an array was when it was written
_TYPES = {  # name and bytes by MXNet's number
    0: ("float32", 4),
    1: ("float64", 8),
    2: ("float16", 2),
    3: ("uint8", 1),
    4: ("int32", 4),
    5: ("int8", 1),
    6: ("int64", 8),
    7: ("bool", 1),
    12: ("bfloat16", 2),
}


class Entry(NamedTuple):
    """An array in a parameter file."""

    shape: Tuple[int, ...]
    dtype: str


def read_layout(path: Union[str, "os.PathLike[str]"]) -> Dict[str, Entry]:
    """Shape and type of each array in a parameter file; the numbers themselves are not read.

    Returns
    -------
    dict of str to Entry

    Raises
    ------
    CheckpointError
        If the file is missing, is not one of MXNet's or is damaged, so that MXNet's own loader must not get it.
    """
    if not is_utf8(path):
        raise CheckpointError(f"{path}: MXNet opens only files whose names are UTF-8")
    try:
        with open_regular(path) as file:
            if file.read(len(_LIST_MAGIC)) != _LIST_MAGIC:
                what = what_is(path)
                found = f"{what}; a parameter file of MXNet is expected" if what else "not a parameter file of MXNet"
                raise CheckpointError(f"{path} is {found}")
            return _read(_Content(file), path)
    except struct.error as error:
        raise CheckpointError(f"{path} is damaged ({error})") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


class _Content:
    """The rest of a file; asking for more than it holds raises a struct.error."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = os.fstat(file.fileno()).st_size - file.tell()

    def numbers(self, layout: str) -> Tuple[int, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))

    def bytes(self, size: int) -> bytes:
        self._take(size)
        return self._file.read(size)

    def skip(self, size: int) -> None:
        self._take(size)
        self._file.seek(size, os.SEEK_CUR)

    def _take(self, size: int) -> None:
        if size > self.left:
            raise struct.error("it is cut short, or claims more than it holds")
        self.left -= size


def _read(content: _Content, path: Union[str, "os.PathLike[str]"]) -> Dict[str, Entry]:
    _, count = content.numbers("<QQ")
    entries = [_entry(content, i) for i in _up_to(count, content)]
    (num_names,) = content.numbers("<Q")
    if num_names == 0 and entries:
        raise CheckpointError(f"{path} holds arrays without names: it is not what save_parameters writes")
    names = [_name(content) for _ in _up_to(num_names, content)]
    if len(names) != len(entries):
        raise struct.error(f"{len(entries)} arrays and {len(names)} names")
    if content.left:
        raise struct.error(f"{content.left} bytes too many")
    found = dict(zip(names, entries))
    if len(found) < len(entries):
        twice = next(name for name in names if names.count(name) > 1)
        raise struct.error(f"{twice} is there twice")
    return found


def _up_to(count: int, content: _Content) -> range:
    """A range of this length, if the rest of the file has a byte for each."""
    if count > content.left:
        raise struct.error("it is cut short, or claims more than it holds")
    return range(count)


def _entry(content: _Content, i: int) -> Entry:
    magic, storage = content.numbers("<Ii")
    if magic != _ARRAY_MAGIC:
        raise struct.error(f"array {i} begins with 0x{magic:x}")
    if storage != 0:
        raise struct.error(f"array {i} is a sparse one")
    (num_dimensions,) = content.numbers("<i")
    if not 0 < num_dimensions <= _MOST_DIMENSIONS:
        raise struct.error(f"array {i} has {num_dimensions} dimensions")
    shape = content.numbers(f"<{num_dimensions}q")
    context, _, kind = content.numbers("<iii")
    if min(shape) < 1 or context not in _CONTEXTS or kind not in _TYPES:
        raise struct.error(f"array {i} has shape {shape}, context {context} and type {kind}")
    dtype, size = _TYPES[kind]
    content.skip(math.prod(shape) * size)
    return Entry(shape, dtype)


def _name(content: _Content) -> str:
    (length,) = content.numbers("<Q")
    try:
        name = content.bytes(length).decode()
    except UnicodeDecodeError:
        raise struct.error("a name is not UTF-8") from None
    if "\0" in name:
        raise struct.error("a name holds a NUL character")  # where MXNet would end it
    return name
