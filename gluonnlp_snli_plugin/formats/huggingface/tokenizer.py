"""Establishes the tokenizer of a checkpoint in Hugging Face's layout from all files that describe it.

They must agree, and ``text/tokenizers.py`` must be able to reproduce the tokenizer id for id.
"""

import logging
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from gluonnlp.vocab import BERTVocab

from ...errors import CheckpointError, UsageError
from ...text.tokenizer_settings import AddedToken, TokenizerSettings
from ...text.vocabulary import SPECIAL_TOKENS, is_sentencepiece, read_sentencepieces, vocab_of_index, wordpiece_index
from .files import read_config
from .tokenizer_json import Pipeline, added_token, read_pipeline, refuse, token_id

_CONFIG, _MAP, _ADDED, _JSON = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"
VOCABULARIES = ("vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", _JSON)
TOKENIZER_FILES = (*VOCABULARIES, _CONFIG, _MAP, _ADDED)

_SAME = ("Bert", "DistilBert", "Electra", "MobileBert", "ConvBert")  # their tokenizers are BERT's
_CLASSES = {f"{name}Tokenizer{fast}" for name in _SAME for fast in ("", "Fast")}
_GENERIC = {"PreTrainedTokenizerFast", "TokenizersBackend"}  # tokenizer.json as it is, no special tokens by default
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


class Tokenizer(NamedTuple):
    """What divides text for a checkpoint."""

    vocab: BERTVocab
    settings: TokenizerSettings
    file: Path  #: of the vocabulary
    special_tokens: Dict[str, str]  #: what ``BERTVocab.from_sentencepiece`` must be told

    @property
    def spiece(self) -> Optional[Path]:
        """The SentencePiece model, if it is one."""
        return self.file if is_sentencepiece(self.file) else None


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
    config = _optional(folder / _CONFIG)
    kind = _require_known(folder, config)
    pipeline = read_pipeline(folder / _JSON) if (folder / _JSON).is_file() else None
    file = next((folder / name for name in VOCABULARIES if (folder / name).is_file()), None)
    if file is None:
        raise CheckpointError(f"{folder} has no vocabulary: none of {', '.join(VOCABULARIES)}")
    if is_sentencepiece(file):
        return _of_sentencepiece(file, config, kind, size, uncased)
    special = _special_tokens(folder, config, pipeline)
    index = _index(folder, pipeline)
    lower = _lower(folder, config, pipeline, index, uncased)
    looked_for = special if kind in _GENERIC else {**SPECIAL_TOKENS, **special}
    added = _added_tokens(folder, config, pipeline, index, list(looked_for.values()), size)
    is_own = kind not in _GENERIC  # the class, not tokenizer.json, decides where tokenizer_config.json has null
    settings = TokenizerSettings(
        "bert",
        lower,
        _agreed(folder, config, "strip_accents", pipeline and pipeline.strip_accents, lower, is_own),
        _agreed(folder, config, "tokenize_chinese_chars", pipeline and pipeline.chinese_characters, True, is_own),
        pipeline.longest_word if pipeline else 100,
        tuple(added),
    )
    return Tokenizer(vocab_of_index(file, index, size, special), settings, file, {})


def has_tokenizer(folder: Path) -> bool:
    """Whether files of a folder describe its tokenizer."""
    return any((folder / name).is_file() for name in (_CONFIG, _JSON))


def _optional(path: Path) -> Dict[str, Any]:
    return read_config(path) if path.is_file() else {}


def _require_known(folder: Path, config: Dict[str, Any]) -> Optional[str]:
    """Name of the tokenizer's class, which must be one that can be reproduced."""
    kind = None
    for path in (folder / "config.json", folder / _CONFIG):
        found = _optional(path).get("tokenizer_class")
        if found is not None and (not isinstance(found, str) or found not in _CLASSES | _GENERIC):
            refuse(path, f"tokenizer_class is {found!r}")
        kind = found or kind
    for key, only in _FIXED.items():
        if config.get(key) not in (None, only):
            refuse(folder / _CONFIG, f"{key} is {config[key]!r}")
    if isinstance(config.get("auto_map"), dict) and "AutoTokenizer" in config["auto_map"]:
        refuse(folder / _CONFIG, "the tokenizer is a program of its own (auto_map)")
    if config.get("never_split"):
        _log.warning("%s: never_split is ignored, as by BertTokenizerFast", folder / _CONFIG)
    return kind


def _of_sentencepiece(
    file: Path, config: Dict[str, Any], kind: Optional[str], size: Optional[int], uncased: Optional[bool]
) -> Tokenizer:
    """A SentencePiece model, which no BERT of Hugging Face's has: as GluonNLP's tokenizer reads it."""
    path = file.parent / _CONFIG
    if kind:
        refuse(path, f"tokenizer_class is {kind!r} and the vocabulary {file.name}")
    for key in ("strip_accents", "tokenize_chinese_chars"):
        if config.get(key) not in (None, True):
            refuse(path, f"{key} is {config[key]!r} and the vocabulary {file.name}")
    vocab, special_tokens = read_sentencepieces(file)
    if size is not None and len(vocab) != size:
        raise CheckpointError(f"{file} has {len(vocab)} pieces, the weights are for {size}")
    lower = _lower(file.parent, config, None, vocab.token_to_idx, uncased)
    _log.warning("%s is used as GluonNLP's BERTSPTokenizer does: text is divided into words, these into pieces", file)
    return Tokenizer(vocab, TokenizerSettings.gluonnlp(lower), file, special_tokens)


def _contradiction(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{folder}: the tokenizer's files contradict each other: {what}; correct the wrong one")


def _special_tokens(folder: Path, config: Dict[str, Any], pipeline: Optional[Pipeline]) -> Dict[str, str]:
    """The special tokens that a file names, by GluonNLP's names for them."""
    mapped = _optional(folder / _MAP)
    in_pipeline = {"unk_token": pipeline.unknown, **pipeline.ends} if pipeline else {}
    found: Dict[str, str] = {}
    for key, name in _NAMES.items():
        said = {_MAP: _content(mapped.get(key)), _CONFIG: _content(config.get(key)), _JSON: in_pipeline.get(key)}
        names = {file: token for file, token in said.items() if token is not None}
        if len(set(names.values())) > 1:
            where = " and ".join(f"{token!r} in {file}" for file, token in names.items())
            raise _contradiction(folder, f"{key} is {where}")
        found.update((name, token) for token in names.values())
    return found


def _content(token: Any) -> Optional[str]:
    """The text of a token that a file has as it is, or with its flags."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def _index(folder: Path, pipeline: Optional[Pipeline]) -> Dict[str, int]:
    """The tokens of vocab.txt or tokenizer.json, which must agree where both exist."""
    if not (folder / "vocab.txt").is_file():
        return dict(pipeline.ids) if pipeline else {}
    index = wordpiece_index(folder / "vocab.txt")
    if pipeline:
        added = {token.content: i for token, i in pipeline.added}
        inside, outside = {**pipeline.ids, **added}, {**added, **index}
        inside.pop("", None)
        differing = [token for token in {**inside, **outside} if inside.get(token) != outside.get(token)]
        if differing:
            ids = [str(where.get(differing[0], "missing")) for where in (outside, inside)]
            raise _contradiction(folder, f"the id of {differing[0]!r} is {ids[0]} in vocab.txt and {ids[1]} in {_JSON}")
    return index


def _added_tokens(
    folder: Path,
    config: Dict[str, Any],
    pipeline: Optional[Pipeline],
    index: Dict[str, int],
    special: List[str],
    size: Optional[int],
) -> List[AddedToken]:
    """The tokens that are looked for in the text itself; their ids are entered into `index`."""
    token_at = {i: token for token, i in index.items()}
    found: Dict[str, AddedToken] = {}
    lost: Dict[str, int] = {}  # there are no weights for them
    for token, i in _numbered(folder, config, pipeline, special):
        if index.get(token.content, lost.get(token.content, i)) != i:
            raise _contradiction(folder, f"the id of {token.content!r} is {index.get(token.content)} and {i}")
        if token_at.setdefault(i, token.content) != token.content:
            raise _contradiction(folder, f"the tokens {token_at[i]!r} and {token.content!r} have the id {i}")
        if size is not None and i >= size:
            lost[token.content] = i
            continue
        found.setdefault(token.content, token)
        index[token.content] = i
    more = config.get("additional_special_tokens") or config.get("extra_special_tokens")
    more = list(more.values()) if isinstance(more, dict) else more
    for content in map(_content, more if isinstance(more, list) else ()):
        if content is None or content in found or content in lost:
            continue
        following = 1 + max([*index.values(), *lost.values()], default=-1)
        if content not in index and size is not None and following >= size:
            lost[content] = following
            continue
        index.setdefault(content, following)
        found[content] = AddedToken(content)
    # Where the vocabulary is made, a missing one is an error.
    found.update((content, AddedToken(content)) for content in special if content in index and content not in found)
    if lost:
        names = ", ".join(map(repr, lost))
        _log.warning("%s: added tokens that the weights have no rows for are left out: %s", folder, names)
    return list(found.values())


def _numbered(
    folder: Path, config: Dict[str, Any], pipeline: Optional[Pipeline], special: List[str]
) -> Iterable[Tuple[AddedToken, int]]:
    """The added tokens whose ids a file gives."""
    yield from pipeline.added if pipeline else ()
    decoder = config.get("added_tokens_decoder")
    for key, token in decoder.items() if isinstance(decoder, dict) else ():
        path = folder / _CONFIG
        if not re.fullmatch("[0-9]{1,9}", key) or not isinstance(token, dict):
            raise CheckpointError(f"{path} is damaged: added_tokens_decoder has {key[:60]!r}")
        yield added_token(path, token), token_id(path, int(key))
    for content, i in _optional(folder / _ADDED).items():
        path = folder / _ADDED
        yield added_token(path, {"content": content, "special": content in special}), token_id(path, i)


def _lower(
    folder: Path, config: Dict[str, Any], pipeline: Optional[Pipeline], index: Dict[str, int], uncased: Optional[bool]
) -> bool:
    """Whether text is lower-cased."""
    said = {}
    if pipeline:
        said[f"{folder / _JSON} says lowercase"] = pipeline.lower
    if config.get("do_lower_case") is not None:
        said[f"{folder / _CONFIG} says do_lower_case"] = _flag(folder / _CONFIG, config, "do_lower_case")
    words = [f"{where}={str(lower).lower()}" for where, lower in said.items()]
    if len(set(said.values())) > 1:
        raise _contradiction(folder, " and ".join(words))
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
            f'{upper[0]!r}: write {{"do_lower_case": false}}, or true, into {_CONFIG}'
            + (", or give a --name that ends in _cased" if uncased else "")
        )
    if uncased is None:
        _log.warning("%s does not say whether text is lower-cased: it is, as in transformers", folder)
    return uncased is not False


def _agreed(
    folder: Path, config: Dict[str, Any], key: str, in_pipeline: Optional[bool], default: bool, null_is_default: bool
) -> bool:
    """A setting that tokenizer_config.json and tokenizer.json may both have."""
    said = None
    if key in config and (config[key] is not None or null_is_default):
        said = default if config[key] is None else _flag(folder / _CONFIG, config, key)
    if said is not None and in_pipeline is not None and said != in_pipeline:
        raise _contradiction(folder, f"{key} is {said} in {_CONFIG} and {in_pipeline} in {_JSON}")
    return next((value for value in (said, in_pipeline) if value is not None), default)


def _flag(path: Path, config: Dict[str, Any], key: str) -> bool:
    value = config[key]
    if type(value) is not bool:
        raise CheckpointError(f"{path}: {key} is {str(value)[:60]!r}, neither true nor false")
    return value
