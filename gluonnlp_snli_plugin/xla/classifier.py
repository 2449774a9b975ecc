"""The classifier: what :class:`~gluonnlp_snli_plugin.model.classifier.SNLIBertClassifier` computes, and its loss."""

from typing import Any, Dict

import jax
import jax.numpy as jnp
import numpy as np

from ..data.batches import Batch
from ..errors import UsageError
from ..model.heads import Head
from .bert import Bert, Parameters, cross_entropy
from .dropout import Dropout

_ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, None: lambda values: values}


class Classifier:
    """A BERT and a head.

    Parameters
    ----------
    bert : Bert
    head : Head
    num_classes, hidden_units : int
    dropout : float
        Of the head, before its last layer.
    input_dropout : float, default 0
        Before its first layer.

    Raises
    ------
    UsageError
        If the head is one that only MXNet can compute.
    """

    def __init__(
        self,
        bert: Bert,
        head: Head,
        num_classes: int,
        hidden_units: int,
        dropout: float,
        input_dropout: float = 0.0,
    ) -> None:
        if head.pooling is None:
            raise UsageError(
                f"--head {head.name} cannot be computed through XLA: it has no pooling that is known there"
            )
        self._bert, self._head, self._rate, self._input_rate = bert, head, dropout, input_dropout
        self._layers = head.dense_layers(bert.hparams["units"], num_classes, hidden_units)
        self.num_classes = num_classes

    def logits(self, parameters: Parameters, inputs: Dict[str, Any], key: Any = None) -> Any:
        """The logits of pairs.

        Parameters
        ----------
        parameters : dict of str to array of float32
            By the names of ``SNLIBertClassifier``.
        inputs : dict of str to array
            As :meth:`inputs` gives them.
        key : array of uint32, shape (2,), or None
            For dropout.

        Returns
        -------
        array of float32, shape (batch, num_classes)
        """
        dropout = Dropout(key)
        states = self._bert.encode(parameters, inputs, dropout, first_only=not self._head.needs_all_tokens)
        states = states.astype(jnp.float32)
        if self._head.pooling == "first":
            encoding = states[:, 0]
        else:
            valid_length = inputs["valid_length"][:, None]
            is_token = jnp.arange(states.shape[1])[None, :] < valid_length
            encoding = jnp.where(is_token[:, :, None], states, 0).sum(axis=1) / valid_length
        if self._input_rate:  # dropouts are numbered, and without this one keep their numbers
            encoding = dropout(encoding, self._input_rate)
        for layer in self._layers:
            if layer is self._layers[-1]:
                encoding = dropout(encoding, self._rate)
            weight, bias = parameters[f"{layer.name}.weight"], parameters[f"{layer.name}.bias"]
            product = jnp.matmul(encoding, weight.T, precision=jax.lax.Precision.HIGHEST)
            encoding = _ACTIVATIONS[layer.activation](product + bias)
        return encoding

    def figures(self, parameters: Parameters, inputs: Dict[str, Any], key: Any = None) -> Dict[str, Any]:
        """Sums over the pairs of a batch: 'loss', the cross-entropy, and 'accuracy', the right answers."""
        logits, label = self.logits(parameters, inputs, key), inputs["label"]
        losses = cross_entropy(logits, label)
        is_right = (logits.argmax(axis=1) == label).astype(jnp.float32)
        return {"loss": (losses * inputs["weight"]).sum(), "accuracy": (is_right * inputs["weight"]).sum()}

    def blank(self, rows: int, length: int) -> Dict[str, np.ndarray]:
        """The arrays of a batch without pairs: rows of padding, of weight 0.

        Returns
        -------
        dict of str to ndarray
            'input_ids' and 'segment_ids' have the shape (rows, length), 'valid_length', 'label' and 'weight' (rows,).
        """
        return blank(rows, length, "label")

    def inputs(self, batch: Batch, rows: int, length: int) -> Dict[str, np.ndarray]:
        """A batch, of up to `rows` pairs of up to `length` tokens, as arrays of the shapes of :meth:`blank`."""
        return fill(self.blank(rows, length), batch, "label")


def blank(rows: int, length: int, label: str) -> Dict[str, np.ndarray]:
    """The arrays of every net for a batch without pairs; `label` is the name of what is classified."""
    return {
        "input_ids": np.zeros((rows, length), np.int32),
        "segment_ids": np.zeros((rows, length), np.int32),
        "valid_length": np.ones(rows, np.int32),
        label: np.zeros(rows, np.int32),
        "weight": np.zeros(rows, np.float32),
    }


def fill(arrays: Dict[str, np.ndarray], batch: Any, label: str) -> Dict[str, np.ndarray]:
    """Put a batch into the arrays of :func:`blank`; what is beyond their length is padding."""
    number = len(batch.index)
    length = min(arrays["input_ids"].shape[1], batch.input_ids.shape[1])
    for name in ("input_ids", "segment_ids"):
        arrays[name][:number, :length] = getattr(batch, name)[:, :length]
    arrays["valid_length"][:number] = batch.valid_length
    arrays[label][:number] = getattr(batch, label)
    arrays["weight"][:number] = 1
    return arrays
