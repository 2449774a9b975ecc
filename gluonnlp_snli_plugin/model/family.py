"""Families of backbones: their architecture names, hyper-parameters and parameter names.

A family is one object, registered with ``@registry.family(NAME)`` on its class. It is used to build a backbone by name,
to validate its files, and to import and export them.
"""

from typing import Any, Dict, List, Protocol, Sequence, Tuple

import mxnet as mx
from gluonnlp.vocab import BERTVocab

from .. import registry
from ..data.layout import PairLayout
from ..errors import UsageError


class Family(Protocol):
    """Interface of the rest of the package to backbones of one kind."""

    #: The form of its architecture names, for messages: 'bert_LAYERS_UNITS_HEADS, such as bert_12_768_12'.
    form: str
    #: How a pair is laid out in tokens.
    layout: PairLayout
    #: ``model_type`` in Hugging Face's ``config.json``.
    model_type: str

    def knows(self, backbone: str) -> bool:
        """Whether a name has the form of this family's names."""

    def hparams(self, backbone: str) -> Dict[str, Any]:
        """The usual hyper-parameters of an architecture, by GluonNLP's names.

        Raises
        ------
        UsageError
            If the architecture does not exist.
        """

    def are_hparams(self, backbone: str, hparams: Dict[str, Any]) -> bool:
        """Whether `hparams`, read from a file, are complete and valid for an architecture."""

    def parameters(
        self, hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
        """GluonNLP's name of each parameter -> (Hugging Face's name, shape), for the encoder and the given parts.

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
            If GluonNLP does not support it; names `path`.
        """

    def write_config(self, hparams: Dict[str, Any]) -> Dict[str, Any]:
        """The entries of Hugging Face's ``config.json`` that describe an architecture."""


def families() -> List[Family]:
    """All families."""
    return [registry.family[name] for name in registry.family.names()]


def family_of(backbone: str) -> Family:
    """The family of an architecture.

    Raises
    ------
    UsageError
        If the name does not have the form of any family.
    """
    for family in families():
        if family.knows(backbone):
            return family
    forms = "; or ".join(family.form for family in families())
    raise UsageError(f"no architecture {backbone!r}; a name is {forms}")


def hparams_of(backbone: str) -> Dict[str, Any]:
    """The usual hyper-parameters of an architecture, by GluonNLP's names; see :meth:`Family.hparams`."""
    return family_of(backbone).hparams(backbone)
