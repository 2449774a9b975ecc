"""Texts of data files and records, made safe to show."""

import unicodedata
from typing import Any

# Characters that change the direction of text, or end lines.
_MARKS = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def plain(value: Any) -> str:
    """A text whose control characters are shown by their numbers.

    Returns
    -------
    str
    """
    return "".join(f"\\u{ord(c):04x}" if _is_hidden(c) else c for c in str(value))


def _is_hidden(character: str) -> bool:
    return character in _MARKS or (character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cs"))
