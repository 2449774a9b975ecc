"""Families of backbones: what the names of their architectures mean, and what their parameters are called.

A family is one object, registered with ``@registry.family(NAME)`` on its class. Whatever is done with a backbone by
name asks its family: building it, checking its files, importing and exporting them.
"""

from typing import Any, Dict, List, Protocol, Sequence, Tuple

import mxnet as mx
from gluonnlp.vocab import BERTVocab

from .. import registry
from ..data.layout import PairLayout
from ..errors import UsageError


class Family(Protocol):
    """What the rest of the package asks about backbones of one kind."""

    #: How the names of its architectures are formed, for people: 'bert_LAYERS_UNITS_HEADS, such as bert_12_768_12'.
    form: str
    #: How a pair is laid out in tokens.
    layout: PairLayout
    #: What ``model_type`` says in Hugging Face's ``config.json``.
    model_type: str

    def knows(self, backbone: str) -> bool:
        """Whether a name has the form of this family's."""

    def hparams(self, backbone: str) -> Dict[str, Any]:
        """The usual hyper-parameters of an architecture, by GluonNLP's names.

        Raises
        ------
        UsageError
            If there is no such architecture.
        """

    def are_hparams(self, backbone: str, hparams: Dict[str, Any]) -> bool:
        """Whether what a file says can be all the hyper-parameters of an architecture."""

    def parameters(
        self, hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
        """GluonNLP's name of each parameter -> (Hugging Face's name, shape): of the encoder and the given parts.

        Parameters
        ----------
        hparams : dict
        vocab_size : int
        parts : sequence of {'pooler', 'decoder', 'classifier'}
        """

    def build(self, backbone: str, vocab: BERTVocab, hparams: Dict[str, Any], use_pooler: bool) -> mx.gluon.Block:
        """The backbone as GluonNLP builds it, without weights."""

    def read_config(self, config: Dict[str, Any], path: Any) -> Tuple[str, Dict[str, Any]]:
        """Name and hyper-parameters of the architecture that Hugging Face's ``config.json`` describes.

        Raises
        ------
        CheckpointError
            If GluonNLP cannot compute it; names `path`.
        """

    def write_config(self, hparams: Dict[str, Any]) -> Dict[str, Any]:
        """What Hugging Face's ``config.json`` says of an architecture."""


def families() -> List[Family]:
    """All families."""
    return [registry.family[name] for name in registry.family.names()]


def family_of(backbone: str) -> Family:
    """The family of an architecture.

    Raises
    ------
    UsageError
        If the name is not of any family's form.
    """
    for family in families():
        if family.knows(backbone):
            return family
    forms = "; or ".join(family.form for family in families())
    raise UsageError(f"no architecture {backbone!r}; a name is {forms}")


def hparams_of(backbone: str) -> Dict[str, Any]:
    """The usual hyper-parameters of an architecture, by GluonNLP's names; see :meth:`Family.hparams`."""
    return family_of(backbone).hparams(backbone)
