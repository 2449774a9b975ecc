"""Reads a pretrained backbone in Hugging Face's layout: ``config.json``, a vocabulary, ``model.safetensors``."""

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ...errors import CheckpointError
from ...model.family import Family, families
from ...store.pretrained import PretrainedBert
from ...system.reading import read_bytes
from ..format import PathLike
from .files import find_folder, read_config
from .tensors import WEIGHT_FILES, Tensors
from .tokenizer import TOKENIZER_FILES, establish
from .tokenizer_files import Tokenizer
from .weights import convert_weights

FILES = ("config.json", *TOKENIZER_FILES, *WEIGHT_FILES)  #: what to fetch of a checkpoint on the hub


def read_huggingface(source: PathLike, name: str) -> PretrainedBert:
    """Read a pretrained backbone in Hugging Face's layout.

    Parameters
    ----------
    source : str or Path
        Folder, or a name on the Hugging Face hub.
    name : str
        Name it is to have in the store; its end must agree with the case of the tokenizer.

    Returns
    -------
    PretrainedBert

    Raises
    ------
    UsageError
        If the name contradicts the tokenizer, or the files do not say its case.
    CheckpointError
        If the checkpoint is of no known family, is incomplete or contradicts itself; names the file.
    """
    folder = find_folder(source, FILES)
    config = read_config(folder / "config.json")
    family, backbone, hparams = read_architecture(config, folder / "config.json")
    tensors = Tensors(folder)
    # The vocabulary is filled up to that size, which so far only config.json knows.
    tensors.require("embeddings.word_embeddings.weight", (config["vocab_size"], hparams["units"]))
    tokenizer = tokenizer_of(family, folder, config, name.endswith("_uncased"))
    parameters, parts = convert_weights(family, config, hparams, len(tokenizer.vocab), tensors)
    return PretrainedBert(
        backbone,
        hparams,
        parameters,
        parts,
        vocab_content=read_bytes(tokenizer.file) if tokenizer.spiece else tokenizer.vocab.to_json().encode(),
        vocab_extension=".spiece" if tokenizer.spiece else ".vocab",
        special_tokens=tokenizer.special_tokens,
        tokenizer=tokenizer.settings,
    )


def read_architecture(config: Dict[str, Any], path: Path) -> Tuple[Family, str, Dict[str, Any]]:
    """Family, name and hyper-parameters of the architecture, in GluonNLP's terms."""
    kind = config.get("model_type")
    if kind is None:  # as in the first config.json files
        classes = config.get("architectures") or ["BertModel"]
        kind = classes[0] if isinstance(classes, list) else classes
    for family in families():
        classes_of = family.huggingface.classifier.partition("For")[0]
        if kind == family.model_type or str(kind).startswith((f"{classes_of}Model", f"{classes_of}For")):
            return (family, *family.read_config(config, path))
    known = ", ".join(repr(family.model_type) for family in families())
    raise CheckpointError(f"{path}: the architecture is {kind!r}; only {known} can be imported")


def tokenizer_of(family: Family, folder: Path, config: Dict[str, Any], uncased: Optional[bool] = None) -> Tokenizer:
    """The tokenizer of a checkpoint, which must have the special tokens of the family's pairs.

    Parameters
    ----------
    family : Family
    folder : Path
    config : dict
        The ``config.json`` in it, which the family has read.
    uncased : bool or None
        The case that the checkpoint's name in the store says.

    Raises
    ------
    UsageError
        If `uncased` contradicts the files.
    CheckpointError
        If the tokenizer is that of another family, contradicts `config`, or cannot be reproduced.
    """
    tokenizer = establish(folder, config["vocab_size"], uncased)
    if family.layout.missing(tokenizer.vocab):
        raise CheckpointError(
            f"{tokenizer.file}: its tokenizer is {tokenizer.kind}, which no {family.model_type} has; take a "
            "checkpoint whose config.json and tokenizer agree"
        )
    padding, vocab = family.padding_in(config), tokenizer.vocab
    if padding is not None and padding != vocab[vocab.padding_token]:
        raise CheckpointError(
            f"{folder / 'config.json'}: pad_token_id is {padding}, from which positions are counted, and "
            f"{vocab.padding_token} has the id {vocab[vocab.padding_token]}; correct the wrong one"
        )
    return tokenizer
