"""The network: a backbone, then a classification head."""

from typing import Any, List, Optional, Sequence, Tuple, Union

import mxnet as mx
from gluonnlp.model import BERTModel
from mxnet.gluon import nn

from .first_token import encode_first_token_only
from .heads import head_named
from .initialization import initialize

#: The inputs of a net, in order, and their types; one without segments does not have the second.
_INPUTS = {"input_ids": "int32", "segment_ids": "int32", "valid_length": "float32"}


class SNLIBertClassifier(mx.gluon.HybridBlock):
    """A backbone (BERT, RoBERTa or DistilBERT) with a classification head.

    Parameters
    ----------
    bert : gluonnlp.model.BERTModel, RoBERTaModel or DistilBERTModel
        Without decoder and next-sentence classifier; with pooler if, and only if, the head needs it. Unless the head
        reads all tokens, its last layer will encode ``[CLS]`` alone (:func:`.first_token.encode_first_token_only`).
    num_classes : int, default 3
    head : str, default 'mlp'
        Name of a head (:mod:`.heads`). 'mlp': Dense(`hidden_units`, relu), dropout, Dense(`num_classes`) on the
        encoding of ``[CLS]``. 'pooled': dropout, Dense(`num_classes`) on BERT's pooled output; its parameter files are
        those of ``gluonnlp.model.BERTClassifier``. 'roberta': Dense(units, tanh), dropout, Dense(`num_classes`) on the
        encoding of the first token, as in ``RoBERTaClassifier``. 'mean': dropout, Dense(`num_classes`) on the mean over
        all tokens.
    hidden_units : int, default 256
        Of the 'mlp' head.
    dropout : float, default 0.1
        Of the head.

    Attributes
    ----------
    has_segments : bool
        Whether the backbone reads `segment_ids`; without segments they are ignored.

    Raises
    ------
    UsageError
        If the head is not registered.
    """

    def __init__(
        self,
        bert: Any,
        num_classes: int = 3,
        head: str = "mlp",
        hidden_units: int = 256,
        dropout: float = 0.1,
        prefix: Optional[str] = None,
        params: Optional[mx.gluon.ParameterDict] = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        self.head = head_named(head)
        self.num_classes = num_classes
        self.bert = bert
        self.has_segments: bool = bert._use_token_type_embed
        if not self.head.needs_all_tokens:
            encode_first_token_only(bert)
        with self.name_scope():
            self.classifier = nn.HybridSequential(prefix="classifier_")
            with self.classifier.name_scope():
                *hidden, last = self.head.own_layers(bert._units, num_classes, hidden_units)
                for layer in hidden:
                    self.classifier.add(nn.Dense(layer.units, activation=layer.activation, in_units=layer.in_units))
                self.classifier.add(nn.Dropout(dropout))
                self.classifier.add(nn.Dense(last.units, in_units=last.in_units))

    @property
    def inputs(self) -> List[str]:
        """The names of the inputs that the net computes with, in their order."""
        return [name for name in _INPUTS if name != "segment_ids" or self.has_segments]

    def graph(self) -> Tuple[mx.sym.Symbol, List[mx.sym.Symbol]]:
        """The logits as a symbol, and the symbols of :attr:`inputs`, which have these names."""
        symbols = {name: mx.sym.var(name, dtype=dtype) for name, dtype in _INPUTS.items()}
        return self(**symbols), [symbols[name] for name in self.inputs]

    def __call__(self, input_ids: Any, segment_ids: Any, valid_length: Any) -> Any:
        """Logits of pairs; see :meth:`hybrid_forward`."""
        # An empty list instead, as in GluonNLP's RoBERTaModel: MXNet warns of inputs that are not used.
        return super().__call__(input_ids, segment_ids if self.has_segments else [], valid_length)

    def hybrid_forward(self, F: Any, input_ids: Any, segment_ids: Any, valid_length: Any) -> Any:
        """Logits of pairs.

        Parameters
        ----------
        input_ids, segment_ids : NDArray or Symbol of int32, shape (batch, length)
            `segment_ids` is an empty list for a backbone without segments.
        valid_length : NDArray or Symbol of float32, shape (batch,)

        Returns
        -------
        NDArray or Symbol of float32, shape (batch, num_classes)
        """
        encoded = BERTModel.__call__(self.bert, input_ids, segment_ids, valid_length)  # its subclasses take no segments
        if self.head.needs_pooler:
            _, encoding = encoded
        else:
            encoding = self.head.encoding(F, encoded, valid_length)
        return self.classifier(encoding)

    def classify(self, sequence: mx.nd.NDArray) -> mx.nd.NDArray:
        """Logits from the encoder output of pairs without padding.

        Parameters
        ----------
        sequence : NDArray of float32, shape (batch, length, units)
            Of length 1, only ``[CLS]``, unless the head reads all tokens.

        Returns
        -------
        NDArray of float32, shape (batch, num_classes)
        """
        if self.head.needs_pooler:
            return self.classifier(self.bert.pooler(sequence[:, 0]))
        batch, length, _ = sequence.shape
        valid_length = mx.nd.full((batch,), length, sequence.context)
        return self.classifier(self.head.encoding(mx.nd, sequence, valid_length))


def initialize_from_scratch(net: SNLIBertClassifier, ctx: Union[mx.Context, Sequence[mx.Context]]) -> None:
    """Random weights for a backbone that is trained on labelled pairs alone, and for its head."""
    initialize(net, net.bert, ctx)
    # GluonNLP's feed-forward layers learn their input size, and draw their weights, from the first input.
    input_ids = mx.nd.zeros((1, 2), ctx if isinstance(ctx, mx.Context) else ctx[0], dtype="int32")
    net(input_ids, input_ids, mx.nd.full(1, 2, input_ids.context))
