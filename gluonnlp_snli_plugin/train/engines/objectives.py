"""What training minimizes: the losses of a batch, and the figures to watch."""

from typing import Any, Dict, Mapping, Protocol

import mxnet as mx
import numpy as np

from ...formats.model_settings import ModelSettings
from ...model.heads import head_named


class Objective(Protocol):
    """The losses of a net on a batch, whichever engine computes them.

    The figures of a batch are sums: over its pairs, say. The loss of an update is the sum of its `terms`, each divided
    by a count over all batches of the update and all ranks.
    """

    terms: Mapping[str, str]  #: the figures that are losses, each with the count it is divided by
    means: Mapping[str, str]  #: all figures, each with the count it is divided by
    rate: str  #: the count that speed is measured in

    def counts(self, batch: Any) -> Dict[str, float]:
        """What is known of a batch without the net: the counts of this process's share."""

    def figures(self, net: mx.gluon.HybridBlock, batch: Any, ctx: mx.Context) -> Dict[str, Any]:
        """The figures of a batch by MXNet, each an NDArray of shape (1,) on the device, and the counts."""

    def xla_net(self, dtype: str, remat: bool) -> Any:
        """What computes the figures through XLA: :class:`.xla.classifier.Classifier` or the like."""


class Classification:
    """The cross-entropy of classes; an :class:`Objective`.

    Parameters
    ----------
    settings : ModelSettings
    """

    terms: Mapping[str, str] = {"loss": "pairs"}
    means: Mapping[str, str] = {"loss": "pairs", "accuracy": "pairs"}
    rate = "pairs"

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        self._cross_entropy.hybridize(static_alloc=True)

    def counts(self, batch: Any) -> Dict[str, float]:
        return {"pairs": len(batch.index)}

    def figures(self, net: mx.gluon.HybridBlock, batch: Any, ctx: mx.Context) -> Dict[str, Any]:
        input_ids, segment_ids, valid_length, label = (mx.nd.array(array, ctx, array.dtype) for array in batch[:4])
        out = net(input_ids, segment_ids, valid_length)
        loss = self._cross_entropy(out, label).sum()
        with mx.autograd.pause():
            hits = (out.argmax(axis=1).astype("int32") == label).sum()
        return {"loss": loss, "accuracy": hits, **self.counts(batch)}

    def xla_net(self, dtype: str, remat: bool) -> Any:
        from ...xla.bert import Bert
        from ...xla.classifier import Classifier
        from ...xla.precision import PRECISIONS

        settings = self._settings
        bert = Bert(settings.hparams, PRECISIONS[dtype], remat)
        head = head_named(settings.head)
        return Classifier(bert, head, len(settings.labels), settings.hidden_units, settings.dropout)


class MaskedWordsAndOrder:
    """Both losses of BERT's pretraining, of masked words and of next sentences; an :class:`Objective`.

    Parameters
    ----------
    hparams : dict
        Of the BERT.
    mask_ratio : float
    """

    terms: Mapping[str, str] = {"mlm_loss": "masks", "nsp_loss": "pairs"}
    means: Mapping[str, str] = {
        "mlm_loss": "masks", "mlm_accuracy": "masks", "nsp_loss": "pairs", "nsp_accuracy": "pairs"
    }  # fmt: skip
    rate = "tokens"

    def __init__(self, hparams: Dict[str, Any], mask_ratio: float) -> None:
        self._hparams, self._mask_ratio = hparams, mask_ratio
        self._of_words = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        self._of_order = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        for cross_entropy in (self._of_words, self._of_order):
            cross_entropy.hybridize(static_alloc=True)

    def counts(self, batch: Any) -> Dict[str, float]:
        return {
            "masks": float(batch.masked_weight.sum()),
            "pairs": len(batch.index),
            "tokens": float(batch.valid_length.sum()),
        }

    def figures(self, net: mx.gluon.HybridBlock, batch: Any, ctx: mx.Context) -> Dict[str, Any]:
        def load(array: np.ndarray) -> mx.nd.NDArray:
            return mx.nd.array(array, ctx, array.dtype)

        masked_id, weight, label = map(load, (batch.masked_id, batch.masked_weight, batch.next_sentence_label))
        decoded, classified = net(
            load(batch.input_ids), load(batch.segment_ids), load(batch.valid_length), load(batch.masked_position)
        )
        mlm_loss = self._of_words(decoded, masked_id, weight.expand_dims(1)).sum()
        nsp_loss = self._of_order(classified, label).sum()
        with mx.autograd.pause():
            found = decoded.argmax(axis=1).astype("int32") == masked_id
            mlm_hits = (found.astype("float32") * weight).sum()
            nsp_hits = (classified.argmax(axis=1).astype("int32") == label).sum()
        figures = {"mlm_loss": mlm_loss, "mlm_accuracy": mlm_hits, "nsp_loss": nsp_loss, "nsp_accuracy": nsp_hits}
        return {**figures, **self.counts(batch)}

    def xla_net(self, dtype: str, remat: bool) -> Any:
        from ...xla.bert import Bert
        from ...xla.precision import PRECISIONS
        from ...xla.pretraining import Pretraining

        return Pretraining(Bert(self._hparams, PRECISIONS[dtype], remat), self._mask_ratio)
