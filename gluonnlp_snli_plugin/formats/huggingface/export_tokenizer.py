"""The tokenizer of a model for programs without GluonNLP: ``vocab.txt``, ``tokenizer.json``, a SentencePiece model."""

import shutil
from pathlib import Path
from typing import Any, Dict

from gluonnlp.vocab import BERTVocab

from ...errors import UsageError
from ...system.files import json_text
from ...text.tokenizer_settings import AddedToken, special_tokens
from ..model_folder import Model


def write_vocabulary(model: Model, folder: Path) -> str:
    """Write the vocabulary: ``vocab.txt``, a token a line, or ``spiece.model``; returns the file's name."""
    if model.spiece:
        shutil.copyfile(model.spiece, folder / "spiece.model")
        return "spiece.model"
    tokens = model.vocab.idx_to_token
    strange = next((token for token in tokens if "\n" in token or "\r" in token), None)
    if strange is not None:
        raise UsageError(f"the vocabulary has the token {strange!r}, which a vocab.txt cannot hold")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return "vocab.txt"


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
    content: Dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token, vocab) for token in sorted(added, key=lambda token: vocab[token.content])],
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
    (folder / "tokenizer.json").write_text(json_text(content, "utf-8", indent=2), encoding="utf-8")


def _added(token: AddedToken, vocab: BERTVocab) -> Dict[str, Any]:
    """An added token as ``tokenizers`` writes it."""
    return {
        "id": vocab[token.content],
        "content": token.content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": token.normalized,
        "special": token.special,
    }


def _pair(cls: str, sep: str, vocab: BERTVocab) -> Dict[str, Any]:
    """``[CLS] premise [SEP] hypothesis [SEP]`` in the terms of ``tokenizers``."""

    def special(name: str, segment: int) -> Dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def sequence(name: str, segment: int) -> Dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [special(cls, 0), sequence("A", 0), special(sep, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, sequence("B", 1), special(sep, 1)],
        "special_tokens": {name: {"id": name, "ids": [vocab[name]], "tokens": [name]} for name in (cls, sep)},
    }
