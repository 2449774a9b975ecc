"""The tokenizer of a model for programs without GluonNLP: ``vocab.txt``, ``tokenizer.json``, a SentencePiece model."""

import shutil
from typing import Any, Dict

from ...errors import UsageError
from ...files import json_text

_LONGEST_WORD = 200  # characters; as in GluonNLP's BERTTokenizer


def write_vocabulary(model, folder):
    """Write the vocabulary: ``vocab.txt``, a token a line, or ``spiece.model``; returns the file's name."""
    if model.spiece:
        shutil.copyfile(model.spiece, folder / "spiece.model")
        return "spiece.model"
    tokens = model.vocab.idx_to_token
    strange = next((token for token in tokens if "\n" in token or "\r" in token), None)
    if strange is not None:
        raise UsageError(f"the vocabulary has the token {strange!r}, which no vocab.txt can hold")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return "vocab.txt"


def write_tokenizer(model, folder, special_tokens=False):
    """Write ``tokenizer.json`` for the package ``tokenizers``: what GluonNLP's BERT tokenizer does.

    Of a SentencePiece vocabulary it holds what comes first, the division into words.

    Parameters
    ----------
    model : Model
    folder : Path
    special_tokens : bool, default False
        Whether ``[SEP]`` in a text is that token, as transformers wants it, and pairs are put together.
    """
    vocab = model.vocab
    content: Dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": True,  # as GluonNLP does for cased vocabularies too
            "lowercase": model.settings.lower,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": vocab.unknown_token,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _LONGEST_WORD,
            "vocab": {vocab.unknown_token: 0} if model.spiece else dict(vocab.token_to_idx),
        },
    }
    if special_tokens:
        names = (vocab.padding_token, vocab.unknown_token, vocab.cls_token, vocab.sep_token, vocab.mask_token)
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        numbered = sorted((vocab[name], name) for name in names)
        content["added_tokens"] = [{"id": i, "content": name, **flags} for i, name in numbered]
        content["post_processor"] = _pair(vocab.cls_token, vocab.sep_token, vocab)
    (folder / "tokenizer.json").write_text(json_text(content, "utf-8", indent=2), encoding="utf-8")


def _pair(cls, sep, vocab):
    """``[CLS] premise [SEP] hypothesis [SEP]`` in the terms of ``tokenizers``."""

    def special(name, segment):
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def sequence(name, segment):
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [special(cls, 0), sequence("A", 0), special(sep, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, sequence("B", 1), special(sep, 1)],
        "special_tokens": {name: {"id": name, "ids": [vocab[name]], "tokens": [name]} for name in (cls, sep)},
    }
