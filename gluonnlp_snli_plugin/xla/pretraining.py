"""Pretraining: what :class:`~gluonnlp_snli_plugin.model.pretraining.PretrainingNet` computes, and its two losses."""

from typing import Any, Dict, Tuple

import jax.numpy as jnp
import numpy as np

from ..data.pretraining.batches import PretrainingBatch
from .bert import Bert, Parameters, cross_entropy
from .classifier import blank, fill
from .dropout import Dropout

_LABEL = "next_sentence_label"
_ROUND_MASKS_TO = 4


class Pretraining:
    """A BERT with the outputs of its two pretraining tasks.

    Parameters
    ----------
    bert : Bert
    mask_ratio : float
        Of the tokens of a pair, those that are masked at most.
    """

    def __init__(self, bert: Bert, mask_ratio: float) -> None:
        self._bert, self._mask_ratio = bert, mask_ratio

    def outputs(self, parameters: Parameters, inputs: Dict[str, Any], key: Any = None) -> Tuple[Any, Any]:
        """Scores for the masked words of each pair, and for the order of the pairs.

        Returns
        -------
        decoded : array of float32, shape (batch, masks, tokens of the vocabulary)
        classified : array of float32, shape (batch, 2)
        """
        bert = self._bert
        states = bert.encode(parameters, inputs, Dropout(key))
        pooled = bert.pooled(parameters, states)
        decoded = bert.decoded(parameters, states, inputs["masked_position"])
        return decoded, bert.dense(parameters, "bert.classifier", pooled, jnp.float32)

    def figures(self, parameters: Parameters, inputs: Dict[str, Any], key: Any = None) -> Dict[str, Any]:
        """Sums over the masked words, and over the pairs: losses and right answers of both tasks."""
        decoded, classified = self.outputs(parameters, inputs, key)
        label, weight = inputs["next_sentence_label"], inputs["weight"]
        masked_id, masked_weight = inputs["masked_id"], inputs["masked_weight"]
        found = (decoded.argmax(axis=2) == masked_id).astype(jnp.float32)
        is_right = (classified.argmax(axis=1) == label).astype(jnp.float32)
        return {
            "mlm_loss": (cross_entropy(decoded, masked_id) * masked_weight).sum(),
            "mlm_accuracy": (found * masked_weight).sum(),
            "nsp_loss": (cross_entropy(classified, label) * weight).sum(),
            "nsp_accuracy": (is_right * weight).sum(),
        }

    def blank(self, rows: int, length: int) -> Dict[str, np.ndarray]:
        """The arrays of a batch without pairs: rows of padding, of weight 0.

        Returns
        -------
        dict of str to ndarray
            As of :class:`.classifier.Classifier`, and 'masked_position', 'masked_id' and 'masked_weight' of the shape
            (rows, masks), with the masks of each pair in a row of its own.
        """
        size = -(-max(1, round(self._mask_ratio * length)) // _ROUND_MASKS_TO) * _ROUND_MASKS_TO
        masks = {name: np.zeros((rows, size), np.int32) for name in ("masked_position", "masked_id")}
        return {**blank(rows, length, _LABEL), **masks, "masked_weight": np.zeros((rows, size), np.float32)}

    def inputs(self, batch: PretrainingBatch, rows: int, length: int) -> Dict[str, np.ndarray]:
        """A batch, of up to `rows` pairs of up to `length` tokens, as arrays of the shapes of :meth:`blank`."""
        arrays = fill(self.blank(rows, length), batch, _LABEL)
        is_mask = batch.masked_weight > 0
        row, column = np.divmod(batch.masked_position[is_mask], batch.input_ids.shape[1])
        number = np.bincount(row, minlength=rows)
        rank = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)  # positions are ascending
        # All fit but the end of a pair's only word, of many pieces, that is masked as a whole.
        fits = rank < arrays["masked_id"].shape[1]
        place = row[fits], rank[fits]
        arrays["masked_position"][place] = column[fits]
        arrays["masked_id"][place] = batch.masked_id[is_mask][fits]
        arrays["masked_weight"][place] = 1
        return arrays
