"""The name of an encoded corpus: a hash of everything that it depends on."""

import dataclasses
import hashlib
import json
import unicodedata

import gluonnlp
import sentencepiece
from gluonnlp.data import BERTBasicTokenizer, BERTSPTokenizer, BERTTokenizer, fast_bert_tokenizer
from gluonnlp.vocab import BERTVocab

from ..system.files import digest
from ..text.bert_characters import BertWords
from ..text.tokenizers import CachedTokenizer, HuggingFaceBERTTokenizer
from . import truncation
from .encoding import PairEncoder

_ENCODER = 2  # to be raised whenever reading or encoding gives something else for the same input
_TRUNCATIONS = (
    truncation.LongestFirst,
    truncation.Equal,
    truncation.Ratio,
    truncation.OnlyFirst,
    truncation.OnlySecond,
)

# What the host's tokenizers consist of; one with anything more to it was changed by somebody.
_PARTS = {"vocab", "max_input_chars_per_word", "basic_tokenizer"}
_PARTS_OF_WORDPIECE = _PARTS | {"wordpiece_tokenizer"}
_PARTS_OF_SP = _PARTS | {"sentencepiece", "_path", "_num_best", "_alpha"}


def cache_key(encoder, sha256, reading):
    """Name for what `encoder` makes of a file: a hash of everything that it depends on.

    Parameters
    ----------
    encoder : PairEncoder
    sha256 : str
        Of the file's content.
    reading : list
        How the file is read: ``PairReader.settings``.

    Returns
    -------
    str or None
        None if the encoder has a part whose behaviour is not known from its settings: a tokenizer, vocabulary or
        truncation of somebody else's class, or a tokenizer that samples.
    """
    if type(encoder) is not PairEncoder or type(encoder.tokenizer) is not CachedTokenizer:
        return None
    host = encoder.tokenizer.host
    tokenizer = _tokenizer_settings(host)
    if tokenizer is None or type(encoder.truncation) not in _TRUNCATIONS or vars(encoder.truncation):
        return None
    if {type(host.vocab), type(encoder.vocab)} != {BERTVocab}:
        return None
    settings = {
        "encoder": _ENCODER,
        "file": [sha256, reading],
        "tokenizer": tokenizer,
        "vocab": _vocab_settings(host.vocab),
        "special": None if encoder.vocab is host.vocab else _vocab_settings(encoder.vocab),
        "max_len": int(encoder.max_len),
        "truncation": type(encoder.truncation).__name__,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _tokenizer_settings(host):
    """All that a tokenizer's tokens depend on besides the vocabulary; None if there may be more to it."""
    settings = {
        "kind": type(host).__name__,
        "gluonnlp": gluonnlp.__version__,
        "unicode": unicodedata.unidata_version,  # says what a letter is, an accent, white space
        "longest": getattr(host, "max_input_chars_per_word", None),
    }
    if type(host) is HuggingFaceBERTTokenizer:
        return {**settings, **dataclasses.asdict(host.settings)}
    if type(host) is BERTTokenizer:
        basic = host.basic_tokenizer
        pieces = host.wordpiece_tokenizer
        is_known = type(pieces) is fast_bert_tokenizer.WordpieceTokenizer and pieces.vocab is host.vocab
        if set(vars(host)) != _PARTS_OF_WORDPIECE or not is_known:
            return None
        settings.update(longest=pieces.max_input_chars_per_word, unknown=pieces.unk_token)
    elif type(host) is BERTSPTokenizer:
        basic = host.basic_tokenizer
        is_known = type(basic) in (BERTBasicTokenizer, BertWords) and host._num_best in (0, 1)
        if set(vars(host)) != _PARTS_OF_SP or not is_known:
            return None
        try:
            settings.update(model=digest(host._path), sentencepiece=sentencepiece.__version__)
        except OSError:
            return None
        if type(basic) is BertWords:
            return {**settings, **dataclasses.asdict(basic.settings)}
        basic = basic.tokenizer
    else:
        return None
    if type(basic) is not fast_bert_tokenizer.BasicTokenizer:
        return None
    return {**settings, "lower": bool(basic.lower)}


def _vocab_settings(vocab):
    special = [vocab.unknown_token, vocab.padding_token, vocab.cls_token, vocab.sep_token]
    return [special, vocab.token_to_idx]
