"""BERT architectures by name: any ``bert_L_H_A`` (layers, units, attention heads)."""

import functools
import re

from gluonnlp.model import bert

from .. import registry
from ..errors import UsageError

_SHAPE = re.compile(r"bert_(\d+)_(\d+)_(\d+)$")
_HIDDEN_SIZE = {"bert_2_256_4": 512}  # the chapter's; elsewhere it is four times the units, as in the BERT paper


def bert_hparams(name):
    """Hyper-parameters of a BERT architecture, in the form of ``gluonnlp.model.bert.bert_hparams``.

    Parameters
    ----------
    name : str
        ``bert_L_H_A``, for example 'bert_6_384_12'.

    Returns
    -------
    dict

    Raises
    ------
    UsageError
        If the name is no such shape, or the units cannot be divided among the heads.
    """
    shape = _SHAPE.match(name)
    if not shape:
        raise UsageError(f"no BERT architecture {name!r}; a name is bert_LAYERS_UNITS_HEADS, such as bert_12_768_12")
    layers, units, heads = map(int, shape.groups())
    if not (layers and units and heads) or units % heads:
        raise UsageError(f"no BERT architecture {name!r}: {units} units cannot be divided among {heads} heads")
    return {
        "num_layers": layers,
        "units": units,
        "hidden_size": _HIDDEN_SIZE.get(name, 4 * units),
        "max_length": 512,
        "num_heads": heads,
        "dropout": 0.1,
        "embed_size": units,
        "token_type_vocab_size": 2,
        "word_embed": None,
    }


def _bert(name):
    """A function that builds the architecture `name`, with the parameters of ``gluonnlp.model.bert_12_768_12``."""

    def build(dataset_name=None, vocab=None, **kwargs):
        registry.add_backbone(name, bert_hparams(name))
        return bert.get_bert_model(name, dataset_name=dataset_name, vocab=vocab, **kwargs)

    build.__name__ = name
    return build


bert_2_256_4 = registry.model(_bert("bert_2_256_4"))  #: the small BERT of the *Dive into Deep Learning* chapter
bert_6_384_12 = registry.model(_bert("bert_6_384_12"))  #: MiniLM (Wang et al., 2020)


@registry.at_activation
def _register():
    for name in ("bert_2_256_4", "bert_6_384_12"):
        registry.add_backbone(name, bert_hparams(name))


@registry.replacement("gluonnlp.model", "get_model")
def _get_model_of_any_shape(original):
    """``get_model`` knows two BERT shapes and the catalogue two more; this makes it understand every other."""

    @functools.wraps(original)
    def get_model(name, **kwargs):
        name = name.lower()
        if _SHAPE.match(name) and not hasattr(bert, name) and name not in registry.names()["models"]:
            return _bert(name)(**kwargs)
        return original(name, **kwargs)

    return get_model
