"""What is wrong with a row, and how it is shown."""

from typing import Any


class BadRow(Exception):
    """A row that cannot be used; the message says why, without saying where."""


def show(value: Any) -> str:
    """A short one-line picture of something found in a file."""
    text = repr(value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else value)
    return text if len(text) <= 60 else text[:57] + "..."


def decode(line: bytes) -> str:
    """A line as text; raises :class:`BadRow` if it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        what = f"not valid UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x})"
        raise BadRow(f"{what}: {show(line)}") from None
