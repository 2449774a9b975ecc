"""Classification heads: what turns the encoding of a pair into logits.

A head is one class, registered under its name with ``@registry.head(NAME)``. It defines its input and its dense layers
for the net, the model folder and the exports. Once registered, it is available as ``--head NAME`` and
``get_model('snli_bert_classifier', head=NAME)``.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .. import registry


class DenseLayer(NamedTuple):
    """A dense layer between the encoding of a pair and its logits."""

    name: str  #: of its parameters in the net: ``NAME.weight``, shape (units, in_units), and ``NAME.bias``
    in_units: int
    units: int
    activation: Optional[str]  #: 'relu', 'tanh' or None


class Head:
    """Base class of the heads: one dense layer on the encoding of ``[CLS]``, after a dropout.

    Attributes
    ----------
    name : str
        The name it is registered under.
    pooling : {'first', 'mean', None}
        How :meth:`encoding` makes one vector of a pair: that of ``[CLS]``, or the mean over all tokens. None for
        anything else, which neither XLA nor exports to formats with operators of their own support.
    needs_pooler : bool
        Whether it reads BERT's pooled output, a dense layer with tanh on the encoding of ``[CLS]``.
    """

    name = ""
    pooling: Optional[str] = "first"
    needs_pooler = False

    @property
    def needs_all_tokens(self) -> bool:
        """Whether it reads the encodings of all tokens. Otherwise BERT's last layer encodes ``[CLS]`` alone."""
        return self.pooling != "first"

    def dense_layers(self, units: int, num_classes: int, hidden_units: int) -> List[DenseLayer]:
        """Its dense layers in order; the last gives the logits, and a dropout precedes it.

        Parameters
        ----------
        units : int
            Of BERT.
        num_classes, hidden_units : int

        Returns
        -------
        list of DenseLayer
            Those under ``classifier`` are the head's own, numbered as the children of a ``HybridSequential`` that has
            the dropout too.
        """
        return [DenseLayer("classifier.1", units, num_classes, None)]

    def encoding(self, F: Any, sequence: Any, valid_length: Any) -> Any:
        """The input of the first of its own layers.

        Parameters
        ----------
        F : module
            ``mxnet.nd`` or ``mxnet.sym``.
        sequence : NDArray or Symbol of float32, shape (batch, length, units)
            Of length 1, only ``[CLS]``, unless `needs_all_tokens`.
        valid_length : NDArray or Symbol of float32, shape (batch,)

        Returns
        -------
        NDArray or Symbol of float32, shape (batch, units)
        """
        if self.pooling == "first":
            return sequence.slice_axis(axis=1, begin=0, end=1).reshape((0, -1))
        total = F.SequenceMask(sequence, valid_length, use_sequence_length=True, axis=1).sum(axis=1)
        return F.broadcast_div(total, valid_length.reshape((-1, 1)))

    def parameter_shapes(self, units: int, num_classes: int, hidden_units: int) -> Dict[str, Tuple[int, ...]]:
        """Names and shapes of its own parameters in the net, the pooler's not included."""
        shapes: Dict[str, Tuple[int, ...]] = {}
        for layer in self.own_layers(units, num_classes, hidden_units):
            shapes[f"{layer.name}.weight"] = (layer.units, layer.in_units)
            shapes[f"{layer.name}.bias"] = (layer.units,)
        return shapes

    def own_layers(self, units: int, num_classes: int, hidden_units: int) -> List[DenseLayer]:
        """Its dense layers except BERT's pooler."""
        layers = self.dense_layers(units, num_classes, hidden_units)
        return [layer for layer in layers if layer.name.startswith("classifier.")]


@registry.head("mlp")
class MLPHead(Head):
    """Two dense layers on the encoding of ``[CLS]``, with ReLU and a dropout between them.

    As in the *Dive into Deep Learning* chapter, except that the first layer is new; there it is BERT's own.
    """

    def dense_layers(self, units: int, num_classes: int, hidden_units: int) -> List[DenseLayer]:
        return [
            DenseLayer("classifier.0", units, hidden_units, "relu"),
            DenseLayer("classifier.2", hidden_units, num_classes, None),
        ]


@registry.head("pooled")
class PooledHead(Head):
    """One dense layer on BERT's pooled output, as in ``gluonnlp.model.BERTClassifier``, whose files it shares."""

    needs_pooler = True

    def dense_layers(self, units: int, num_classes: int, hidden_units: int) -> List[DenseLayer]:
        return [
            DenseLayer("bert.pooler", units, units, "tanh"),
            DenseLayer("classifier.1", units, num_classes, None),
        ]


@registry.head("roberta")
class RobertaHead(Head):
    """Two dense layers on the encoding of the first token, with tanh and a dropout between them.

    As in ``gluonnlp.model.RoBERTaClassifier``, whose files it shares, and in ``RobertaForSequenceClassification``.
    """

    def dense_layers(self, units: int, num_classes: int, hidden_units: int) -> List[DenseLayer]:
        return [
            DenseLayer("classifier.0", units, units, "tanh"),
            DenseLayer("classifier.2", units, num_classes, None),
        ]


@registry.head("mean")
class MeanHead(Head):
    """One dense layer on the mean of the encodings of all tokens of a pair, special tokens included."""

    pooling = "mean"


def head_named(name: str) -> Head:
    """The head that is registered under a name.

    Raises
    ------
    UsageError
        If no head has that name; the message lists the registered ones.
    """
    head: Head = registry.head[name]()
    head.name = name
    return head


def head_names() -> List[str]:
    """The names of all heads."""
    return registry.head.names()
