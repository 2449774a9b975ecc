"""The tokenizer of a model for programs without GluonNLP: its vocabulary, ``tokenizer.json``."""

import shutil
from pathlib import Path
from typing import Any, Dict

from gluonnlp.vocab import Vocab

from ...errors import UsageError
from ...system.files import json_text
from ...text.byte_pairs import BytePairVocab
from ...text.tokenizer_settings import AddedToken, special_tokens
from ..model_folder import Model

BYTE_PAIRS = "byte_pairs.vocab"


def write_vocabulary(model: Model, folder: Path) -> str:
    """Write the vocabulary as one file and return its name.

    ``vocab.txt``, a token a line; ``spiece.model``; or ``byte_pairs.vocab``, the JSON of a :class:`.BytePairVocab`.
    """
    if model.spiece:
        shutil.copyfile(model.spiece, folder / "spiece.model")
        return "spiece.model"
    if isinstance(model.vocab, BytePairVocab):
        (folder / BYTE_PAIRS).write_text(model.vocab.to_json(), encoding="utf-8")
        return BYTE_PAIRS
    tokens = model.vocab.idx_to_token
    strange = next((token for token in tokens if "\n" in token or "\r" in token), None)
    if strange is not None:
        raise UsageError(f"the vocabulary has the token {strange!r}, which a vocab.txt cannot hold")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return "vocab.txt"


def write_huggingface_vocabulary(model: Model, folder: Path) -> None:
    """Write the vocabulary as transformers does: ``vocab.txt``, or ``vocab.json`` and ``merges.txt``."""
    if not isinstance(model.vocab, BytePairVocab):
        write_vocabulary(model, folder)
        return
    text = json_text(dict(model.vocab.token_to_idx), "utf-8")
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    merges = "".join(f"{merge}\n" for merge in ("#version: 0.2", *model.vocab.merges))
    (folder / "merges.txt").write_text(merges, encoding="utf-8")


def write_tokenizer(model: Model, folder: Path, for_pairs: bool = False) -> None:
    """Write ``tokenizer.json`` for the package ``tokenizers``, which gives the ids that the model's own gives.

    GluonNLP's tokenizer differs from it in characters newer than Unicode 8 and in some Chinese ones. Of a
    SentencePiece vocabulary the file holds what comes first, the division into words.

    Parameters
    ----------
    model : Model
    folder : Path
    for_pairs : bool, default False
        Whether it puts pairs together, and takes ``[SEP]`` in a text for that token whatever the model's own does, as
        transformers wants it.
    """
    vocab, settings = model.vocab, model.settings.tokenizer
    added = list(settings.added_tokens)
    if for_pairs:
        added += [AddedToken(name) for name in special_tokens(vocab) if name not in {token.content for token in added}]
    pipeline = _byte_pairs if isinstance(vocab, BytePairVocab) else _word_pieces
    content: Dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, vocab) for token in sorted(added, key=lambda token: vocab[token.content])],
        **pipeline(model, for_pairs),
    }
    (folder / "tokenizer.json").write_text(json_text(content, "utf-8", indent=2), encoding="utf-8")


def _word_pieces(model: Model, for_pairs: bool) -> Dict[str, Any]:
    """What ``tokenizers`` does to text of BERT's vocabularies."""
    vocab, settings = model.vocab, model.settings.tokenizer
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.chinese_characters,
            "strip_accents": settings.strip_accents,
            "lowercase": settings.lower,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _pair(vocab.cls_token, vocab.sep_token, vocab) if for_pairs else None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": vocab.unknown_token,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": settings.longest_word,
            "vocab": {vocab.unknown_token: 0} if model.spiece else dict(vocab.token_to_idx),
        },
    }


def _byte_pairs(model: Model, for_pairs: bool) -> Dict[str, Any]:
    """What ``tokenizers`` does to text of byte-level BPE."""
    vocab, add_prefix_space = model.vocab, model.settings.tokenizer.add_prefix_space
    level = {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": True}
    pair: Dict[str, Any] = {
        "type": "RobertaProcessing",
        "sep": [vocab.eos_token, vocab[vocab.eos_token]],
        "cls": [vocab.bos_token, vocab[vocab.bos_token]],
        "trim_offsets": True,
        "add_prefix_space": add_prefix_space,
    }
    if model.settings.one_separator:
        pair = _pair(vocab.bos_token, vocab.eos_token, vocab, second_segment=0)
    return {
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": pair if for_pairs else None,
        "decoder": {**level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": dict(vocab.token_to_idx),
            "merges": list(vocab.merges),
        },
    }


def _added(token: AddedToken, vocab: Vocab) -> Dict[str, Any]:
    """An added token as ``tokenizers`` writes it."""
    return {
        "id": vocab[token.content],
        "content": token.content,
        "single_word": False,
        "lstrip": token.lstrip,
        "rstrip": token.rstrip,
        "normalized": token.normalized,
        "special": token.special,
    }


def _pair(cls: str, sep: str, vocab: Vocab, second_segment: int = 1) -> Dict[str, Any]:
    """``[CLS] premise [SEP] hypothesis [SEP]`` in the terms of ``tokenizers``."""

    def special(name: str, segment: int) -> Dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def sequence(name: str, segment: int) -> Dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [special(cls, 0), sequence("A", 0), special(sep, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, sequence("B", second_segment), special(sep, second_segment)],
        "special_tokens": {name: {"id": name, "ids": [vocab[name]], "tokens": [name]} for name in (cls, sep)},
    }
