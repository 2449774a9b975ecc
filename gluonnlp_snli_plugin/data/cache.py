"""The cache of encoded corpora: the next run on the same pairs neither reads nor encodes them.

The cache is ``$XDG_CACHE_HOME/gluonnlp_snli_plugin/encoded``, with a safetensors file for each corpus and way to encode
it, verified by its hash and memory-mapped when it is read. The most recently used files are kept, 4 GiB of them (SNLI's
training pairs take 65 MB). All of them may be deleted at any time.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import DataError, counted
from ..system.files import cache_folder, digest, replacing
from ..system.reading import naming, open_regular, reading
from ..system.tensor_file import header_of, pack_header, unpack_header
from .cache_key import cache_key
from .encoding import EncodedPairs, PairEncoder, offsets_of
from .reader import PairReader
from .schema import PairSchema, schema_or_default
from .source import opened

PathLike = Union[str, "os.PathLike[str]"]

_log = logging.getLogger("gluonnlp_snli_plugin")

_SMALLEST_FILE = 4 << 20  # bytes; a smaller one is encoded in less than a tenth of a second
_KEPT_BYTES = 4 << 30

_INT = np.dtype("<i4")
_ARRAYS = ("input_ids", "len_a", "len_b", "labels")  # in the order in which they lie in the file


class EncodedFile(NamedTuple):
    """The pairs of a file, and what was left out of it."""

    encoded: EncodedPairs
    sha256: str  #: of the file's content; of several files, of their hashes
    num_unlabelled: int  #: rows left out because they have no gold label
    num_bad: int  #: rows left out because of ``on_bad_row='skip'``
    first_bad: Optional[str]  #: where the first of them is, and what is wrong with it
    texts: Optional[Tuple[List[str], List[str]]] = None  #: premises and hypotheses, where they were asked for
    others: Sequence[List[Any]] = ()  #: the values of other columns that were asked for, with the texts


def encode_file(
    encoder: PairEncoder,
    path: Union[PathLike, Sequence[PathLike]],
    on_bad_row: str = "error",
    with_texts: bool = False,
    columns: Union[str, Mapping[str, str], None] = None,
    labels: Union[str, Mapping[str, str], None] = None,
    schema: Optional[PairSchema] = None,
    only: Optional[Mapping[str, str]] = None,
    others: Sequence[str] = (),
) -> EncodedFile:
    """Encode the labelled pairs of a file, or of several read one after the other, or take them from the cache.

    Parameters
    ----------
    encoder : PairEncoder
        The cache is not used if its tokenizer or truncation is not of this package.
    path : str or Path, or a list of them
        The cache is not used if they are small or not regular files.
    on_bad_row : {'error', 'skip'}, default 'error'
    with_texts : bool, default False
        Whether to return the sentences too.
    columns, labels : str, mapping or None
        As :class:`PairReader` takes them.
    schema : PairSchema or None
        Of the task; its labels number the classes. Default that of the task SNLI.
    only : mapping of str to str, or None
        As :class:`PairReader` takes it.
    others : sequence of str
        Names of columns whose values to return with the texts.

    Returns
    -------
    EncodedFile
        Its arrays are read-only if they come from the cache.

    Raises
    ------
    DataError
        If the file or a row of it cannot be used, or there are no labelled pairs.
    """
    schema = schema_or_default(schema)
    files: List[PathLike] = list(path) if isinstance(path, (list, tuple)) else [path]  # type: ignore[list-item]
    how: Any = {"columns": columns, "labels": labels, "schema": schema, "only": only, "others": others}
    reader = PairReader(files, on_bad_row, **how)
    hashes, sizes, before = [], [], _states(files)
    for file in files:
        with reading(file, DataError), naming(file):
            status = os.stat(file)
            if not stat.S_ISREG(status.st_mode):
                break
            hashes.append(digest(file))
            sizes.append(status.st_size)
    if len(hashes) < len(files):  # a pipe can be read once only
        if len(files) > 1:
            raise DataError(f"{files[len(hashes)]} is not a regular file, as one of several must be")
        content = hashlib.sha256()
        lines = _hashed_lines(files[0], content)
        reader = PairReader(files, on_bad_row, lines=lines, **how)
        return _encode(encoder, reader, schema.labels, content.hexdigest, with_texts)

    sha256 = hashes[0] if len(files) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    key = cache_key(encoder, sha256, reader.settings) if sum(sizes) >= _SMALLEST_FILE else None
    cached = _cache_file(key) if key else None
    if not key or not cached:
        return _encode(encoder, reader, schema.labels, lambda: sha256, with_texts)
    found = _load(cached, key, encoder)
    if found:
        encoded, num_unlabelled, num_bad, first_bad = found
        texts = _texts_of(reader, len(encoded)) if with_texts else []
        return EncodedFile(encoded, sha256, num_unlabelled, num_bad, first_bad, *_divided(texts))
    result = _encode(encoder, reader, schema.labels, lambda: sha256, with_texts)
    if before and _states(files) == before and key == cache_key(encoder, sha256, reader.settings):
        # Neither the files nor the vocabulary has changed meanwhile.
        _store(cached, key, result)
    return result


def _encode(
    encoder: PairEncoder, reader: PairReader, classes: Sequence[str], sha256: Callable[[], str], with_texts: bool
) -> EncodedFile:
    texts: List[List[Any]] = []
    parts = _gathered(reader.columns(), texts) if with_texts else reader.columns()
    encoded = encoder.encode_parts(parts, classes)
    if not len(encoded):
        why = [f"{counted(reader.num_unlabelled, 'row')} without gold label"] if reader.num_unlabelled else []
        why += [f"{counted(reader.num_bad, 'row')} cannot be used; first, {reader.first_bad}"] if reader.num_bad else []
        raise DataError(f"{reader.path} has no labelled pairs{': ' if why else ''}{', '.join(why)}")
    return EncodedFile(encoded, sha256(), reader.num_unlabelled, reader.num_bad, reader.first_bad, *_divided(texts))


def _gathered(parts: Iterable[Any], texts: List[List[Any]]) -> Iterator[Any]:
    """Yields the parts of a corpus, and adds their columns, all but the labels, to `texts`."""
    for part in parts:
        columns = [*part[:2], *part[3:]]
        texts += [[] for _ in columns[len(texts) :]]
        for gathered, column in zip(texts, columns):
            gathered.extend(column)
        yield part[:3]


def _divided(texts: List[List[Any]]) -> Tuple[Any, Any]:
    """What was gathered, as :class:`EncodedFile` has it."""
    return (tuple(texts[:2]), texts[2:]) if texts else (None, ())


def _texts_of(reader: PairReader, num_pairs: int) -> List[List[Any]]:
    texts: List[List[Any]] = []
    for _ in _gathered(reader.columns(), texts):
        pass
    if not texts or len(texts[0]) != num_pairs:
        raise DataError(f"{reader.path} changed while it was read")
    return texts


def _hashed_lines(path: PathLike, content: Any) -> Iterator[Any]:
    with opened(path, content) as lines:
        yield from lines


def _states(paths: Sequence[PathLike]) -> Optional[List[Tuple[int, ...]]]:
    """What changes about files when they are written to; None if one is missing."""
    try:
        found = [os.stat(path) for path in paths]
    except (OSError, ValueError):  # ValueError: a NUL in the name, which reading it reports
        return None
    return [(one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found]


# The files ----------------------------------------------------------------------------------------------------------


def _cache_file(key: str) -> Optional[Path]:
    """The file for pairs with this key; None if there can be no cache."""
    try:
        return cache_folder("encoded") / f"{key}.pairs"
    except OSError as error:
        _log.warning("no cache for encoded pairs: %s", error)
    return None


def _load(file: Path, key: str, encoder: PairEncoder) -> Optional[Tuple[EncodedPairs, int, int, Optional[str]]]:
    """Encoded pairs and what was left out, as :class:`EncodedFile` has it; None if there is no usable file."""
    try:
        found = _read(file, key, encoder)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read: %s; the pairs are encoded again", file, error.strerror)
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        _log.warning("%s is damaged; the pairs are encoded again", file)
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # what was used last is removed last
    return found


def _read(file: Path, key: str, encoder: PairEncoder) -> Tuple[EncodedPairs, int, int, Optional[str]]:
    """As :func:`_load`; raises an error if the file is not what :func:`_store` wrote."""
    with open_regular(file) as opened:  # an empty one cannot be mapped, which is a ValueError too
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    header, start = unpack_header(mapped)
    data = memoryview(mapped)[start:]
    about = header["__metadata__"]
    if about.pop("sha256") != _hash(header, [data]) or about["key"] != key:
        raise ValueError
    input_ids, len_a, len_b, labels = (
        np.frombuffer(data[slice(*header[name]["data_offsets"])], _INT) for name in _ARRAYS
    )
    offsets = offsets_of(len_a, len_b, encoder.layout)
    padding_id = encoder.vocab[encoder.vocab.padding_token]
    truncated, unlabelled, bad = (int(about[name]) for name in ("truncated", "unlabelled", "bad"))
    encoded = EncodedPairs(input_ids, offsets, len_a, len_b, labels, padding_id, truncated, encoder.layout)
    return encoded, unlabelled, bad, about.get("first_bad")


def _store(file: Path, key: str, result: EncodedFile) -> None:
    """Write a file of the cache, atomically; a cache that cannot be written is only a warning."""
    encoded = result.encoded
    arrays = {name: np.ascontiguousarray(getattr(encoded, name), _INT) for name in _ARRAYS}
    about = {"key": key, "truncated": encoded.num_truncated, "unlabelled": result.num_unlabelled, "bad": result.num_bad}
    if result.first_bad is not None:
        about["first_bad"] = result.first_bad
    header = header_of(arrays)
    header["__metadata__"] = {name: str(value) for name, value in about.items()}
    contents = [arrays[name].data for name in _ARRAYS]
    header["__metadata__"]["sha256"] = _hash(header, contents)
    try:
        with replacing(file) as temporary, open(temporary, "wb") as opened:
            opened.write(pack_header(header))
            opened.writelines(contents)
        _remove_old(file.parent)
    except OSError as error:
        _log.warning("cannot keep the encoded pairs in %s: %s", file.parent, error.strerror or error)


def _hash(header: Dict[str, Any], contents: Iterable[Any]) -> str:
    """SHA-256 of a file: its header without this hash, then the arrays."""
    sha256 = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for content in contents:
        sha256.update(content)
    return sha256.hexdigest()


def _remove_old(folder: Path) -> None:
    """Keep the most recently used files, `_KEPT_BYTES` of them."""
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
