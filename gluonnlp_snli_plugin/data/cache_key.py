"""The name of an encoded corpus: a hash of everything that it depends on."""

import dataclasses
import hashlib
import json
import unicodedata
from typing import Any, Dict, List, Optional

import gluonnlp
import sentencepiece
from gluonnlp.data import BERTBasicTokenizer, BERTSPTokenizer, BERTTokenizer, fast_bert_tokenizer
from gluonnlp.vocab import BERTVocab, Vocab

from ..system.files import digest
from ..text.bert_characters import BertWords
from ..text.byte_pairs import BytePairTokenizer, BytePairVocab
from ..text.tokenizer_settings import special_tokens
from ..text.tokenizers import CachedTokenizer, HuggingFaceBERTTokenizer
from . import truncation
from .encoding import PairEncoder

_ENCODER = 4  # raise it whenever the same input is read, encoded or stored differently
_TRUNCATIONS = (
    truncation.LongestFirst,
    truncation.Equal,
    truncation.Ratio,
    truncation.OnlyFirst,
    truncation.OnlySecond,
)

# The attributes of the host's tokenizers; one with any other has been changed.
_PARTS = {"vocab", "max_input_chars_per_word", "basic_tokenizer"}
_PARTS_OF_WORDPIECE = _PARTS | {"wordpiece_tokenizer"}
_PARTS_OF_SP = _PARTS | {"sentencepiece", "_path", "_num_best", "_alpha"}


def cache_key(encoder: PairEncoder, sha256: str, reading: List[Any]) -> Optional[str]:
    """The name of the encoded pairs of a file: a hash of everything that they depend on.

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
        None if the settings of a part of the encoder do not determine what it does: a tokenizer, vocabulary or
        truncation of an unknown class, or a tokenizer that samples.
    """
    if type(encoder) is not PairEncoder or type(encoder.tokenizer) not in (CachedTokenizer, BytePairTokenizer):
        return None
    host = encoder.tokenizer.host
    tokenizer = _tokenizer_settings(host)
    if tokenizer is None or type(encoder.truncation) not in _TRUNCATIONS or vars(encoder.truncation):
        return None
    if {type(host.vocab), type(encoder.vocab)} not in ({BERTVocab}, {BytePairVocab}):
        return None
    settings = {
        "encoder": _ENCODER,
        "file": [sha256, reading],
        "tokenizer": tokenizer,
        "vocab": _vocab_settings(host.vocab),
        "special": None if encoder.vocab is host.vocab else _vocab_settings(encoder.vocab),
        "layout": encoder.layout,
        "max_len": int(encoder.max_len),
        "truncation": type(encoder.truncation).__name__,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _tokenizer_settings(host: Any) -> Optional[Dict[str, Any]]:
    """All that a tokenizer's tokens depend on besides the vocabulary; None if there may be more."""
    settings: Dict[str, Any] = {
        "kind": type(host).__name__,
        "gluonnlp": gluonnlp.__version__,
        "unicode": unicodedata.unidata_version,  # says what a letter is, an accent, white space
        "longest": getattr(host, "max_input_chars_per_word", None),
    }
    if type(host) is BytePairTokenizer:
        return {**settings, **dataclasses.asdict(host.settings), "tokenizers": host.version}
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


def _vocab_settings(vocab: Vocab) -> List[Any]:
    return [special_tokens(vocab), vocab.token_to_idx, getattr(vocab, "merges", None)]
