"""What the plugin adds to GluonNLP, and the only place that writes into GluonNLP's and MXNet's tables.

A thing is entered into the catalogue here by one decorator where it is defined (:func:`dataset`, :func:`task`,
:func:`model`, :func:`truncation`, :func:`replacement`, :func:`at_activation`); :func:`activate` writes the catalogue
into the host's tables and :func:`deactivate` takes every entry back out.
"""

import functools
import importlib
from typing import Any, Callable, Dict, List, Tuple

import gluonnlp as nlp
import mxnet as mx
from gluonnlp.data import classification
from gluonnlp.data import registry as dataset_registry
from gluonnlp.data import utils as vocabulary_registry
from gluonnlp.model import bert
from mxnet.gluon.model_zoo import model_store

from . import compat

_datasets: Dict[type, Dict[str, Any]] = {}  # class -> its registered keyword arguments
_tasks: Dict[str, Any] = {}  # lower-case name -> class
_models: Dict[str, Callable[..., Any]] = {}  # lower-case name -> function
_truncations: Dict[type, Dict[str, type]] = {}  # base class -> {name: class}
_replacements: List[Tuple[str, str, Callable[..., Any]]] = []  # (module name, dotted attribute, factory)
_at_activation: List[Callable[[], None]] = []


# The catalogue ------------------------------------------------------------------------------------------------------


def dataset(**kwargs):
    """Offer a class as ``nlp.data.create(name)``; `kwargs` are the values ``list_datasets`` shows, as in GluonNLP."""

    def enter(class_):
        _datasets[class_] = kwargs
        return class_

    return enter


def task(name):
    """Offer a ``GlueTask`` class as ``nlp.data.get_task(name)``."""

    def enter(class_):
        _tasks[name.lower()] = class_
        return class_

    return enter


def model(function):
    """Offer a function as ``nlp.model.get_model(function.__name__, **kwargs)``."""
    _models[function.__name__.lower()] = function
    return function


def truncation(base_class, name):
    """Offer a subclass of `base_class` under `name` through MXNet's own registry of classes."""

    def enter(class_):
        _truncations.setdefault(base_class, {})[name] = class_
        return class_

    return enter


def replacement(module, attribute):
    """Replace a function of GluonNLP, while the plugin is active, by what the decorated factory makes of it."""

    def enter(factory):
        _replacements.append((module, attribute, factory))
        return factory

    return enter


def at_activation(function):
    """Call `function` at each activation, once the tables hold the rest of the catalogue."""
    _at_activation.append(function)
    return function


def names():
    """What there is to look up: ``{'datasets': [...], 'tasks': [...], 'models': [...]}``, the plugin's names only."""
    return {
        "datasets": sorted(class_.__name__ for class_ in _datasets),
        "tasks": sorted(class_.name for class_ in _tasks.values()),
        "models": sorted(_models),
    }


# The tables ---------------------------------------------------------------------------------------------------------


class Changes:
    """Writes into tables and modules, and undoes it to the letter."""

    def __init__(self):
        self._undo = []

    def set_item(self, table, key, value):
        if key in table:
            self._undo.append(functools.partial(table.__setitem__, key, table[key]))
        else:
            self._undo.append(functools.partial(table.pop, key, None))
        table[key] = value

    def set_attribute(self, owner, name, value):
        self._undo.append(functools.partial(setattr, owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    def undo(self):
        while self._undo:
            self._undo.pop()()


_changes = None


def activate():
    """Enter everything the plugin offers into GluonNLP's tables; a second call changes nothing."""
    global _changes
    if _changes is not None:
        return
    _changes = Changes()
    classes = mx.registry._REGISTRY
    for class_, kwargs in _datasets.items():
        _changes.set_item(classes.setdefault(mx.gluon.data.Dataset, {}), class_.__name__.lower(), class_)
        _changes.set_item(dataset_registry._REGSITRY_NAME_KWARGS, class_, kwargs)
    for base_class, strategies in _truncations.items():
        for name, class_ in strategies.items():
            _changes.set_item(classes.setdefault(base_class, {}), name, class_)
    for module, attribute, factory in _replacements:
        *path, name = attribute.split(".")
        owner = functools.reduce(getattr, path, importlib.import_module(module))
        _changes.set_attribute(owner, name, factory(vars(owner)[name]))
    # GluonNLP offers get_task under two names; both must be the same function.
    _changes.set_attribute(nlp.data, "get_task", classification.get_task)
    for function in _at_activation:
        function()


def deactivate():
    """Put GluonNLP back exactly as it was: the same functions, the same entries."""
    global _changes
    if _changes is not None:
        _changes.undo()
        _changes = None


def add_backbone(name, hparams):
    """Let ``get_bert_model`` know the hyper-parameters of the architecture `name`; one that is known stays."""
    if _changes is not None and name not in bert.bert_hparams:
        _changes.set_item(bert.bert_hparams, name, dict(hparams))


def add_weights(name, sha1):
    """Let GluonNLP find ``<name>-<sha1>.params`` in its model store and check it."""
    if _changes is not None and model_store._model_sha1.get(name) != sha1:
        _changes.set_item(model_store._model_sha1, name, sha1)


def add_vocabulary(name, sha1, extension, special_tokens):
    """Let GluonNLP find ``<name>-<sha1><extension>`` in its model store, check it and make a vocabulary of it."""
    entry = [sha1, extension, special_tokens]
    if _changes is not None and vocabulary_registry._vocab_sha1.get(name) != entry:
        _changes.set_item(vocabulary_registry._vocab_sha1, name, entry)


def weights_sha1(name):
    """The sha1 of the weights that GluonNLP knows as `name`, or None."""
    return model_store._model_sha1.get(name)


def vocabulary_file(name):
    """File name and extension of the vocabulary that GluonNLP knows as `name`."""
    sha1, extension, _ = vocabulary_registry._vocab_sha1[name]
    return f"{name}-{sha1[:8]}{extension}", extension


def is_host_vocabulary(name):
    """Whether `name` is one of GluonNLP's own dataset names, whose meaning must not change."""
    return name in _HOST_VOCABULARIES


_HOST_VOCABULARIES = frozenset(vocabulary_registry._vocab_sha1)


# GluonNLP's look-up functions, each with a dict inside ----------------------------------------------------------------


@replacement("gluonnlp.data.classification", "get_task")
def _get_task(original):
    @functools.wraps(original)
    def get_task(task):
        if task.lower() in _tasks:
            return _tasks[task.lower()]()
        return _look_up(original, task, _tasks)

    return get_task


@replacement("gluonnlp.model", "get_model")
def _get_model(original):
    @functools.wraps(original)
    def get_model(name, **kwargs):
        if name.lower() in _models:
            return _models[name.lower()](**kwargs)
        return _look_up(original, name, _models, **kwargs)

    return get_model


def _look_up(original, name, offered, **kwargs):
    """Ask GluonNLP; where it lists what there is, list what the plugin offers too."""
    try:
        return original(name, **kwargs)
    except ValueError as error:
        if "Available options are" not in str(error):
            raise
        raise ValueError("\n\t".join([str(error), *sorted(offered)])) from None


@replacement("gluonnlp.data.transforms", "SentencepieceTokenizer.__call__")
def _sentencepiece_call(original):
    return compat.sentencepiece_call(original)


@replacement("mxnet.gluon.block", "HybridBlock.export")
def _export(original):
    return compat.export(original)


@replacement("mxnet.gluon.trainer", "Trainer._init_params")
def _init_params(original):
    return compat.init_params(original)
