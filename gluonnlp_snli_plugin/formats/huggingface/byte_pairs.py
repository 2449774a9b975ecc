"""Establishes the tokenizer of a RoBERTa from the files of a checkpoint: byte-level BPE."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ...errors import CheckpointError, UsageError
from ...text.byte_pair_files import byte_pair_index, read_merges, vocab_of_byte_pairs
from ...text.byte_pairs import SPECIAL_TOKENS
from ...text.tokenizer_settings import AddedToken, TokenizerSettings
from .tokenizer_files import (
    CONFIG,
    JSON,
    MAP,
    Tokenizer,
    added_tokens,
    content_of_token,
    contradiction,
    flag,
    optional,
    require_same_ids,
    special_tokens,
)
from .tokenizer_json import BytePairPipeline, added_token, read_byte_pair_pipeline, refuse

CLASSES = {"RobertaTokenizer", "RobertaTokenizerFast"}
VOCABULARY = ("vocab.json", "merges.txt")
_NAMES = {  # Hugging Face's names of special tokens -> those of the vocabulary's identifiers
    "cls_token": "bos_token",
    "pad_token": "padding_token",
    "sep_token": "eos_token",
    "unk_token": "unknown_token",
    "mask_token": "mask_token",
}
_OUTER = ("bos_token", "eos_token")  # which Hugging Face's classes have besides, and look for in texts


def establish(folder: Path, config: Dict[str, Any], size: Optional[int], uncased: Optional[bool]) -> Tokenizer:
    """Find out what the tokenizer of a RoBERTa does; parameters and errors are those of ``tokenizer.establish``.

    Parameters
    ----------
    folder : Path
    config : dict
        ``tokenizer_config.json``.
    size : int or None
    uncased : bool or None

    Returns
    -------
    Tokenizer
    """
    if uncased:
        raise UsageError(f"{folder}: byte-level BPE does not lower-case text: --name must end in _cased")
    if config.get("do_lower_case"):
        refuse(folder / CONFIG, "do_lower_case is set for a byte-level BPE")
    pipeline = read_byte_pair_pipeline(folder / JSON) if (folder / JSON).is_file() else None
    file = folder / (VOCABULARY[0] if (folder / VOCABULARY[0]).is_file() else JSON)
    index, merges = _content(folder, pipeline)
    special = {**SPECIAL_TOKENS, **special_tokens(folder, config, pipeline, _NAMES)}
    mapped = optional(folder / MAP)
    outer = [content_of_token(config.get(key) or mapped.get(key)) for key in _OUTER]
    described = {content_of_token(token): token for token in (*mapped.values(), *config.values()) if _is_token(token)}

    def default(content: str) -> AddedToken:
        """A token whose flags no list of added tokens has; the mask takes the space before it, as in transformers 4."""
        if content in described:
            return added_token(folder / CONFIG, {**described[content], "special": True})
        is_mask = content == special["mask_token"]
        return AddedToken(content, normalized=not is_mask, lstrip=is_mask)

    names = [*special.values(), *filter(None, outer)]
    added = added_tokens(folder, config, pipeline, index, names, size, default)
    for token in added:
        if token.content != token.content.strip():  # in some texts the package `tokenizers` ends in a panic
            refuse(folder, f"the added token {token.content!r} begins or ends with white space")
    settings = TokenizerSettings.byte_pairs(added, _add_prefix_space(folder, config, pipeline))
    one_separator = pipeline is not None and pipeline.one_separator
    return Tokenizer(vocab_of_byte_pairs(file, index, merges, size, special), settings, file, {}, one_separator)


def _is_token(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("content"), str) and "lstrip" in value


def _content(folder: Path, pipeline: Optional[BytePairPipeline]) -> Tuple[Dict[str, int], List[str]]:
    """Tokens with their ids, and merges, of vocab.json and merges.txt, or tokenizer.json; both must agree."""
    has_index, has_merges = ((folder / name).is_file() for name in VOCABULARY)
    if pipeline is None and not (has_index or has_merges):
        raise CheckpointError(f"{folder} has no vocabulary: neither {' and '.join(VOCABULARY)} nor {JSON}")
    index = dict(pipeline.ids) if pipeline and not has_index else byte_pair_index(folder / VOCABULARY[0])
    merges = pipeline.merges if pipeline and not has_merges else read_merges(folder / VOCABULARY[1])
    if pipeline:
        require_same_ids(folder, pipeline, index, VOCABULARY[0])
        if merges != pipeline.merges:
            raise contradiction(folder, f"{VOCABULARY[1]} and {JSON} have different merges")
    return index, merges


def _add_prefix_space(folder: Path, config: Dict[str, Any], pipeline: Optional[BytePairPipeline]) -> bool:
    """Whether a text gets a space before its first word: not unless tokenizer_config.json says so."""
    has_one = config.get("add_prefix_space") is not None
    said = flag(folder / CONFIG, config, "add_prefix_space") if has_one else False
    if pipeline and pipeline.add_prefix_space != said:
        where = f"{said} in {CONFIG}" if has_one else f"missing in {CONFIG}, which means False,"
        raise contradiction(folder, f"add_prefix_space is {where} and {pipeline.add_prefix_space} in {JSON}")
    return said
