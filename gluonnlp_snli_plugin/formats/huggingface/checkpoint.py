"""Reads a BERT in Hugging Face's layout: ``config.json``, ``vocab.txt``, ``model.safetensors``."""

from pathlib import Path
from typing import Any, Dict, Tuple

from ...errors import CheckpointError
from ...model.family import families
from ...store.pretrained import PretrainedBert
from ...system.reading import read_bytes
from ..format import PathLike
from .files import find_folder, read_config
from .tensors import WEIGHT_FILES, Tensors
from .tokenizer import TOKENIZER_FILES, establish
from .weights import convert_weights

FILES = ("config.json", *TOKENIZER_FILES, *WEIGHT_FILES)  #: what to fetch of a checkpoint on the hub


def read_huggingface(source: PathLike, name: str) -> PretrainedBert:
    """Read a BERT in Hugging Face's layout.

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
        If the checkpoint is not a BERT, is incomplete or contradicts itself; names the file.
    """
    folder = find_folder(source, FILES)
    config = read_config(folder / "config.json")
    backbone, hparams = read_architecture(config, folder / "config.json")
    tensors = Tensors(folder)
    # The vocabulary is filled up to that size, which so far only config.json knows.
    tensors.require("embeddings.word_embeddings.weight", (config["vocab_size"], hparams["units"]))
    tokenizer = establish(folder, config["vocab_size"], uncased=name.endswith("_uncased"))
    parameters, parts = convert_weights(hparams, len(tokenizer.vocab), tensors)
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


def read_architecture(config: Dict[str, Any], path: Path) -> Tuple[str, Dict[str, Any]]:
    """Name and hyper-parameters of the architecture, in GluonNLP's terms."""
    kind = config.get("model_type")
    if kind is None:  # as in the first configs
        classes = config.get("architectures") or ["BertModel"]
        kind = classes[0] if isinstance(classes, list) else classes
        kind = "bert" if str(kind).startswith("Bert") else kind
    for family in families():
        if family.model_type == kind:
            return family.read_config(config, path)
    known = ", ".join(repr(family.model_type) for family in families())
    raise CheckpointError(f"{path}: the architecture is {kind!r}; only {known} can be imported")
