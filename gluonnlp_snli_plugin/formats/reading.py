"""Reads a fine-tuned model, whatever format it is in."""

import os
from pathlib import Path
from typing import Any, Dict, Optional

import mxnet as mx
from gluonnlp.vocab import BERTVocab

from ..errors import CheckpointError, UsageError
from ..model.family import require_special_tokens
from .format import PathLike, format_of
from .model_folder import Model, build_net
from .model_settings import ModelSettings


def load_finetuned(
    path: PathLike,
    ctx: Any = None,
    dataset_name: Optional[str] = None,
    backbone: Optional[str] = None,
    root: Optional[str] = None,
) -> Model:
    """Read a fine-tuned model: an output folder of ``finetune``, or a file or folder in one of the other formats.

    A ``.params`` file of a ``BERTClassifier``, which GluonNLP's ``finetune_classifier.py`` writes, has no settings
    beside it. They are taken to be those of that script: inputs of 128 tokens, truncation 'equal', the labels in the
    order of ``SNLITask``.

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
        If `dataset_name` or `backbone` is missing, does not fit, or is given for a folder; or if a package is missing
        that reading the format needs.
    CheckpointError
        If there is no model, or it is damaged or contradicts itself.
    """
    if os.path.isdir(path):
        for option, value in (("dataset-name", dataset_name), ("backbone", backbone)):
            if value is not None:
                raise UsageError(f"--{option} goes with a .params file; the folder {path} has its own")
    found = format_of(path, default="model")
    found.require()
    model = found.read(Path(path), mx.cpu() if ctx is None else ctx, dataset_name, backbone, root)
    try:
        require_special_tokens(model.settings.backbone, model.vocab)
    except UsageError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return model


def model_of(
    settings: ModelSettings,
    vocab: BERTVocab,
    spiece: Optional[Path],
    parameters: Dict[str, mx.nd.NDArray],
    ctx: Any,
    path: PathLike,
) -> Model:
    """The model of settings and parameters that were read from `path`.

    Raises
    ------
    CheckpointError
        If a parameter is missing.
    """
    net = build_net(settings, vocab)
    for name, parameter in net._collect_params_with_prefix().items():
        if name not in parameters:
            raise CheckpointError(f"{path} has no parameter {name}: it is not a complete classifier")
        parameter.shape = parameters[name].shape
        parameter.initialize(mx.init.Zero(), ctx=ctx)
        parameter.set_data(parameters[name])
    return Model(net, vocab, settings, spiece)
