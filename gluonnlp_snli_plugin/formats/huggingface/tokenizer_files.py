"""What the files of a tokenizer say in common: its special and added tokens, and settings that must agree."""

import logging
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Protocol, Tuple

from gluonnlp.vocab import Vocab

from ...errors import CheckpointError
from ...text.tokenizer_settings import AddedToken, TokenizerSettings
from ...text.vocabulary import is_sentencepiece
from .files import read_config
from .tokenizer_json import added_token, token_id

CONFIG, MAP, ADDED, JSON = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"
_log = logging.getLogger("gluonnlp_snli_plugin")


class Pipeline(Protocol):
    """What a ``tokenizer.json`` says of its tokens, whatever its model."""

    @property
    def ids(self) -> Dict[str, int]:
        """The ids of the tokens of its model."""

    @property
    def added(self) -> List[Tuple[AddedToken, int]]:
        """Its added tokens, and their ids."""

    @property
    def unknown(self) -> Optional[str]:
        """What the unknown token is called, where it says so."""

    @property
    def ends(self) -> Dict[str, str]:
        """What the tokens 'cls_token' and 'sep_token' are called, where it says so."""


class Tokenizer(NamedTuple):
    """The tokenizer of a checkpoint."""

    vocab: Vocab
    settings: TokenizerSettings
    file: Path  #: of the vocabulary
    special_tokens: Dict[str, str]  #: what ``BERTVocab.from_sentencepiece`` must be told
    one_separator: bool = False  #: whether a RoBERTa's pairs have one token between the sentences, not two

    @property
    def spiece(self) -> Optional[Path]:
        """The SentencePiece model, if it is one."""
        return self.file if is_sentencepiece(self.file) else None

    @property
    def kind(self) -> str:
        """What a message calls it."""
        if self.settings.algorithm == "byte_pairs":
            return "byte-level BPE"
        return "SentencePiece" if self.spiece else "BERT's WordPiece"


def optional(path: Path) -> Dict[str, Any]:
    """The JSON object in a file; empty where there is no file."""
    return read_config(path) if path.is_file() else {}


def contradiction(folder: Path, what: str) -> CheckpointError:
    """The error for files that disagree."""
    return CheckpointError(f"{folder}: the tokenizer's files contradict each other: {what}; correct the wrong one")


def require_same_ids(folder: Path, pipeline: Pipeline, index: Mapping[str, int], file: str) -> None:
    """Raise a CheckpointError if a token's id in ``tokenizer.json`` is not that in `index`, which `file` holds."""
    added = {token.content: i for token, i in pipeline.added}
    inside, outside = {**pipeline.ids, **added}, {**added, **index}
    for token in {**inside, **outside}:
        ids = [where.get(token, "missing") for where in (outside, inside)]
        if token and ids[0] != ids[1]:  # a blank line of vocab.txt is not a token
            raise contradiction(folder, f"the id of {token!r} is {ids[0]} in {file} and {ids[1]} in {JSON}")


def special_tokens(
    folder: Path, config: Dict[str, Any], pipeline: Optional[Pipeline], names_of: Mapping[str, str]
) -> Dict[str, str]:
    """The special tokens that a file names, by GluonNLP's names for them.

    Parameters
    ----------
    folder : Path
    config : dict
        ``tokenizer_config.json``.
    pipeline : Pipeline or None
        ``tokenizer.json``.
    names_of : dict of str to str
        Hugging Face's names for them -> GluonNLP's.
    """
    mapped = optional(folder / MAP)
    in_pipeline = {"unk_token": pipeline.unknown, **pipeline.ends} if pipeline else {}
    found: Dict[str, str] = {}
    for key, name in names_of.items():
        said = {
            MAP: content_of_token(mapped.get(key)),
            CONFIG: content_of_token(config.get(key)),
            JSON: in_pipeline.get(key),
        }
        names = {file: token for file, token in said.items() if token is not None}
        if len(set(names.values())) > 1:
            where = " and ".join(f"{token!r} in {file}" for file, token in names.items())
            raise contradiction(folder, f"{key} is {where}")
        found.update((name, token) for token in names.values())
    return found


def content_of_token(token: Any) -> Optional[str]:
    """The text of a token that a file has as it is, or with its flags."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else None


def added_tokens(
    folder: Path,
    config: Dict[str, Any],
    pipeline: Optional[Pipeline],
    index: Dict[str, int],
    special: List[str],
    size: Optional[int],
    default: Callable[[str], AddedToken] = AddedToken,
) -> List[AddedToken]:
    """The tokens that are looked for in the text itself; their ids are entered into `index`.

    Parameters
    ----------
    folder : Path
    config : dict
        ``tokenizer_config.json``.
    pipeline : Pipeline or None
        ``tokenizer.json``.
    index : dict of str to int
    special : list of str
    size : int or None
        Rows of the word embedding.
    default : callable
        Makes a special token where the files do not say more than its name.
    """
    token_at = {i: token for token, i in index.items()}
    found: Dict[str, AddedToken] = {}
    lost: Dict[str, int] = {}  # there are no weights for them
    for token, i in _numbered(folder, config, pipeline, special, default):
        if index.get(token.content, lost.get(token.content, i)) != i:
            raise contradiction(folder, f"the id of {token.content!r} is {index.get(token.content)} and {i}")
        if token_at.setdefault(i, token.content) != token.content:
            raise contradiction(folder, f"the tokens {token_at[i]!r} and {token.content!r} have the id {i}")
        if size is not None and i >= size:
            lost[token.content] = i
            continue
        found.setdefault(token.content, token)
        index[token.content] = i
    more = config.get("additional_special_tokens") or config.get("extra_special_tokens")
    more = list(more.values()) if isinstance(more, dict) else more
    for content in map(content_of_token, more if isinstance(more, list) else ()):
        if content is None or content in found or content in lost:
            continue
        following = 1 + max([*index.values(), *lost.values()], default=-1)
        if content not in index and size is not None and following >= size:
            lost[content] = following
            continue
        index.setdefault(content, following)
        found[content] = AddedToken(content)
    # Where the vocabulary is made, a missing one is an error.
    found.update((content, default(content)) for content in special if content in index and content not in found)
    if lost:
        names = ", ".join(map(repr, lost))
        _log.warning("%s: added tokens that the weights have no rows for are left out: %s", folder, names)
    return list(found.values())


def _numbered(
    folder: Path,
    config: Dict[str, Any],
    pipeline: Optional[Pipeline],
    special: List[str],
    default: Callable[[str], AddedToken],
) -> Iterable[Tuple[AddedToken, int]]:
    """The added tokens whose ids a file gives."""
    yield from pipeline.added if pipeline else ()
    decoder = config.get("added_tokens_decoder")
    for key, token in decoder.items() if isinstance(decoder, dict) else ():
        path = folder / CONFIG
        if not re.fullmatch("[0-9]{1,9}", key) or not isinstance(token, dict):
            raise CheckpointError(f"{path} is damaged: added_tokens_decoder has {key[:60]!r}")
        yield added_token(path, token), token_id(path, int(key))
    for content, i in optional(folder / ADDED).items():
        path = folder / ADDED
        token = default(content) if content in special else added_token(path, {"content": content, "special": False})
        yield token, token_id(path, i)


def agreed(
    folder: Path, config: Dict[str, Any], key: str, in_pipeline: Optional[bool], default: bool, null_is_default: bool
) -> bool:
    """A setting that tokenizer_config.json and tokenizer.json may both have."""
    said: Optional[bool] = None
    if key in config and (config[key] is not None or null_is_default):
        said = default if config[key] is None else flag(folder / CONFIG, config, key)
    if said is not None and in_pipeline is not None and said != in_pipeline:
        raise contradiction(folder, f"{key} is {said} in {CONFIG} and {in_pipeline} in {JSON}")
    return next((value for value in (said, in_pipeline) if value is not None), default)


def flag(path: Path, config: Dict[str, Any], key: str) -> bool:
    """A setting that must be true or false."""
    value = config[key]
    if type(value) is not bool:
        raise CheckpointError(f"{path}: {key} is {str(value)[:60]!r}, neither true nor false")
    return value
