"""Families of backbones: their architecture names, hyper-parameters and parameter names.

A family is one object, registered with ``@registry.family(NAME)`` on its class. It is used to build a backbone by name,
to validate its files, and to import and export them.
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Tuple

import mxnet as mx
import numpy as np
from gluonnlp.vocab import Vocab

from .. import registry
from ..data.layout import PairLayout
from ..errors import UsageError
from .heads import Head
from .parameter_names import HostClassifier, HuggingFaceNames


class Family(Protocol):
    """Interface of the rest of the package to backbones of one kind."""

    @property
    def name(self) -> str:
        """What its architecture names begin with."""

    @property
    def form(self) -> str:
        """The form of its architecture names, for messages: 'bert_LAYERS_UNITS_HEADS, such as bert_12_768_12'."""

    @property
    def layout(self) -> PairLayout:
        """How a pair is laid out in tokens; its nets have segments if, and only if, the layout has."""

    @property
    def model_type(self) -> str:
        """``model_type`` in Hugging Face's ``config.json``."""

    @property
    def huggingface(self) -> HuggingFaceNames:
        """What Hugging Face calls its classes and tensors."""

    @property
    def parts(self) -> Tuple[str, ...]:
        """Which of 'pooler', 'decoder' and 'classifier' GluonNLP's nets can have besides the encoder."""

    @property
    def has_pooler(self) -> bool:
        """Whether 'pooler' is among the parts, as the head 'pooled' needs it."""

    @property
    def own_head(self) -> str:
        """The head of Hugging Face's class for fine-tuned classifiers: 'pooled', 'roberta' or 'mlp'."""

    @property
    def default_head(self) -> str:
        """The head of a new classifier where the user names none."""

    @property
    def host_classifier(self) -> Optional[HostClassifier]:
        """GluonNLP's class of fine-tuned classifiers; None if there is none."""

    @property
    def builder(self) -> Tuple[str, str]:
        """The function that builds its nets by name, as module and attribute.

        It takes the arguments of ``gluonnlp.model.bert.get_bert_model``. The model store extends it.
        """

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
        parts : sequence of str
            Some of :attr:`parts`.
        """

    def build(self, backbone: str, vocab: Vocab, hparams: Dict[str, Any], use_pooler: bool) -> mx.gluon.Block:
        """The backbone as GluonNLP builds it, without weights; `use_pooler` only if it can have one."""

    def read_config(self, config: Dict[str, Any], path: Any) -> Tuple[str, Dict[str, Any]]:
        """Name and hyper-parameters of the architecture that Hugging Face's ``config.json`` describes.

        Raises
        ------
        CheckpointError
            If GluonNLP does not support it; names `path`.
        """

    def padding_in(self, config: Dict[str, Any]) -> Optional[int]:
        """The id of the padding token that a ``config.json`` counts positions from; None if positions start at 0."""

    def write_config(self, hparams: Dict[str, Any], pad_id: int) -> Dict[str, Any]:
        """The entries of Hugging Face's ``config.json`` that describe an architecture.

        Parameters
        ----------
        hparams : dict
        pad_id : int
            Of the padding token in the vocabulary.

        Raises
        ------
        UsageError
            If Hugging Face's class cannot compute it.
        """

    def tensors(
        self, config: Dict[str, Any], hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[int, ...]]:
        """Names and shapes of Hugging Face's tensors that the encoder and the given parts are made from.

        Parameters
        ----------
        config : dict
            A ``config.json`` that :meth:`read_config` has accepted.
        hparams : dict
            What it returned.
        vocab_size : int
        parts : sequence of str
        """

    def from_huggingface(
        self, name: str, theirs: str, tensor_of: Callable[[str], np.ndarray], config: Dict[str, Any]
    ) -> np.ndarray:
        """A parameter of GluonNLP's, made from Hugging Face's tensors.

        Parameters
        ----------
        name, theirs : str
            The parameter's names in :meth:`parameters`.
        tensor_of : callable
            Gives the tensor of a name, one of :meth:`tensors`, whose shape has been checked.
        config : dict
            The ``config.json`` beside it.

        Returns
        -------
        ndarray of the shape in :meth:`parameters`
        """

    def to_huggingface(
        self, parameters: Mapping[str, np.ndarray], hparams: Dict[str, Any], pad_id: int
    ) -> Dict[str, np.ndarray]:
        """Hugging Face's tensors, by their names without the prefix, made from GluonNLP's parameters.

        Parameters
        ----------
        parameters : mapping of str to ndarray
            Those of the encoder and of any parts, by GluonNLP's names; others are left out.
        hparams : dict
        pad_id : int
            Of the padding token in the vocabulary.
        """


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


def has_family(backbone: str) -> bool:
    """Whether an architecture has the form of any family's names; the family of another program may be missing."""
    return any(family.knows(backbone) for family in families())


def parts_of(backbone: str) -> Tuple[str, ...]:
    """What nets of an architecture can have besides the encoder; all for one of GluonNLP's that is of no family."""
    known = (family.parts for family in families() if family.knows(backbone))
    return next(known, ("pooler", "decoder", "classifier"))


def default_head(backbone: str) -> str:
    """The head of a new classifier around an architecture, where the user names none."""
    return next((family.default_head for family in families() if family.knows(backbone)), "mlp")


def problem_with_head(backbone: str, head: Head) -> Optional[str]:
    """Why an architecture cannot have a head; None if it can."""
    if not head.needs_pooler or "pooler" in parts_of(backbone):
        return None
    return f"the head {head.name!r} reads a pooled output, and {backbone} has none: 'roberta' has a dense layer instead"


def require_special_tokens(backbone: str, vocab: Vocab) -> None:
    """Raise a UsageError if a vocabulary lacks a token that an architecture puts around sentences."""
    missing = [name for family in families() if family.knows(backbone) for name in family.layout.missing(vocab)]
    if missing:
        raise UsageError(f"the vocabulary has no {' and no '.join(missing)}, which pairs for {backbone} need")


def hparams_of(backbone: str) -> Dict[str, Any]:
    """The usual hyper-parameters of an architecture, by GluonNLP's names; see :meth:`Family.hparams`."""
    return family_of(backbone).hparams(backbone)
