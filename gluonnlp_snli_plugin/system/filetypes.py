"""Names the type of a file by its first bytes, for errors about an unexpected file."""

import os
import re
from typing import Optional, Tuple, Union

HEAD_SIZE = 512  # bytes that are read

_MAGIC: Tuple[Tuple[bytes, str], ...] = (  # the first match counts
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself (run `git annex get`)"),
    (b"\xff\xfe\0\0", "UTF-32 text (convert it to UTF-8)"),
    (b"\0\0\xfe\xff", "UTF-32 text (convert it to UTF-8)"),
    (b"\xff\xfe", "UTF-16 text (convert it to UTF-8)"),
    (b"\xfe\xff", "UTF-16 text (convert it to UTF-8)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh91AY&SY", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"PAR1\x15", "a Parquet file"),
    (b"ARROW1\0", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office file such as an .xls spreadsheet"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"\x12\x01\0\0\0\0\0\0", "a parameter file of MXNet"),
)
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:(!doctype\s+html|html|head|body)\b|(\?xml\b))", re.IGNORECASE)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_OFFICE = re.compile(rb"\[Content_Types\]\.xml|_rels/|docProps/|xl/|mimetypeapplication/vnd\.")
_FEWEST_NULS = 0.7  # of every second byte, in UTF-16 text of a Latin alphabet


def describe(content: bytes) -> Optional[str]:
    """The type of a file, if it is neither plain UTF-8 text nor JSON.

    Parameters
    ----------
    content : bytes
        The beginning of the file; its first ``HEAD_SIZE`` bytes suffice.

    Returns
    -------
    str or None
        With an article, to follow "PATH is ": 'a Parquet file', 'UTF-16 text (convert it to UTF-8)'.
    """
    content = content[:HEAD_SIZE]
    known = next((name for magic, name in _MAGIC if content.startswith(magic)), None)
    if known:
        return known
    markup = _MARKUP.match(content)
    if markup:
        return "an HTML page" if markup[1] else "an XML document"
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(content)
    if content[257:262] == b"ustar":
        return "a tar archive"
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < 1 << 32:
        return "a safetensors file"
    if _PICKLE.match(content):
        return "a Python pickle, as torch.save wrote it"
    return _without_mark(content)


def what_is(path: Union[str, "os.PathLike[str]"]) -> Optional[str]:
    """:func:`describe` for a file; None also if it is not a regular file that can be read."""
    if not os.path.isfile(path):  # opening a named pipe would wait for its writer
        return None
    try:
        with open(path, "rb") as file:
            return describe(file.read(HEAD_SIZE))
    except OSError:
        return None


def _zip(content: bytes) -> str:
    """By the names of its first members, which are not compressed."""
    if b"/data.pkl" in content or b"/byteorder" in content:
        return "a Python pickle, as torch.save wrote it"
    if b".npy" in content:
        return "a NumPy file"
    if _OFFICE.search(content):
        return "an office document such as an .xlsx spreadsheet (save it as CSV)"
    return "a ZIP archive"


def _without_mark(content: bytes) -> Optional[str]:
    """UTF-16 without a byte order mark: every second byte of Latin letters is 0."""
    content = content[: len(content) // 2 * 2]
    halves = content[::2], content[1::2]
    few, many = sorted(half.count(0) for half in halves)
    return "UTF-16 text (convert it to UTF-8)" if few == 0 and many > _FEWEST_NULS * len(halves[0]) > 2 else None
