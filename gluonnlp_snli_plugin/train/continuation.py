"""Continued fine-tuning: what a run takes from the fine-tuned model that it starts from."""

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import mxnet as mx

from .. import registry
from ..data.assignments import in_words, listed, written
from ..errors import UsageError
from ..formats.format import format_of
from ..formats.model_folder import Model, load_settings, weights_sha256
from ..formats.model_settings import ModelSettings
from ..formats.reading import load_finetuned, model_of
from ..model.heads import head_named
from ..tasks.task import schema_of
from .settings.config import option_name

if TYPE_CHECKING:
    from .settings.finetune_config import FinetuneConfig

Parameters = Dict[str, mx.nd.NDArray]


def settings_with_model(given: Dict[str, Any]) -> Dict[str, Any]:
    """The settings of a run that starts from a fine-tuned model.

    Parameters
    ----------
    given : dict
        What the user gave, with ``init_from``.

    Returns
    -------
    dict
        The same, and the model's own where nothing is given: head, longest input, truncation, dropout and classes.

    Raises
    ------
    UsageError
        If the model cannot be trained, or a setting contradicts it.
    CheckpointError
        If there is no model, or it is damaged.
    """
    model = _settings(given["init_from"], given.get("dataset_name"), given.get("backbone"))
    found: Dict[str, Any] = {name: getattr(model, name) for name in ("head", "max_len", "truncation", "dropout")}
    if model.hidden_units:  # which not every head has
        found["hidden_units"] = model.hidden_units
    for name in ("head", "hidden_units"):
        if given.get(name, found.get(name)) != found.get(name, given.get(name)):
            has = f"the model in {given['init_from']} has {found[name]}"
            raise UsageError(f"{option_name(name)} is {given[name]}; {has}: omit {option_name(name)}")
    labels = given.get("labels")
    if not (given.get("task") or given.get("classes") or listed("--labels", labels, "NAME,NAME,...")):
        found.update(_classes(model.labels, model.task, bool(labels)))
    return {**found, **given}


def _classes(labels: Tuple[str, ...], task: str, has_spellings: bool) -> Dict[str, Any]:
    """The settings that name the classes of a model."""
    if task in registry.task and schema_of(labels, task) == getattr(registry.task[task], "schema", None):
        return {"task": task}
    return {"classes" if has_spellings else "labels": written(labels)}


def continued_model(
    config: "FinetuneConfig", task: str, contexts: List[mx.Context]
) -> Tuple[Model, Dict[str, Any], Optional[str]]:
    """The fine-tuned model that a run starts from, with the classes of the run.

    Parameters
    ----------
    config : FinetuneConfig
    task : str
        The name of the task to record in the model.
    contexts : list of Context

    Returns
    -------
    model : Model
    record : dict
        What ``config.json`` records of it: backbone, sha256 of the weights, and whether the head is kept or new.
    remark : str or None
        Why the head is new.

    Raises
    ------
    UsageError
        If the run needs longer inputs than the model can take.
    """
    model = _load(config.init_from, config.dataset_name, config.backbone)
    named = model.net._collect_params_with_prefix().items()
    parameters: Parameters = {name: parameter.data(mx.cpu()) for name, parameter in named}
    record = {
        "backbone": model.settings.backbone,
        "sha256": weights_sha256(str(config.init_from)) or _sha256(parameters),
    }
    labels, before = config.schema.labels, model.settings.labels
    settings = dataclasses.replace(
        model.settings,
        hparams={**model.settings.hparams, "dropout": config.dropout},
        dropout=config.dropout,
        max_len=config.max_len,
        truncation=config.truncation,
        labels=labels,
        task=task,
    )
    sizes = settings.hparams["units"], len(labels), settings.hidden_units
    head = head_named(settings.head)
    is_same = sorted(labels) == sorted(before)
    if is_same:
        last = head.own_layers(*sizes)[-1].name
        rows = mx.nd.array([before.index(label) for label in labels])
        for kind in ("weight", "bias"):
            parameters[f"{last}.{kind}"] = parameters[f"{last}.{kind}"].take(rows)
    else:
        parameters.update((name, mx.nd.zeros(shape)) for name, shape in head.parameter_shapes(*sizes).items())
    continued = model_of(settings, model.vocab, model.spiece, parameters, contexts, str(config.init_from))
    if is_same:
        return continued, {**record, "head": "kept"}, None
    continued.net.classifier.initialize(mx.init.Normal(0.02), ctx=contexts, force_reinit=True)
    remark = f"the head is new: {config.init_from} has the classes {in_words(before)}; this run has {in_words(labels)}"
    return continued, {**record, "head": "new"}, remark


def _settings(path: Any, dataset_name: Optional[str], backbone: Optional[str]) -> ModelSettings:
    """The settings of a model, which in most formats come with all of it."""
    if format_of(path, default="model").name == "model":
        return load_settings(path)
    return _load(path, dataset_name, backbone).settings


def _load(path: Any, dataset_name: Optional[str], backbone: Optional[str]) -> Model:
    model = load_finetuned(path, None, dataset_name, backbone)
    if not isinstance(model.net, mx.gluon.Block):
        raise UsageError(f"--init-from {path}: an ONNX model cannot be trained: give the model that it was made from")
    return model


def _sha256(parameters: Parameters) -> str:
    """A hash of all parameters, for a model that is not in a model folder."""
    found = hashlib.sha256()
    for name, array in sorted(parameters.items()):
        found.update(name.encode())
        found.update(array.asnumpy().tobytes())
    return found.hexdigest()
