"""A fine-tuned model, from a folder of ours or from the lone file of GluonNLP's own fine-tuning script."""

import os
import re
from pathlib import Path

import mxnet as mx

from .. import store
from ..errors import CheckpointError, UsageError
from ..model.bert import BERT
from ..tasks.snli import LABELS
from ..text.tokenizer_settings import TokenizerSettings
from ..text.vocabulary import read_vocabulary
from .model_folder import Model, ModelSettings, build_net, load_model
from .params_file import check_backbone, check_bert, read_parameters, sizes, split, with_settings

_DENSE = re.compile(r"classifier\.(\d)\.(weight|bias)")  # 0 or, behind a dropout layer, 1
_MAX_LEN = 128  # the default of GluonNLP's script


def load_finetuned(path, ctx=None, dataset_name=None, backbone=None, root=None):
    """Read a fine-tuned model: an output folder of ``finetune``, or a ``.params`` file of a ``BERTClassifier``.

    Such a file, which GluonNLP's ``finetune_classifier.py`` writes, has no settings beside it. They are taken to be
    those of that script: inputs of 128 tokens, truncation 'equal', the labels in the order of ``SNLITask``.

    Parameters
    ----------
    path : str or Path
    ctx : Context or list of Context, default CPU
    dataset_name : str or None
        Which vocabulary of the model store a ``.params`` file is for.
    backbone : str or None
        Architecture of a ``.params`` file, where the store has several under that name.
    root : str or None
        Folder of the model store, default ``$MXNET_HOME/models``.

    Returns
    -------
    Model

    Raises
    ------
    UsageError
        If `dataset_name` or `backbone` is missing, does not fit, or is given for a folder.
    CheckpointError
        If there is no model, or it is damaged or contradicts itself.
    """
    path = Path(path)
    if os.path.isdir(path):
        for option, value in (("dataset-name", dataset_name), ("backbone", backbone)):
            if value is not None:
                raise UsageError(f"--{option} goes with a .params file; the folder {path} has its own")
    elif os.path.isfile(path) or path.suffix == ".params":
        return _load_file(path, mx.cpu() if ctx is None else ctx, dataset_name, backbone, root)
    return load_model(path, ctx)


def _load_file(path, ctx, dataset_name, backbone, root):
    parameters, head = split(read_parameters(path))
    if dataset_name is None:
        raise UsageError(f"a .params file does not say which vocabulary: --dataset-name NAME ({store.inventory(root)})")
    hparams, vocab_size = sizes(path, parameters)
    if not head:
        raise CheckpointError(f"{path} has no classifier; a BERT alone is for import-bert")
    vocab_file = store.vocabulary(dataset_name, root)
    vocab, _ = read_vocabulary(vocab_file)
    backbone = backbone or store.only_backbone(dataset_name, root)
    check_backbone(path, hparams, backbone)
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
    net = build_net(settings, vocab)
    set_parameters(net, parameters, ctx, path)
    return Model(net, vocab, settings, vocab_file if vocab_file.suffix == ".spiece" else None)


def set_parameters(net, parameters, ctx, path):
    """Give a net that is not initialized its parameters, NDArrays by name, which were read from `path`."""
    for name, parameter in net._collect_params_with_prefix().items():
        if name not in parameters:
            raise CheckpointError(f"{path} has no parameter {name}: it is no BERTClassifier")
        parameter.shape = parameters[name].shape
        parameter.initialize(mx.init.Zero(), ctx=ctx)
        parameter.set_data(parameters[name])


def _head(path, head, units):
    """The dense layer of the head under the names it has in ours, checked."""
    layers = [match.group(1) for match in map(_DENSE.fullmatch, head) if match]
    if not len(layers) == len(head) == 2 or len(set(layers)) != 1:
        raise CheckpointError(
            f"{path} is no BERTClassifier, whose head is one dense layer; of finetune, give the output folder"
        )
    layer = layers[0]
    found = {f"classifier.1.{kind}": head[f"classifier.{layer}.{kind}"] for kind in ("weight", "bias")}
    classes = len(found["classifier.1.bias"])
    if classes != len(LABELS):
        raise CheckpointError(f"{path} tells {classes} classes apart; SNLI has {len(LABELS)}: {', '.join(LABELS)}")
    if found["classifier.1.weight"].shape != (classes, units) or found["classifier.1.bias"].ndim != 1:
        shape = found["classifier.1.weight"].shape
        raise CheckpointError(f"{path}: classifier.{layer}.weight is of shape {shape}, it must be {(classes, units)}")
    return found
