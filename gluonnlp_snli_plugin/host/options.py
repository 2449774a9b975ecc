"""Makes a script's own options accept what is registered: tasks, BERT architectures, weights of the local store."""

import argparse
import functools

from gluonnlp.data import classification
from gluonnlp.model import bert

from .. import registry, store
from ..errors import UsageError
from ..model.bert import BERT


class Choices(list):
    """The choices of an option, and every other BERT shape where architectures are chosen from.

    Lists itself as any list does, so that ``--help`` shows what it always did and what has come with the plugin.
    """

    def __init__(self, choices, any_shape=False):
        super().__init__(choices)
        self._any_shape = any_shape

    def __contains__(self, value):
        return super().__contains__(value) or (self._any_shape and _is_shape(value))


def _is_shape(name):
    try:
        BERT.hparams(name)
    except (UsageError, TypeError):
        return False
    return True


def extended(choices):
    """The choices of an option with those of the same kind that the plugin brings.

    Parameters
    ----------
    choices : list of str
        As a script wrote them; of GluonNLP's tasks, BERT architectures or pretrained datasets, or of anything else.

    Returns
    -------
    list
        `choices` itself where they are none of these.
    """
    given = set(choices)
    if given & host_tasks():
        more = registry.names()["tasks"]
    elif "bert_12_768_12" in given:
        more = sorted(bert.bert_hparams)
        more = [name for name in more if name.startswith("bert_")]
    elif "book_corpus_wiki_en_uncased" in given:
        more = sorted(store.vocabularies())
    else:
        return choices
    return Choices([*choices, *(name for name in more if name not in given)], "bert_12_768_12" in given)


def host_tasks():
    """The names of GluonNLP's own tasks."""
    return {
        name[: -len("Task")].replace("STSB", "STS-B")
        for name in classification.__all__
        if name.endswith("Task") and name != "GlueTask"
    }


def extend_options(changes, gpu=None):
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
    def add_argument(self, *names, **settings):
        if isinstance(settings.get("choices"), (list, tuple)):
            settings["choices"] = extended(settings["choices"])
        if gpu is not None and {"--gpu", "--gpus"} & set(names):
            settings["default"] = settings.get("type", str)(gpu)
        return original(self, *names, **settings)

    changes.set_attribute(argparse._ActionsContainer, "add_argument", add_argument)
