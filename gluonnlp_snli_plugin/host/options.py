"""Makes a script's own options accept what is registered: tasks, architectures, weights of the local store."""

import argparse
import functools
from typing import Any, Iterable, List, Optional, Sequence, Set

from gluonnlp.data import classification
from gluonnlp.model import bert

from .. import registry, store
from ..errors import UsageError
from ..model.family import Family, families


class Choices(List[Any]):
    """The choices of an option, and every shape of the families whose architectures are among them.

    It is listed as any list, so that ``--help`` shows the script's own choices and those of the plugin.
    """

    def __init__(self, choices: Iterable[Any], any_shape_of: Sequence[Family] = ()) -> None:
        super().__init__(choices)
        self._families = any_shape_of

    def __contains__(self, value: Any) -> bool:
        return super().__contains__(value) or any(_is_shape(family, value) for family in self._families)


def _is_shape(family: Family, name: Any) -> bool:
    try:
        family.hparams(name)
    except (UsageError, TypeError):
        return False
    return True


def extended(choices: Sequence[Any]) -> Sequence[Any]:
    """The choices of an option with those of the same kind that the plugin brings.

    Parameters
    ----------
    choices : list of str
        As a script wrote them; of GluonNLP's tasks, architectures or pretrained datasets, or of anything else.

    Returns
    -------
    list
        `choices` itself where they are none of these.
    """
    given = set(choices)
    if given & host_tasks():
        return _extended(choices, registry.names()["tasks"])
    known = [family for family in families() if any(_is_shape(family, name) for name in given)]
    if known:
        more = [name for name in sorted(bert.bert_hparams) if any(family.knows(name) for family in known)]
        return _extended(choices, more, any_shape_of=known)
    if "book_corpus_wiki_en_uncased" in given:
        return _extended(choices, sorted(store.vocabularies()))
    return choices


def _extended(choices: Sequence[Any], more: Iterable[Any], any_shape_of: Sequence[Family] = ()) -> Choices:
    return Choices(dict.fromkeys([*choices, *more]), any_shape_of)


def host_tasks() -> Set[str]:
    """The names of GluonNLP's own tasks."""
    return {
        name[: -len("Task")].replace("STSB", "STS-B")
        for name in classification.__all__
        if name.endswith("Task") and name != "GlueTask"
    }


def extend_options(changes: registry.Changes, gpu: Optional[int] = None) -> None:
    """Let every parser made from now on accept what is registered.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    gpu : int or None
        The GPU that a script's ``--gpu`` or ``--gpus`` names unless its arguments say otherwise.
    """
    original = argparse._ActionsContainer.add_argument

    @functools.wraps(original)
    def add_argument(self: Any, *names: str, **settings: Any) -> Any:
        if isinstance(settings.get("choices"), (list, tuple)):
            settings["choices"] = extended(settings["choices"])
        if gpu is not None and {"--gpu", "--gpus"} & set(names):
            settings["default"] = settings.get("type", str)(gpu)
        return original(self, *names, **settings)

    changes.set_attribute(argparse._ActionsContainer, "add_argument", add_argument)
