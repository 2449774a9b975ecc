"""BERT vocabularies from files: WordPiece lists (``vocab.txt``, ``tokenizer.json``), GluonNLP's JSON, SentencePiece."""

import json
import logging
from pathlib import Path

import gluonnlp as nlp
import sentencepiece

from ..errors import CheckpointError
from ..files import VOCABULARY_BYTES, is_utf8, read_bytes, read_json, read_text
from .charsmap import require_sound_charsmaps

_log = logging.getLogger("gluonnlp_snli_plugin")
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wordpiece_vocab(tokens):
    """A ``BERTVocab`` of the given tokens, in which token `i` has index `i`."""
    index = {token: i for i, token in enumerate(tokens)}
    return nlp.vocab.BERTVocab(nlp.data.count_tokens(list(index)), token_to_idx=index)


def read_wordpieces(path, size=None):
    """A ``BERTVocab`` from a ``vocab.txt``, a token a line, or from the ``tokenizer.json`` of a WordPiece tokenizer.

    Parameters
    ----------
    path : str or Path
        Read as JSON if it ends in ``.json``.
    size : int or None
        Size of the embedding the vocabulary is for; where it is larger (some are padded to a round number), the
        vocabulary is filled up with unused tokens.

    Returns
    -------
    gluonnlp.vocab.BERTVocab

    Raises
    ------
    CheckpointError
        If the file cannot be read, lacks a special token or names a token twice.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is no UTF-8 ({error.reason} at byte {error.start})") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise CheckpointError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if Path(path).suffix == ".json":
        tokens = _tokens_of_json(path, text)
    else:  # not splitlines: a token may be a line separator of Unicode
        tokens = (text[:-1] if text.endswith("\n") else text).split("\n")
    first_line = {token: line for line, token in reversed(list(enumerate(tokens, 1)))}
    missing = [token for token in _SPECIAL_TOKENS if token not in first_line]
    if missing:
        raise CheckpointError(f"{path} has no token {', '.join(missing)}: it is no BERT vocabulary")
    if len(first_line) != len(tokens):
        line, token = next((line, token) for line, token in enumerate(tokens, 1) if first_line[token] != line)
        raise CheckpointError(f"{path}, line {line}: the token {token!r} is there twice")
    if size is not None:
        if len(tokens) > size:
            raise CheckpointError(f"{path} has {len(tokens)} tokens, the weights are for {size}")
        if len(tokens) < size:
            _log.warning(
                "%s has %d tokens, the weights are for %d: filled up with unused ones", path, len(tokens), size
            )
        tokens += [f"[unused-{i}]" for i in range(len(tokens), size)]
        if len(set(tokens)) < size:
            raise CheckpointError(f"{path} cannot be filled up: it has tokens such as {tokens[-1]} already")
    return wordpiece_vocab(tokens)


def _tokens_of_json(path, text):
    """The tokens in a ``tokenizer.json``, all that transformers 5 writes for a BERT tokenizer."""
    try:
        model = json.loads(text)["model"]
        vocab = dict(model["vocab"].items())
        tokens = sorted(vocab, key=vocab.__getitem__)
        numbered = [vocab[token] for token in tokens] == list(range(len(tokens)))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON ({error})") from None
    except (TypeError, KeyError, AttributeError, RecursionError):
        numbered = False
    if not numbered or model.get("type", "WordPiece") != "WordPiece" or not _are_texts(tokens):
        raise CheckpointError(f"{path} holds no WordPiece vocabulary")
    return tokens


def _are_texts(tokens):
    """Whether all are str and none has half a character in it, which JSON can hold but no UTF-8 text."""
    try:
        "".join(tokens).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def is_sentencepiece(path):
    """Whether a file, by its name, is a SentencePiece model."""
    return Path(path).suffix in (".model", ".spiece")


def read_vocabulary(path):
    """A ``BERTVocab`` from any file that holds one, told by its name and, for ``.json``, by its content.

    Parameters
    ----------
    path : str or Path
        ``.model`` or ``.spiece``: a SentencePiece model; ``.vocab``, or ``.json`` with a ``token_to_idx`` in it: what
        ``BERTVocab.to_json`` wrote; else as :func:`read_wordpieces` takes it.

    Returns
    -------
    vocab : gluonnlp.vocab.BERTVocab
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` had to be told besides the path.

    Raises
    ------
    CheckpointError
        If the file cannot be read or holds no vocabulary of a BERT.
    """
    if is_sentencepiece(path):
        return read_sentencepieces(path)
    suffix = Path(path).suffix
    if suffix not in (".vocab", ".json"):
        return read_wordpieces(path), {}
    try:
        content = read_json(path, VOCABULARY_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except ValueError:
        content = None
    if suffix == ".json" and not (isinstance(content, dict) and "token_to_idx" in content):
        return read_wordpieces(path), {}
    return _vocab_of_json(path, content), {}


def _vocab_of_json(path, content):
    """The vocabulary that GluonNLP wrote as JSON."""
    try:
        index = content["token_to_idx"]
        numbered = sorted(index.values()) == list(range(len(index))) and set(map(type, index.values())) == {int}
        numbered = numbered and _are_texts(index)
        vocab = nlp.vocab.BERTVocab.from_json(json.dumps(content))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, RecursionError, IndexError):
        numbered = False
    if not numbered:
        raise CheckpointError(f"{path} holds no vocabulary as GluonNLP's to_json writes it")
    special = (vocab.padding_token, vocab.unknown_token, vocab.cls_token, vocab.sep_token, vocab.mask_token)
    missing = [str(token) for token in special if token not in index]
    if missing:
        raise CheckpointError(f"{path} has no token {', '.join(missing)}: it is no BERT vocabulary")
    if dict(vocab.token_to_idx) != index:
        raise CheckpointError(f"{path} contradicts itself: its special tokens are not in token_to_idx")
    continues = any(token.startswith("##") and len(token) > 2 for token in index)  # as a WordPiece does
    begins = any(token.startswith("\u2581") and len(token) > 1 for token in index)  # as a SentencePiece does
    if begins and not continues:
        raise CheckpointError(f"{path} was made of a SentencePiece model: give the model itself")
    return vocab


def read_sentencepieces(path):
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
    except (RuntimeError, ValueError):  # ValueError: pieces that are no UTF-8, too
        raise CheckpointError(f"{path} is no SentencePiece model") from None
    missing = [token for token in ("[CLS]", "[SEP]", "[MASK]") if token not in pieces]
    if missing or (model.pad_id() < 0 and "[PAD]" not in pieces):
        raise CheckpointError(f"{path} has no piece {', '.join(missing or ['[PAD]'])}: it was not trained for a BERT")
    special_tokens = {} if model.pad_id() >= 0 else {"padding_token": "[PAD]"}
    try:
        return nlp.vocab.BERTVocab.from_sentencepiece(str(path), **special_tokens), special_tokens
    except (ValueError, AssertionError) as error:
        raise CheckpointError(f"{path} holds no vocabulary of a BERT ({error})") from None
