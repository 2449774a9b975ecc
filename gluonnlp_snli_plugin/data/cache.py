"""Encoded corpora that stay on the disk, so that the next run on the same pairs need not read and encode them.

They are in ``$XDG_CACHE_HOME/gluonnlp_snli_plugin/encoded``, a file for each corpus and way to encode it: a header and
flat arrays, checked by their hash and memory-mapped when they come back. The files used last are kept, 4 GiB of them
(SNLI's training pairs take 65 MB). All of them may be deleted at any time.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import os
import stat
import struct
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import DataError
from ..system.files import cache_folder, digest, open_regular, replacing
from .cache_key import cache_key
from .encoding import SPECIAL_TOKENS, EncodedPairs, offsets_of
from .nli import LABELS
from .reader import PairReader
from .source import opened

_log = logging.getLogger("gluonnlp_snli_plugin")

_SMALLEST_FILE = 4 << 20  # bytes; what is smaller is encoded in less than a tenth of a second
_KEPT_BYTES = 4 << 30

_MAGIC = b"SNLI pairs 0002\n"
_HEAD = struct.Struct("<16s32sQ")  # magic, SHA-256 of all that follows, bytes of the JSON before the arrays
_ALIGNMENT = 64
_INT = np.dtype("<i4")
_COUNTS = ("tokens", "pairs", "truncated", "unlabelled", "bad")


class EncodedFile(NamedTuple):
    """The pairs of a file, and what there is to say about it."""

    encoded: EncodedPairs
    sha256: str  #: of the file's content
    num_unlabelled: int  #: rows left out because they have no gold label
    num_bad: int  #: rows left out because of ``on_bad_row='skip'``
    first_bad: Optional[str]  #: where the first of them is, and what is wrong with it
    texts: Optional[Tuple[List[str], List[str]]] = None  #: premises and hypotheses, where they were asked for


def encode_file(encoder, path, on_bad_row="error", with_texts=False, columns=None, labels=None):
    """Encode the labelled pairs of a file, or take them from the cache.

    Parameters
    ----------
    encoder : PairEncoder
        One whose tokenizer or truncation is not of this package works, but without the cache.
    path : str or Path
        If it is small, or no regular file, the cache is left alone.
    on_bad_row : {'error', 'skip'}, default 'error'
    with_texts : bool, default False
        Whether the sentences are wanted too.
    columns, labels : str, mapping or None
        As :class:`PairReader` takes them.

    Returns
    -------
    EncodedFile
        Its arrays are read-only if they come from the cache.

    Raises
    ------
    DataError
        If the file or a row of it cannot be used, or there are no labelled pairs.
    """
    reader = PairReader(path, on_bad_row, columns=columns, labels=labels)
    try:
        status = os.stat(path)
        before = _state(path)
        is_regular = stat.S_ISREG(status.st_mode)
        sha256 = digest(path) if is_regular else ""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not is_regular:  # a pipe can be read once only
        content = hashlib.sha256()
        lines = _hashed_lines(path, content)
        reader = PairReader(path, on_bad_row, lines=lines, columns=columns, labels=labels)
        return _encode(encoder, reader, content.hexdigest, with_texts)

    file = None
    if status.st_size >= _SMALLEST_FILE:
        key = cache_key(encoder, sha256, reader.settings)
        file = key and _cache_file(key)
    if not file:
        return _encode(encoder, reader, lambda: sha256, with_texts)
    found = _load(file, key, encoder)
    if found:
        encoded, num_unlabelled, num_bad, first_bad = found
        texts = _texts_of(reader, len(encoded)) if with_texts else None
        return EncodedFile(encoded, sha256, num_unlabelled, num_bad, first_bad, texts)
    result = _encode(encoder, reader, lambda: sha256, with_texts)
    if before and _state(path) == before and key == cache_key(encoder, sha256, reader.settings):
        # Nobody wrote to the file, or changed the vocabulary, in the meantime.
        _store(file, key, result)
    return result


def _encode(encoder, reader, sha256, with_texts):
    texts: Any = ([], []) if with_texts else None
    encoded = encoder.encode_parts(_gathered(reader.columns(), texts) if with_texts else reader.columns())
    if not len(encoded):
        why = [f"{reader.num_unlabelled} rows have no gold label"] if reader.num_unlabelled else []
        why += [f"{reader.num_bad} rows cannot be used; first, {reader.first_bad}"] if reader.num_bad else []
        raise DataError(f"{reader.path} has no labelled pairs{': ' if why else ''}{', '.join(why)}")
    return EncodedFile(encoded, sha256(), reader.num_unlabelled, reader.num_bad, reader.first_bad, texts)


def _gathered(parts, texts):
    """Passes parts of a corpus on, and adds their premises and hypotheses to `texts`."""
    for part in parts:
        for gathered, column in zip(texts, part):
            gathered.extend(column)
        yield part


def _texts_of(reader, num_pairs):
    texts: Any = ([], [])
    for _ in _gathered(reader.columns(), texts):
        pass
    if len(texts[0]) != num_pairs:
        raise DataError(f"{reader.path} has changed while it was read")
    return texts


def _hashed_lines(path, content):
    with opened(path, content) as lines:
        yield from lines


def _state(path):
    """What is different about a file after somebody wrote to it."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


# The files ----------------------------------------------------------------------------------------------------------


def _cache_file(key):
    """Where the pairs with this key are, or belong; None if there can be no cache."""
    try:
        return cache_folder("encoded") / f"{key}.pairs"
    except OSError as error:
        _log.warning("no cache for encoded pairs: %s", error)
    return None


def _load(file, key, encoder):
    """Encoded pairs, what was left out as :class:`EncodedFile` has it; None if there are none that can be used."""
    try:
        found = _read(file, key, encoder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s is encoded again: %s", file, error)
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # what was used last is removed last
    return found


def _read(file, key, encoder):
    """As :func:`_load`; raises ValueError unless everything about the file is right."""
    with open_regular(file) as opened:  # an empty one cannot be mapped, which is a ValueError too
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    if len(mapped) < _HEAD.size:
        raise ValueError("it is cut short")
    magic, sha256, json_size = _HEAD.unpack_from(mapped)
    if magic != _MAGIC:
        raise ValueError("it holds something else")
    if hashlib.sha256(memoryview(mapped)[_HEAD.size :]).digest() != sha256:
        raise ValueError("it is damaged")
    header = json.loads(mapped[_HEAD.size : _HEAD.size + json_size])
    if not isinstance(header, dict) or header.get("key") != key:
        raise ValueError("it holds other pairs")
    counts = [header.get(name, "missing") for name in _COUNTS]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("its counts are wrong")
    tokens, pairs, truncated, unlabelled, bad = map(int, counts)
    first_bad = header.get("first_bad")
    if not isinstance(first_bad, str if bad else type(None)):
        raise ValueError("its first bad row is wrong")
    start = _arrays_at(json_size)
    if len(mapped) != start + (tokens + 3 * pairs) * _INT.itemsize:
        raise ValueError("its size is wrong")
    flat = np.frombuffer(mapped, _INT, offset=start)
    input_ids, len_a, len_b, labels = np.split(flat, [tokens, tokens + pairs, tokens + 2 * pairs])
    offsets = offsets_of(len_a, len_b)
    is_sound = (
        offsets[-1] == tokens
        and min(len_a.min(initial=0), len_b.min(initial=0)) >= 0
        and _is_within(input_ids, len(encoder.vocab))
        and _is_within(labels, len(LABELS))
        and np.diff(offsets).max(initial=SPECIAL_TOKENS) <= encoder.max_len
    )
    if not is_sound:
        raise ValueError("its numbers make no sense")
    padding_id = encoder.vocab[encoder.vocab.padding_token]
    return EncodedPairs(input_ids, offsets, len_a, len_b, labels, padding_id, truncated), unlabelled, bad, first_bad


def _is_within(array, end):
    return not len(array) or (array.min() >= 0 and array.max() < end)


def _arrays_at(json_size):
    return -(-(_HEAD.size + json_size) // _ALIGNMENT) * _ALIGNMENT


def _store(file, key, result):
    """Write a file of the cache, whole or not at all; a cache that cannot be written is no error."""
    encoded = result.encoded
    counts = (len(encoded.input_ids), len(encoded), encoded.num_truncated, result.num_unlabelled, result.num_bad)
    header = json.dumps({"key": key, **dict(zip(_COUNTS, counts)), "first_bad": result.first_bad}).encode()
    arrays = (encoded.input_ids, encoded.len_a, encoded.len_b, encoded.labels)
    parts: List[Any] = [header.ljust(_arrays_at(len(header)) - _HEAD.size, b"\0")]
    parts += [np.ascontiguousarray(array, _INT).data for array in arrays]  # not copied
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(part)
    try:
        with replacing(file) as temporary, open(temporary, "wb") as opened:
            opened.write(_HEAD.pack(_MAGIC, sha256.digest(), len(header)))
            opened.writelines(parts)
        _remove_old(file.parent)
    except OSError as error:
        _log.warning("cannot keep the encoded pairs in %s: %s", file.parent, error.strerror or error)


def _remove_old(folder):
    """Leave the files used last, `_KEPT_BYTES` of them."""
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if path.suffix == ".pairs":
                files.append((status.st_mtime_ns, status.st_size, path))
    kept = 0
    for _, size, path in sorted(files, reverse=True):
        kept += size
        if kept > _KEPT_BYTES:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
