"""What the plugin adds to GluonNLP, and the only place that writes into GluonNLP's and MXNet's tables.

A thing is registered where it is defined, by one decorator and under an explicit name: :data:`dataset`, :data:`task`,
:data:`model`, :data:`truncation`. :func:`activate` offers all of them in the hosts' tables, :func:`deactivate` takes
every entry back out, and what is registered while the plugin is active is offered at once.

Names are found in upper and lower case alike. A name that is registered again means the new thing from then on, as in
MXNet's own registries: a notebook's cell can be run twice, and a user can replace what comes with the plugin. While the
plugin is active its names also come before GluonNLP's.
"""

import contextlib
import functools
import importlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Pattern, Tuple, TypeVar

import gluonnlp as nlp
import mxnet as mx
from gluonnlp.data import registry as dataset_registry
from gluonnlp.data import utils as vocabulary_registry
from gluonnlp.model import bert
from mxnet.gluon.model_zoo import model_store

from . import compat
from .errors import UsageError
from .system.changes import Changes

Thing = TypeVar("Thing")
Factory = Callable[[Callable[..., Any]], Callable[..., Any]]

_changes: Optional[Changes] = None  # None while the plugin is not active


# The catalogue ------------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    name: str  #: as it was registered, in upper and lower case
    thing: Any
    facts: Dict[str, Any]


class Catalogue:
    """The registered things of one kind, by name; `offer` makes an entry known to a host.

    Called with a name, it gives the decorator that registers.
    """

    def __init__(self, kind: str, offer: Callable[[Changes, Entry], None] = lambda changes, entry: None) -> None:
        self.kind = kind  #: what a message calls one of them
        self._offer = offer
        self._entries: Dict[str, Entry] = {}

    def __call__(self, name: str, **facts: Any) -> Callable[[Thing], Thing]:
        def enter(thing: Thing) -> Thing:
            self._entries[name.lower()] = Entry(name, thing, facts)
            if _changes is not None:
                self._offer(_changes, self._entries[name.lower()])
            return thing

        return enter

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._entries

    def __getitem__(self, name: str) -> Any:
        """The thing of that name; a :class:`.UsageError` that lists the names if there is none."""
        if name not in self:
            raise UsageError(f"no {self.kind} {name!r}; there are: {', '.join(self.names()) or 'none'}")
        return self._entries[name.lower()].thing

    def facts(self, name: str) -> Dict[str, Any]:
        """What was said about the thing of that name where it was registered."""
        return self._entries[name.lower()].facts

    def names(self) -> List[str]:
        return sorted(entry.name for entry in self._entries.values())

    def offer_all(self, changes: Changes) -> None:
        for entry in self._entries.values():
            self._offer(changes, entry)


def _offer_dataset(changes: Changes, entry: Entry) -> None:
    changes.set_item(_classes(changes, mx.gluon.data.Dataset), entry.name.lower(), entry.thing)
    changes.set_item(dataset_registry._REGSITRY_NAME_KWARGS, entry.thing, entry.facts)


def _offer_truncation(changes: Changes, entry: Entry) -> None:
    *_, base_class, _ = entry.thing.__mro__  # Truncation is the last before object
    changes.set_item(_classes(changes, base_class), entry.name.lower(), entry.thing)


def _classes(changes: Changes, base_class: type) -> Dict[str, type]:
    """MXNet's table of the registered subclasses of a class."""
    if base_class not in mx.registry._REGISTRY:
        changes.set_item(mx.registry._REGISTRY, base_class, {})
    return mx.registry._REGISTRY[base_class]


#: Dataset classes, for ``nlp.data.create(name)``; the facts are what ``nlp.data.list_datasets(name)`` shows.
dataset = Catalogue("dataset", _offer_dataset)
#: Classes or functions that make a ``GlueTask`` when called without arguments, for ``nlp.data.get_task(name)``. That
#: function gives GluonNLP's own task of a name with the fact ``is_hosts``.
task = Catalogue("task")
#: Functions, for ``nlp.model.get_model(name, **kwargs)``.
model = Catalogue("model")
#: Subclasses of :class:`.Truncation`, for ``--truncation NAME``, in MXNet's own registry of classes.
truncation = Catalogue("truncation", _offer_truncation)
#: Objects that are a :class:`.family.Family`.
family = Catalogue("family")
#: Subclasses of :class:`.heads.Head`, for ``--head NAME``.
head = Catalogue("head")
#: Subclasses of :class:`.formats.format.Format`, for ``export --format NAME``.
format = Catalogue("format")

_CATALOGUES = (dataset, task, model, truncation, head, format)
_patterns: Dict[Pattern[str], Callable[[str], Callable[..., Any]]] = {}
_replacements: Dict[Tuple[str, str], Factory] = {}  # (module, dotted attribute) -> what makes the new one of the old
_at_activation: List[Callable[[], None]] = []
_extended: Optional[Factory] = None  # what the model store makes of a function that builds backbones


def models_matching(pattern: Pattern[str]) -> Callable[[Thing], Thing]:
    """Offer the functions that the decorated one makes of names, for lower-case names that nothing else has."""

    def enter(builder_of: Any) -> Any:
        _patterns[pattern] = builder_of
        return builder_of

    return enter


def replacement(module: str, attribute: str) -> Callable[[Factory], Factory]:
    """Replace a function of a host, while the plugin is active, by what the decorated factory makes of it.

    Each function can have one replacement, so that what a call does is found in one place.
    """

    def enter(factory: Factory) -> Factory:
        target = module, attribute
        if target in _replacements:
            raise ValueError(f"{module}.{attribute} is replaced already, by {_replacements[target].__module__}")
        _replacements[target] = factory
        if _changes is not None:
            _replace(_changes, target)
        return factory

    return enter


def extends_builders(factory: Factory) -> Factory:
    """Make :func:`builder` return what the decorated factory makes of functions that have no replacement."""
    global _extended
    _extended = factory
    return factory


def builder(module: str, attribute: str) -> Callable[..., Any]:
    """A function that builds backbones by name, which the model store extends while the plugin is active."""
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    if _changes is None or _extended is None or (module, attribute) in _replacements:
        return function
    return _extended(function)


def at_activation(function: Callable[[], None]) -> Callable[[], None]:
    """Call `function` at each activation, after all else has been offered."""
    _at_activation.append(function)
    if _changes is not None:
        function()
    return function


def names() -> Dict[str, List[str]]:
    """The plugin's own names: ``{'datasets': [...], 'tasks': [...], ...}``."""
    return {f"{catalogue.kind}s": catalogue.names() for catalogue in _CATALOGUES}


# Activation -----------------------------------------------------------------------------------------------------------


def activate() -> None:
    """Enter everything the plugin offers into GluonNLP's tables; a second call changes nothing."""
    global _changes
    if _changes is not None:
        return
    _changes = Changes()
    for catalogue in _CATALOGUES:
        catalogue.offer_all(_changes)
    for target in _replacements:
        _replace(_changes, target)
    for function in _at_activation:
        function()


def deactivate() -> None:
    """Put GluonNLP back exactly as it was: the same functions, the same entries."""
    global _changes
    if _changes is not None:
        _changes.undo()
        _changes = None


def _replace(changes: Changes, target: Tuple[str, str]) -> None:
    module, attribute = target
    *path, name = attribute.split(".")
    owner = functools.reduce(getattr, path, importlib.import_module(module))
    changes.set_attribute(owner, name, _replacements[target](vars(owner)[name]))
    if target == ("gluonnlp.data.classification", "get_task"):  # which GluonNLP offers under two names
        changes.set_attribute(nlp.data, name, owner.get_task)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def add_backbone(name: str, hparams: Dict[str, Any]) -> None:
    """Let ``get_bert_model`` know the hyper-parameters of the architecture `name`; one that is known stays."""
    if _changes is not None and name not in bert.bert_hparams:
        _changes.set_item(bert.bert_hparams, name, dict(hparams))


def add_weights(name: str, sha1: str) -> None:
    """Let GluonNLP find ``<name>-<sha1>.params`` in its model store and check it."""
    if _changes is not None and model_store._model_sha1.get(name) != sha1:
        _changes.set_item(model_store._model_sha1, name, sha1)


def add_vocabulary(name: str, sha1: str, extension: str, special_tokens: Dict[str, str]) -> None:
    """Let GluonNLP find ``<name>-<sha1><extension>`` in its model store, check it and make a vocabulary of it."""
    entry = [sha1, extension, special_tokens]
    if _changes is not None and vocabulary_registry._vocab_sha1.get(name) != entry:
        _changes.set_item(vocabulary_registry._vocab_sha1, name, entry)


def weights_sha1(name: str) -> Optional[str]:
    """The sha1 of the weights that GluonNLP knows as `name`, or None."""
    return model_store._model_sha1.get(name)


def vocabulary_file(name: str) -> Tuple[str, str]:
    """File name and extension of the vocabulary that GluonNLP knows as `name`."""
    sha1, extension, _ = vocabulary_registry._vocab_sha1[name]
    return f"{name}-{sha1[:8]}{extension}", extension


def is_host_vocabulary(name: str) -> bool:
    """Whether `name` is one of GluonNLP's own dataset names, whose meaning must not change."""
    return name in _HOST_VOCABULARIES


_HOST_VOCABULARIES = frozenset(vocabulary_registry._vocab_sha1)

# GluonNLP's look-up functions, each with a dict inside ----------------------------------------------------------------


@replacement("gluonnlp.data.classification", "get_task")
def _get_task(original: Callable[..., Any]) -> Callable[..., Any]:
    tasks = task  # a name that the parameter has too

    @functools.wraps(original)
    def get_task(task: str) -> Any:
        if task in tasks and not tasks.facts(task).get("is_hosts"):
            return tasks[task]()
        with _listing_ours(tasks):
            return original(task)

    return get_task


@replacement("gluonnlp.model", "get_model")
def _get_model(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def get_model(name: str, **kwargs: Any) -> Any:
        if name in model:
            return model[name](**kwargs)
        if not hasattr(nlp.model, name.lower()):  # GluonNLP's own
            for pattern, builder_of in _patterns.items():
                if pattern.fullmatch(name.lower()):
                    return builder_of(name.lower())(**kwargs)
        with _listing_ours(model):
            return original(name, **kwargs)

    return get_model


@contextlib.contextmanager
def _listing_ours(catalogue: Catalogue) -> Iterator[None]:
    """Where GluonNLP lists its names in an error, list the plugin's too."""
    try:
        yield
    except ValueError as error:
        if "Available options are" not in str(error):
            raise
        raise ValueError("\n\t".join([str(error), *map(str.lower, catalogue.names())])) from None


replacement("gluonnlp.data.transforms", "SentencepieceTokenizer.__call__")(compat.sentencepiece_call)
replacement("mxnet.gluon.trainer", "Trainer._init_params")(compat.init_params)
