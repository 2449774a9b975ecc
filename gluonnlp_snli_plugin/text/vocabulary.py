"""Vocabularies from files: WordPiece lists (``vocab.txt``, ``tokenizer.json``), GluonNLP's JSON, SentencePiece."""

import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import gluonnlp as nlp
import sentencepiece
from gluonnlp.vocab import BERTVocab, Vocab

from ..errors import CheckpointError
from ..system.files import is_utf8
from ..system.filetypes import what_is
from ..system.reading import VOCABULARY_BYTES, read_bytes, read_json, read_text, reading
from .byte_pair_files import is_byte_pairs, read_byte_pairs, require_byte_pairs
from .byte_pairs import BytePairVocab
from .charsmap import require_sound_charsmaps
from .tokenizer_settings import special_tokens as special_tokens_of

SPECIAL_TOKENS = {  # by GluonNLP's names for them
    "padding_token": "[PAD]",
    "unknown_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_MOST_TOKENS = 1 << 24
_MARKS = {  # of other kinds of pieces: what they are, and whether a token that is more than the mark bears it
    "SentencePiece": lambda token: token.startswith("\u2581"),
    "byte-level BPE": lambda token: token.startswith("\u0120"),
    "BPE": lambda token: token.endswith(("@@", "</w>")),
}
_log = logging.getLogger("gluonnlp_snli_plugin")


def wordpiece_vocab(tokens: Sequence[str], special_tokens: Optional[Dict[str, str]] = None) -> BERTVocab:
    """A ``BERTVocab`` of the given tokens, in which token `i` has index `i`.

    Parameters
    ----------
    tokens : sequence of str, each there once
    special_tokens : dict of str to str, or None
        What ``[PAD]`` and its kind are called here, by the names of ``BERTVocab``'s arguments.
    """
    index = {token: i for i, token in enumerate(tokens)}
    return BERTVocab(nlp.data.count_tokens(list(index)), token_to_idx=index, **(special_tokens or {}))


def read_wordpieces(path: Union[str, "os.PathLike[str]"], size: Optional[int] = None) -> BERTVocab:
    """A ``BERTVocab`` from a ``vocab.txt``, a token a line, or from the ``tokenizer.json`` of a WordPiece tokenizer.

    Parameters
    ----------
    path : str or Path
        Read as JSON if it ends in ``.json``.
    size : int or None
        As :func:`vocab_of_index` takes it.

    Returns
    -------
    gluonnlp.vocab.BERTVocab

    Raises
    ------
    CheckpointError
        If the file cannot be read, lacks a special token or holds pieces of another kind.
    """
    return vocab_of_index(path, wordpiece_index(path), size)


def wordpiece_index(path: Union[str, "os.PathLike[str]"]) -> Dict[str, int]:
    """The tokens in a ``vocab.txt`` or a ``tokenizer.json``, and their ids.

    In ``vocab.txt`` ids are line numbers. Of a token that is there several times the last line counts, as for Hugging
    Face's tokenizers; earlier ones, like blank lines, keep their ids, which nothing leads to.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    """
    what = what_is(path)
    if what:
        raise CheckpointError(f"{path} is {what}; a vocabulary is expected")
    with reading(path, CheckpointError):
        try:
            text = read_text(path)
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} is not valid UTF-8 ({error.reason} at byte {error.start})") from None
    if Path(path).suffix == ".json":
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} is not valid JSON ({error})") from None
        return index_of_json(path, content)
    tokens = text.rstrip("\n").split("\n")  # not splitlines: a token may be a line separator of Unicode
    index = {token: i for i, token in enumerate(tokens) if token}
    lost = [i for i, token in enumerate(tokens) if index.get(token) != i]
    if lost:
        first = tokens[lost[0]]
        reason = f"{first!r} is there again on line {index[first] + 1}" if first else "it is blank"
        _log.warning("%s: lines never looked up: %d, first line %d (%s)", path, len(lost), lost[0] + 1, reason)
    return index


def index_of_json(path: Union[str, "os.PathLike[str]"], content: Any) -> Dict[str, int]:
    """The tokens of a ``tokenizer.json``, parsed, and their ids.

    Raises
    ------
    CheckpointError
        If it is not that of a WordPiece tokenizer, or gives two tokens one id.
    """
    try:
        model = content["model"]
        index = dict(model["vocab"].items())
        is_sound = _are_ids(index.values()) and _are_texts(index) and model.get("type", "WordPiece") == "WordPiece"
    except (TypeError, KeyError, AttributeError):
        is_sound = False
    if not is_sound:
        raise CheckpointError(f"{path} does not hold a WordPiece vocabulary")
    if len(set(index.values())) < len(index):
        raise CheckpointError(f"{path} gives two tokens the same id")
    return index


def _are_ids(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < _MOST_TOKENS for value in values)


def vocab_of_index(
    path: Union[str, "os.PathLike[str]"],
    index: Dict[str, int],
    size: Optional[int] = None,
    special_tokens: Optional[Dict[str, str]] = None,
) -> BERTVocab:
    """A ``BERTVocab`` of tokens at their ids; ids that no token has get names that no text contains.

    Parameters
    ----------
    path : str or Path
        Where the tokens come from.
    index : dict of str to int
    size : int or None
        Rows of the embedding that the vocabulary is for; where it is larger (some are padded to a round number), the
        vocabulary is filled up.
    special_tokens : dict of str to str, or None
        As :func:`wordpiece_vocab` takes it.

    Raises
    ------
    CheckpointError
        If a special token is missing, there are more tokens than rows, or the pieces are of another kind.
    """
    special_tokens = {**SPECIAL_TOKENS, **(special_tokens or {})}
    missing = [token for token in special_tokens.values() if token not in index]
    if missing:
        raise CheckpointError(f"{path} has no token {', '.join(missing)}: it is not a BERT vocabulary")
    if len(set(special_tokens.values())) < len(special_tokens):
        raise CheckpointError(f"{path}: two special tokens have one name: {', '.join(special_tokens.values())}")
    require_wordpieces(path, index)
    rows = 1 + max(index.values())
    if size is not None:
        if rows > size:
            raise CheckpointError(f"{path} has {rows} tokens, the weights are for {size}")
        if rows < size:
            _log.warning("%s has %d tokens, the weights are for %d: filled up with unused ones", path, rows, size)
        rows = size
    tokens: List[Optional[str]] = [None] * rows
    for token, i in index.items():
        tokens[i] = token
    named = [token if token is not None else _unused(i, index) for i, token in enumerate(tokens)]
    return wordpiece_vocab(named, {key: name for key, name in special_tokens.items() if name != SPECIAL_TOKENS[key]})


def _unused(i: int, index: Dict[str, int]) -> str:
    """A name for an id without token: brackets stand alone in what a BERT tokenizer looks up."""
    name = f"[unused-{i}]"
    while name in index:
        name = f"[{name}]"
    return name


def require_wordpieces(path: Union[str, "os.PathLike[str]"], tokens: Iterable[str]) -> None:
    """Refuse pieces of another kind, most of which WordPiece would never find.

    Raises
    ------
    CheckpointError
    """
    tokens = [token for token in tokens if len(token) > 1]
    num_wordpieces = sum(token.startswith("##") for token in tokens)
    for kind, bears_mark in _MARKS.items():
        found = [token for token in tokens if bears_mark(token)]
        if len(found) > num_wordpieces:
            raise CheckpointError(
                f"{path} holds pieces of {kind}, such as {found[0]!r}, not of WordPiece: give the SentencePiece model "
                "itself if it is one made for a BERT, or a checkpoint with a WordPiece vocabulary"
            )


def _are_texts(tokens: Iterable[Any]) -> bool:
    """Whether all are str and none has half a character in it, which JSON can hold but no UTF-8 text."""
    try:
        "".join(tokens).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def is_sentencepiece(path: Union[str, "os.PathLike[str]"]) -> bool:
    """Whether a file, by its name, is a SentencePiece model."""
    return Path(path).suffix in (".model", ".spiece")


def read_vocabulary(path: Union[str, "os.PathLike[str]"]) -> Tuple[Vocab, Dict[str, str]]:
    """A vocabulary from any file that holds one, told by its name and, for ``.json``, by its content.

    Parameters
    ----------
    path : str or Path
        ``.model`` or ``.spiece``: a SentencePiece model; ``.vocab``, or ``.json`` with a ``token_to_idx`` in it: what
        ``to_json`` of a ``BERTVocab`` or ``BytePairVocab`` wrote; other ``.json`` of a byte-level BPE: as
        :func:`.read_byte_pairs` takes it; else as :func:`read_wordpieces` takes it.

    Returns
    -------
    vocab : gluonnlp.vocab.BERTVocab or BytePairVocab
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` had to be told besides the path.

    Raises
    ------
    CheckpointError
        If the file cannot be read or does not hold the vocabulary of a BERT or a RoBERTa.
    """
    if is_sentencepiece(path):
        return read_sentencepieces(path)
    suffix = Path(path).suffix
    if suffix not in (".vocab", ".json"):
        return read_wordpieces(path), {}
    with reading(path, CheckpointError):
        try:
            content = read_json(path, VOCABULARY_BYTES)
        except ValueError:
            content = None
    if suffix == ".json" and not (isinstance(content, dict) and "token_to_idx" in content):
        return (read_byte_pairs(path, content) if is_byte_pairs(content) else read_wordpieces(path)), {}
    return _vocab_of_json(path, content), {}


def _vocab_of_json(path: Union[str, "os.PathLike[str]"], content: Any) -> Vocab:
    """The vocabulary that GluonNLP wrote as JSON."""
    with reading(path, CheckpointError, damaged=f"{path} does not hold a vocabulary as GluonNLP's to_json writes it"):
        index = content["token_to_idx"]
        numbered = sorted(index.values()) == list(range(len(index))) and set(map(type, index.values())) == {int}
        if not (numbered and _are_texts(index)):
            raise ValueError
        kind = BytePairVocab if "merges" in content else BERTVocab
        vocab = kind.from_json(json.dumps(content))
    missing = [str(token) for token in special_tokens_of(vocab) if token not in index]
    if missing:
        raise CheckpointError(f"{path} has no token {', '.join(missing)}: it is not a BERT vocabulary")
    if dict(vocab.token_to_idx) != index:
        raise CheckpointError(f"{path} contradicts itself: its special tokens are not in token_to_idx")
    if isinstance(vocab, BytePairVocab):
        require_byte_pairs(path, index, vocab.merges)
    else:
        require_wordpieces(path, index)
    return vocab


def read_sentencepieces(path: Union[str, "os.PathLike[str]"]) -> Tuple[BERTVocab, Dict[str, str]]:
    """A ``BERTVocab`` from a SentencePiece model.

    Returns
    -------
    vocab : gluonnlp.vocab.BERTVocab
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` had to be told besides the path.
    """
    if not is_utf8(path):
        raise CheckpointError(f"{path}: SentencePiece opens only files whose names are UTF-8")
    try:
        content = read_bytes(path)
        require_sound_charsmaps(content)
        model = sentencepiece.SentencePieceProcessor()
        model.LoadFromSerializedProto(content)
        pieces = [model.IdToPiece(i) for i in range(model.GetPieceSize())]
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except (RuntimeError, ValueError):  # ValueError: or pieces that are not UTF-8
        what = what_is(path)
        raise CheckpointError(
            f"{path} is {what}; a SentencePiece model is expected" if what else f"{path} is not a SentencePiece model"
        ) from None
    missing = [token for token in ("[CLS]", "[SEP]", "[MASK]") if token not in pieces]
    if missing or (model.pad_id() < 0 and "[PAD]" not in pieces):
        raise CheckpointError(f"{path} has no piece {', '.join(missing or ['[PAD]'])}: it was not trained for a BERT")
    special_tokens = {} if model.pad_id() >= 0 else {"padding_token": "[PAD]"}
    try:
        return nlp.vocab.BERTVocab.from_sentencepiece(str(path), **special_tokens), special_tokens
    except (ValueError, AssertionError) as error:
        raise CheckpointError(f"{path} does not hold the vocabulary of a BERT ({error})") from None
