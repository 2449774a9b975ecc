"""Reads a fine-tuned model from the lone file of GluonNLP's own fine-tuning script."""

import re
from pathlib import Path
from typing import Any, Dict, Optional

import mxnet as mx

from ... import store
from ...errors import CheckpointError, UsageError
from ...model.bert import BERT
from ...tasks.snli import LABELS
from ...text.tokenizer_settings import TokenizerSettings
from ...text.vocabulary import read_vocabulary
from ..model_folder import Model
from ..model_settings import ModelSettings
from ..reading import model_of
from .parameters import check_backbone, check_bert, read_parameters, sizes, split, with_settings

_DENSE = re.compile(r"classifier\.(\d)\.(weight|bias)")  # 0 or, behind a dropout layer, 1
_MAX_LEN = 128  # the default of GluonNLP's script


def read_classifier(
    path: Path, ctx: Any, dataset_name: Optional[str], backbone: Optional[str], root: Optional[str]
) -> Model:
    """Read the file of a ``BERTClassifier``; parameters and errors are those of :func:`.load_finetuned`."""
    parameters, head = split(read_parameters(path))
    if dataset_name is None:
        raise UsageError(f"a .params file does not say which vocabulary: --dataset-name NAME ({store.inventory(root)})")
    hparams, vocab_size = sizes(path, parameters)
    if not head:
        raise CheckpointError(f"{path} has no classifier; a BERT alone is for import-bert")
    vocab_file = store.vocabulary(dataset_name, root)
    vocab, _ = read_vocabulary(vocab_file)
    backbone = check_backbone(path, hparams, backbone or store.only_backbone(dataset_name, root))
    if len(vocab) != vocab_size:
        raise CheckpointError(f"{path} is for {vocab_size} tokens, {dataset_name} has {len(vocab)}")
    check_bert(path, parameters, hparams, vocab_size)
    settings = ModelSettings(
        backbone=backbone,
        hparams={**BERT.hparams(backbone), **with_settings(hparams, backbone, dataset_name, root)},
        head="pooled",
        hidden_units=0,
        dropout=0.1,
        tokenizer=TokenizerSettings.gluonnlp("uncased" in dataset_name),  # with which that script trained it
        max_len=min(_MAX_LEN, hparams["max_length"]),
        truncation="equal",
    )
    parameters = {f"bert.{name}": array for name, array in parameters.items()}
    parameters.update(_head(path, head, hparams["units"]))
    return model_of(settings, vocab, vocab_file if vocab_file.suffix == ".spiece" else None, parameters, ctx, path)


def _head(path: Path, head: Dict[str, mx.nd.NDArray], units: int) -> Dict[str, mx.nd.NDArray]:
    """The dense layer of the head under the names it has in ours, checked."""
    layers = [match.group(1) for match in map(_DENSE.fullmatch, head) if match]
    if not len(layers) == len(head) == 2 or len(set(layers)) != 1:
        raise CheckpointError(
            f"{path} is not a BERTClassifier, whose head is one dense layer; for a model of finetune, give its output "
            "folder"
        )
    layer = layers[0]
    found = {f"classifier.1.{kind}": head[f"classifier.{layer}.{kind}"] for kind in ("weight", "bias")}
    classes = len(found["classifier.1.bias"])
    if classes != len(LABELS):
        raise CheckpointError(f"{path} has {classes} classes; SNLI has {len(LABELS)}: {', '.join(LABELS)}")
    if found["classifier.1.weight"].shape != (classes, units) or found["classifier.1.bias"].ndim != 1:
        shape = found["classifier.1.weight"].shape
        raise CheckpointError(f"{path}: classifier.{layer}.weight is of shape {shape}, it must be {(classes, units)}")
    return found
