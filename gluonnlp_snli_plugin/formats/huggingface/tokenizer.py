"""Establishes the tokenizer of a checkpoint in Hugging Face's layout from all files that describe it.

They must agree, and ``text/tokenizers.py`` must be able to reproduce the tokenizer id for id.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, Optional

from ...errors import CheckpointError, UsageError
from ...text.byte_pair_files import is_byte_pairs
from ...text.tokenizer_settings import TokenizerSettings
from ...text.vocabulary import SPECIAL_TOKENS, is_sentencepiece, read_sentencepieces, vocab_of_index, wordpiece_index
from . import byte_pairs
from .files import read_config
from .tokenizer_files import (
    ADDED,
    CONFIG,
    JSON,
    MAP,
    Tokenizer,
    added_tokens,
    agreed,
    contradiction,
    flag,
    optional,
    require_same_ids,
    special_tokens,
)
from .tokenizer_json import WordPiecePipeline, read_pipeline, refuse

VOCABULARIES = ("vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", JSON)
TOKENIZER_FILES = (*VOCABULARIES, *byte_pairs.VOCABULARY, CONFIG, MAP, ADDED)

_SAME = ("Bert", "DistilBert", "Electra", "MobileBert", "ConvBert")  # their tokenizers are BERT's
_CLASSES = {f"{name}Tokenizer{fast}" for name in _SAME for fast in ("", "Fast")}
_GENERIC = {"PreTrainedTokenizerFast", "TokenizersBackend"}  # tokenizer.json as it is, no special tokens by default
_KNOWN = _CLASSES | _GENERIC | byte_pairs.CLASSES
_NAMES = {  # of GluonNLP's arguments
    "pad_token": "padding_token",
    "unk_token": "unknown_token",
    "cls_token": "cls_token",
    "sep_token": "sep_token",
    "mask_token": "mask_token",
}
_FIXED = {  # settings with the only values that can be reproduced
    "do_basic_tokenize": True,
    "wordpieces_prefix": "##",
    "clean_text": True,
    "word_tokenizer_type": None,
    "subword_tokenizer_type": None,
}
_UPPER_SHARE = 0.01  # of its tokens, above which a vocabulary is not one of lower-cased text
_log = logging.getLogger("gluonnlp_snli_plugin")


def establish(folder: Path, size: Optional[int] = None, uncased: Optional[bool] = None) -> Tokenizer:
    """Find out what the tokenizer of a checkpoint does.

    Parameters
    ----------
    folder : Path
    size : int or None
        Rows of the word embedding.
    uncased : bool or None
        The case that the checkpoint's name in the store says.

    Returns
    -------
    Tokenizer

    Raises
    ------
    UsageError
        If `uncased` contradicts the files.
    CheckpointError
        If there is no vocabulary, the files contradict each other, or the tokenizer cannot be reproduced.
    """
    config = optional(folder / CONFIG)
    kind = _require_known(folder, config)
    if _is_byte_pairs(folder, kind):
        return byte_pairs.establish(folder, config, size, uncased)
    pipeline = read_pipeline(folder / JSON) if (folder / JSON).is_file() else None
    file = next((folder / name for name in VOCABULARIES if (folder / name).is_file()), None)
    if file is None:
        vocabularies = ", ".join((*VOCABULARIES, " with ".join(byte_pairs.VOCABULARY)))
        raise CheckpointError(f"{folder} has no vocabulary: none of {vocabularies}")
    if is_sentencepiece(file):
        return _of_sentencepiece(file, config, kind, size, uncased)
    special = special_tokens(folder, config, pipeline, _NAMES)
    index = _index(folder, pipeline)
    lower = _lower(folder, config, pipeline, index, uncased)
    looked_for = special if kind in _GENERIC else {**SPECIAL_TOKENS, **special}
    added = added_tokens(folder, config, pipeline, index, list(looked_for.values()), size)
    # White space around a token is dropped anyway.
    added = [dataclasses.replace(token, lstrip=False, rstrip=False) for token in added]
    is_own = kind not in _GENERIC  # the class, not tokenizer.json, decides where tokenizer_config.json has null
    settings = TokenizerSettings(
        "bert",
        lower,
        agreed(folder, config, "strip_accents", pipeline and pipeline.strip_accents, lower, is_own),
        agreed(folder, config, "tokenize_chinese_chars", pipeline and pipeline.chinese_characters, True, is_own),
        pipeline.longest_word if pipeline else 100,
        tuple(added),
    )
    return Tokenizer(vocab_of_index(file, index, size, special), settings, file, {})


def _is_byte_pairs(folder: Path, kind: Optional[str]) -> bool:
    """Whether the vocabulary is one of byte-level BPE: by the tokenizer's class, else by the files."""
    if kind is not None and kind not in _GENERIC:
        return kind in byte_pairs.CLASSES
    if (folder / JSON).is_file():
        return is_byte_pairs(read_config(folder / JSON))
    return all((folder / name).is_file() for name in byte_pairs.VOCABULARY)


def has_tokenizer(folder: Path) -> bool:
    """Whether files of a folder describe its tokenizer."""
    return any((folder / name).is_file() for name in (CONFIG, JSON))


def _require_known(folder: Path, config: Dict[str, Any]) -> Optional[str]:
    """Name of the tokenizer's class, which must be one that can be reproduced."""
    kind = None
    for path in (folder / "config.json", folder / CONFIG):
        found = optional(path).get("tokenizer_class")
        if found is not None and (not isinstance(found, str) or found not in _KNOWN):
            refuse(path, f"tokenizer_class is {found!r}")
        kind = found or kind
    for key, only in _FIXED.items():
        if config.get(key) not in (None, only):
            refuse(folder / CONFIG, f"{key} is {config[key]!r}")
    if isinstance(config.get("auto_map"), dict) and "AutoTokenizer" in config["auto_map"]:
        refuse(folder / CONFIG, "the tokenizer has code of its own (auto_map)")
    if config.get("never_split"):
        _log.warning("%s: never_split is ignored, as by BertTokenizerFast", folder / CONFIG)
    return kind


def _of_sentencepiece(
    file: Path, config: Dict[str, Any], kind: Optional[str], size: Optional[int], uncased: Optional[bool]
) -> Tokenizer:
    """A SentencePiece model, which no BERT of Hugging Face's has: as GluonNLP's tokenizer reads it."""
    path = file.parent / CONFIG
    if kind:
        refuse(path, f"tokenizer_class is {kind!r} and the vocabulary {file.name}")
    for key in ("strip_accents", "tokenize_chinese_chars"):
        if config.get(key) not in (None, True):
            refuse(path, f"{key} is {config[key]!r} and the vocabulary {file.name}")
    vocab, names = read_sentencepieces(file)
    if size is not None and len(vocab) != size:
        raise CheckpointError(f"{file} has {len(vocab)} pieces, the weights are for {size}")
    lower = _lower(file.parent, config, None, vocab.token_to_idx, uncased)
    _log.warning("%s is used as GluonNLP's BERTSPTokenizer does: text is divided into words, these into pieces", file)
    return Tokenizer(vocab, TokenizerSettings.gluonnlp(lower), file, names)


def _index(folder: Path, pipeline: Optional[WordPiecePipeline]) -> Dict[str, int]:
    """The tokens of vocab.txt or tokenizer.json, which must agree where both exist."""
    if not (folder / "vocab.txt").is_file():
        return dict(pipeline.ids) if pipeline else {}
    index = wordpiece_index(folder / "vocab.txt")
    if pipeline:
        require_same_ids(folder, pipeline, index, "vocab.txt")
    return index


def _lower(
    folder: Path,
    config: Dict[str, Any],
    pipeline: Optional[WordPiecePipeline],
    index: Dict[str, int],
    uncased: Optional[bool],
) -> bool:
    """Whether text is lower-cased."""
    said = {}
    if pipeline:
        said[f"{folder / JSON} says lowercase"] = pipeline.lower
    if config.get("do_lower_case") is not None:
        said[f"{folder / CONFIG} says do_lower_case"] = flag(folder / CONFIG, config, "do_lower_case")
    words = [f"{where}={str(lower).lower()}" for where, lower in said.items()]
    if len(set(said.values())) > 1:
        raise contradiction(folder, " and ".join(words))
    upper = [token for token in index if token.lower() != token and not token.startswith(("[", "<"))]
    is_cased = len(upper) > _UPPER_SHARE * len(index)
    if said:
        lower = next(iter(said.values()))
        if uncased is not None and lower != uncased:
            raise UsageError(f"{words[0]}: --name must end in {'_uncased' if lower else '_cased'}")
        if lower and is_cased:
            _log.warning("%s: %d tokens are never used, such as %r: %s", folder, len(upper), upper[0], words[0])
        return lower
    if is_cased and uncased is not False:
        raise UsageError(
            f"{folder} does not say whether text is lower-cased, and its vocabulary has upper-case letters, as in "
            f'{upper[0]!r}: write {{"do_lower_case": false}}, or true, into {CONFIG}'
            + (", or give a --name that ends in _cased" if uncased else "")
        )
    if uncased is None:
        _log.warning("%s does not say whether text is lower-cased: it is, as in transformers", folder)
    return uncased is not False
