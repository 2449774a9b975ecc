"""Reads a fine-tuned model from the file of GluonNLP's own fine-tuning script."""

import re
from pathlib import Path
from typing import Any, Dict, Optional

import mxnet as mx
from gluonnlp.vocab import BERTVocab

from ... import store
from ...errors import CheckpointError, UsageError
from ...model.family import family_of
from ...model.heads import head_named
from ...model.parameter_names import HostClassifier
from ...tasks.snli import LABELS
from ...text.tokenizer_settings import TokenizerSettings
from ...text.vocabulary import read_vocabulary
from ..model_folder import Model
from ..model_settings import ModelSettings
from ..reading import model_of
from .parameters import check_backbone, check_bert, read_parameters, sizes, split, with_settings

_DENSE = re.compile(r"classifier\.(\d)\.(weight|bias)")  # dropout layers are counted too
_MAX_LEN = 128  # the default of GluonNLP's script


def read_classifier(
    path: Path, ctx: Any, dataset_name: Optional[str], backbone: Optional[str], root: Optional[str]
) -> Model:
    """Read the file of GluonNLP's classifier; parameters and errors are those of :func:`.load_finetuned`."""
    parameters, head = split(read_parameters(path))
    if dataset_name is None:
        raise UsageError(f"a .params file does not say which vocabulary: --dataset-name NAME ({store.inventory(root)})")
    hparams, vocab_size = sizes(path, parameters)
    if not head:
        raise CheckpointError(f"{path} has no classifier; a backbone alone is for import-bert")
    vocab_file = store.vocabulary(dataset_name, root)
    vocab, _ = read_vocabulary(vocab_file)
    backbone = check_backbone(path, hparams, backbone or store.only_backbone(dataset_name, root))
    if len(vocab) != vocab_size:
        raise CheckpointError(f"{path} is for {vocab_size} tokens, {dataset_name} has {len(vocab)}")
    family = family_of(backbone)
    host = family.host_classifier
    if host is None:
        raise CheckpointError(f"{path}: GluonNLP has no classifier around a {backbone}")
    check_bert(path, family, parameters, hparams, vocab_size)
    lower = "uncased" in dataset_name
    tokenizer = TokenizerSettings.gluonnlp(lower)  # with which that script trained it
    if not isinstance(vocab, BERTVocab):
        tokenizer = store.tokenizer(dataset_name, vocab, lower, None, root)
    settings = ModelSettings(
        backbone=backbone,
        hparams={**family.hparams(backbone), **with_settings(hparams, backbone, dataset_name, root)},
        head=host.head,
        hidden_units=0,
        dropout=0.1,
        tokenizer=tokenizer,
        max_len=min(_MAX_LEN, hparams["max_length"]),
        truncation="equal",
        one_separator=len(family.layout.between) > 1,
    )
    parameters = {f"bert.{name}": array for name, array in parameters.items()}
    parameters.update(_head(path, host, head, hparams["units"]))
    return model_of(settings, vocab, vocab_file if vocab_file.suffix == ".spiece" else None, parameters, ctx, path)


def _head(path: Path, host: HostClassifier, head: Dict[str, mx.nd.NDArray], units: int) -> Dict[str, mx.nd.NDArray]:
    """The dense layers of the head under the names they have in ours, checked."""
    numbers = sorted({match.group(1) for match in map(_DENSE.fullmatch, head) if match})
    expected = {f"classifier.{number}.{kind}" for number in numbers for kind in ("weight", "bias")}
    if len(numbers) != len(host.layers) or set(head) != expected:
        raise CheckpointError(
            f"{path} is not a {host.name}, whose head is {_dense(len(host.layers))}; for a model of finetune, give its "
            "output folder"
        )
    found, theirs = {}, {}
    for ours, number in zip(host.layers, numbers):
        for kind in ("weight", "bias"):
            name = f"{ours}.{kind}"
            found[name], theirs[name] = head[f"classifier.{number}.{kind}"], f"classifier.{number}.{kind}"
    classes = len(found[f"{ours}.bias"])
    if classes != len(LABELS):
        raise CheckpointError(f"{path} has {classes} classes; SNLI has {len(LABELS)}: {', '.join(LABELS)}")
    for name, shape in head_named(host.head).parameter_shapes(units, classes, 0).items():
        if found[name].shape != shape:
            raise CheckpointError(f"{path}: {theirs[name]} is of shape {found[name].shape}, it must be {shape}")
    return found


def _dense(number: int) -> str:
    return "one dense layer" if number == 1 else f"{number} dense layers"
