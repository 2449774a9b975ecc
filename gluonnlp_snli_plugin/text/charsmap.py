"""Checks a SentencePiece model's table of characters: SentencePiece reads it without checking bounds.

The table is a double array of units of four bytes (darts-clone), whose leaves are places in a text of replacements,
each of which ends with a NUL. A damaged one made some releases of SentencePiece end the process.
"""

from typing import Iterator, Tuple

import numpy as np

_SPECS = (3, 5)  # of ModelProto: normalizer_spec and denormalizer_spec
_CHARSMAP = 2  # of NormalizerSpec: precompiled_charsmap
_LEAF = np.uint32(1 << 31)


def require_sound_charsmaps(model: bytes) -> None:
    """Raise a ValueError if a table in a serialized ModelProto leads out of itself.

    Parameters
    ----------
    model : bytes
    """
    for number, spec in _fields(memoryview(model)):
        if number in _SPECS:
            for inner, charsmap in _fields(spec):
                if inner == _CHARSMAP and len(charsmap):
                    _require_sound(bytes(charsmap))


def _require_sound(charsmap: bytes) -> None:
    size = int.from_bytes(charsmap[:4], "little")
    text = charsmap[4 + size :]
    if size == 0 or size % 1024 or not text.endswith(b"\0"):
        raise ValueError("the table of characters is cut short")
    text.decode()  # a UnicodeDecodeError is a ValueError
    units = np.frombuffer(charsmap, "<u4", size // 4, 4)
    is_leaf = (units & _LEAF) != 0
    offsets = (units >> 10) << ((units & 0x200) >> 6)
    places = (np.arange(len(units), dtype=np.uint32) ^ offsets) | 0xFF  # the last that a unit may lead to
    values = units & ~_LEAF
    begins = np.frombuffer(b"\0" + text[:-1], np.uint8) == 0  # of a replacement
    if (places[~is_leaf] >= len(units)).any() or (values[is_leaf] >= len(text)).any():
        raise ValueError("the table of characters leads out of itself")
    if not begins[values[is_leaf]].all():
        raise ValueError("the table of characters leads into the middle of a text")


def _fields(message: memoryview) -> Iterator[Tuple[int, memoryview]]:
    """Number and content of each field with a length of a serialized message; a ValueError if that is damaged."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("a field is cut short")
            yield tag >> 3, message[place : place + length]
            place += length
        else:
            raise ValueError(f"a field is of wire type {kind}")


def _varint(message: memoryview, place: int) -> Tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("a number is cut short")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has no end")
