"""The network: BERT, then a classification head on the encoding of ``[CLS]``."""

import mxnet as mx
from mxnet.gluon import nn

from ..errors import UsageError
from ..tasks.snli import LABELS
from .first_token import encode_first_token_only
from .initialization import initialize

HEADS = ("mlp", "pooled")


class SNLIBertClassifier(mx.gluon.HybridBlock):
    """BERT with a classification head on the encoding of ``[CLS]``.

    Parameters
    ----------
    bert : gluonnlp.model.BERTModel
        Without decoder and next-sentence classifier; with pooler if, and only if, `head` is 'pooled'. Its last layer
        will encode ``[CLS]`` alone, which is all that the head reads (:func:`.first_token.encode_first_token_only`).
    num_classes : int, default 3
    head : {'mlp', 'pooled'}, default 'mlp'
        'mlp': Dense(`hidden_units`, relu), dropout, Dense(`num_classes`) on the encoding of ``[CLS]``, two new layers
        as in the *Dive into Deep Learning* chapter (whose first one is BERT's own tanh layer). 'pooled': dropout,
        Dense(`num_classes`) on BERT's pooled output; its parameter files are those of
        ``gluonnlp.model.BERTClassifier``.
    hidden_units : int, default 256
        Of the 'mlp' head.
    dropout : float, default 0.1
        Of the head.
    """

    def __init__(
        self, bert, num_classes=len(LABELS), head="mlp", hidden_units=256, dropout=0.1, prefix=None, params=None
    ):
        super().__init__(prefix=prefix, params=params)
        if head not in HEADS:
            raise UsageError(f"no head {head!r}; there are {', '.join(HEADS)}")
        self._head = head
        self.num_classes = num_classes
        self.bert = bert
        encode_first_token_only(bert)
        with self.name_scope():
            self.classifier = nn.HybridSequential(prefix="classifier_")
            with self.classifier.name_scope():
                if head == "mlp":
                    self.classifier.add(nn.Dense(hidden_units, activation="relu", in_units=bert._units))
                self.classifier.add(nn.Dropout(dropout))
                self.classifier.add(nn.Dense(num_classes, in_units=hidden_units if head == "mlp" else bert._units))

    def hybrid_forward(self, F, input_ids, segment_ids, valid_length):
        """Logits of pairs.

        Parameters
        ----------
        input_ids, segment_ids : NDArray or Symbol of int32, shape (batch, length)
        valid_length : NDArray or Symbol of float32, shape (batch,)

        Returns
        -------
        NDArray or Symbol of float32, shape (batch, num_classes)
        """
        if self._head == "pooled":
            _, encoding = self.bert(input_ids, segment_ids, valid_length)
        else:
            encoding = self.bert(input_ids, segment_ids, valid_length)
            encoding = encoding.slice_axis(axis=1, begin=0, end=1).reshape((0, -1))
        return self.classifier(encoding)

    def classify(self, sequence):
        """Logits from what BERT's encoder makes of a pair.

        Parameters
        ----------
        sequence : NDArray of float32, shape (batch, length, units)
            Only the encoding of ``[CLS]``, the first of each, is read.

        Returns
        -------
        NDArray of float32, shape (batch, num_classes)
        """
        encoding = sequence[:, 0]
        return self.classifier(self.bert.pooler(encoding) if self._head == "pooled" else encoding)


def initialize_from_scratch(net, ctx):
    """Random weights for a BERT that is trained on labelled pairs alone, and for its head."""
    initialize(net, net.bert, ctx)
    # GluonNLP's feed-forward layers learn their input size, and draw their weights, from the first input.
    input_ids = mx.nd.zeros((1, 2), ctx[0] if isinstance(ctx, (list, tuple)) else ctx, dtype="int32")
    net(input_ids, input_ids, mx.nd.full(1, 2, input_ids.context))
