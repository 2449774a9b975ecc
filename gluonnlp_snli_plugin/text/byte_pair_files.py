"""Vocabularies of byte-level BPE from Hugging Face's files: ``vocab.json`` with ``merges.txt``, ``tokenizer.json``."""

import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..errors import CheckpointError
from ..system.filetypes import what_is
from ..system.reading import VOCABULARY_BYTES, read_json, read_text, reading
from .byte_pairs import SPECIAL_TOKENS, BytePairVocab, byte_pair_vocab, problem_of_byte_pairs

MERGES = "merges.txt"
_PathLike = Union[str, "os.PathLike[str]"]
_MOST_TOKENS = 1 << 24
_log = logging.getLogger("gluonnlp_snli_plugin")


def is_byte_pairs(content: Any) -> bool:
    """Whether the content of a ``.json`` file is that of a ``vocab.json``, or of a BPE's ``tokenizer.json``."""
    if not isinstance(content, dict):
        return False
    model = content.get("model")
    if isinstance(model, dict):
        kind = model.get("type", "BPE" if "merges" in model else None)  # which old files do not say
        return bool(kind == "BPE")
    return bool(content) and all(type(value) is int for value in content.values())


def read_byte_pairs(path: _PathLike, content: Dict[str, Any]) -> BytePairVocab:
    """The vocabulary of a ``tokenizer.json``, or of a ``vocab.json`` beside which there is a ``merges.txt``.

    Raises
    ------
    CheckpointError
        If a file cannot be read, or they do not hold a byte-level BPE with RoBERTa's special tokens.
    """
    if isinstance(content.get("model"), dict):
        index, merges = byte_pairs_of_json(path, content)
        with reading(path, CheckpointError):
            added = {token["content"]: token["id"] for token in content.get("added_tokens") or ()}
        index = _checked_index(path, {**added, **index})
    else:
        index, merges = _checked_index(path, content), read_merges(Path(path).with_name(MERGES))
    return vocab_of_byte_pairs(path, index, merges)


def byte_pair_index(path: _PathLike) -> Dict[str, int]:
    """The tokens in a ``vocab.json``, and their ids.

    Raises
    ------
    CheckpointError
    """
    _require_text(path)
    with reading(path, CheckpointError, damaged=f"{path} is not valid JSON", missing=f"{path} is missing"):
        content = read_json(path, VOCABULARY_BYTES)
    return _checked_index(path, content)


def read_merges(path: _PathLike) -> List[str]:
    """The merges in a ``merges.txt``, whose first line says a version.

    Raises
    ------
    CheckpointError
    """
    _require_text(path)
    with reading(path, CheckpointError, damaged=f"{path} is not valid UTF-8", missing=f"{path} is missing"):
        lines = read_text(path).rstrip("\n").split("\n")
    if not lines[0].startswith("#version"):
        raise CheckpointError(f"{path}: its first line is not #version: 0.2, as in the merges of a byte-level BPE")
    return lines[1:]


def _require_text(path: _PathLike) -> None:
    what = what_is(path)
    if what:
        raise CheckpointError(f"{path} is {what}; a vocabulary is expected")


def byte_pairs_of_json(path: _PathLike, content: Dict[str, Any]) -> Tuple[Dict[str, int], List[str]]:
    """Tokens with their ids, and merges, of a ``tokenizer.json``, parsed; its added tokens are not among them.

    Raises
    ------
    CheckpointError
        If it does not hold a BPE.
    """
    model = content.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(merges, list):
        raise CheckpointError(f"{path} does not hold a BPE vocabulary")
    index = _checked_index(path, model.get("vocab"))
    # Two ways of writing a pair.
    joined = [" ".join(merge) if _is_pair(merge) else merge for merge in merges]
    return index, joined


def _is_pair(merge: Any) -> bool:
    return isinstance(merge, list) and len(merge) == 2 and all(isinstance(part, str) for part in merge)


def _checked_index(path: _PathLike, index: Any) -> Dict[str, int]:
    with reading(path, CheckpointError, damaged=f"{path} does not hold a BPE vocabulary"):
        "".join(index).encode()  # a UnicodeEncodeError, which is a ValueError, for half a character
        if not index or not all(type(i) is int and 0 <= i < _MOST_TOKENS for i in index.values()):
            raise ValueError
        found = dict(index)
    if len(set(found.values())) < len(found):
        raise CheckpointError(f"{path} gives two tokens the same id")
    return found


def vocab_of_byte_pairs(
    path: _PathLike,
    index: Mapping[str, int],
    merges: Sequence[str],
    size: Optional[int] = None,
    special_tokens: Optional[Mapping[str, str]] = None,
) -> BytePairVocab:
    """A vocabulary of tokens at their ids and their merges; ids without a token get names that no text has.

    Parameters
    ----------
    path : str or Path
        Where the tokens come from.
    index : dict of str to int
    merges : sequence of str
    size : int or None
        Rows of the embedding that the vocabulary is for; one that is smaller is filled up.
    special_tokens : dict of str to str, or None
        What ``<s>`` and its kind are called here, by GluonNLP's names for them.

    Raises
    ------
    CheckpointError
        If a special token is missing, there are more tokens than rows, or it is not a byte-level BPE.
    """
    names = {**SPECIAL_TOKENS, **(special_tokens or {})}
    with reading(path, CheckpointError, damaged=f"{path}: a token has half a character in it"):
        "".join(index).encode()
    missing = [token for token in names.values() if token not in index]
    if missing:
        raise CheckpointError(f"{path} has no token {', '.join(missing)}: it is not a RoBERTa vocabulary")
    if len(set(names.values())) < len(names):
        raise CheckpointError(f"{path}: two special tokens have one name: {', '.join(names.values())}")
    require_byte_pairs(path, index, merges)
    rows = 1 + max(index.values())
    if size is not None and rows > size:
        raise CheckpointError(f"{path} has {rows} tokens, the weights are for {size}")
    if size is not None and rows < size:
        _log.warning("%s has %d tokens, the weights are for %d: filled up with unused ones", path, rows, size)
        rows = size
    tokens = {i: token for token, i in index.items()}
    # Two characters at least that only merges could join, and there is none of these.
    named = [tokens.get(i) or f"[unused-{i}]" for i in range(rows)]
    if len(set(named)) < rows:
        raise CheckpointError(f"{path} has a token such as [unused-7], and none at that id")
    return byte_pair_vocab(named, merges, names)


def require_byte_pairs(path: _PathLike, index: Mapping[str, int], merges: Sequence[Any]) -> None:
    """Raise a CheckpointError if tokens and merges do not make a byte-level BPE."""
    problem = problem_of_byte_pairs(index, merges)
    if problem:
        raise CheckpointError(f"{path}: {problem}")
