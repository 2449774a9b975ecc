"""BERT as ``gluonnlp.model.BERTModel`` computes it: a pure function of parameters that have GluonNLP's names."""

import functools
import math
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

import jax
import jax.numpy as jnp

from .dropout import Dropout
from .precision import Precision

Parameters = Mapping[str, Any]

_ACTIVATIONS: Dict[str, Callable[[Any], Any]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "approx_gelu": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
}
_EPS = 1e-12  # of LayerNorm, unless the hyper-parameters say otherwise
_MASKED = -1e30  # a score that softmax makes zero


class Bert(NamedTuple):
    """What an encoder is besides its parameters.

    Those that it uses are ``bert.NAME`` for each NAME of :meth:`.family.Family.parameters`.
    """

    hparams: Dict[str, Any]  #: by GluonNLP's names
    precision: Precision
    remat: bool = False  #: whether to compute the layers again for the gradient, to save memory

    def encode(
        self, parameters: Parameters, inputs: Mapping[str, Any], dropout: Dropout, first_only: bool = False
    ) -> Any:
        """The encodings of tokens.

        Parameters
        ----------
        parameters : dict of str to array of float32
        inputs : dict of str to array of int32
            'input_ids' and 'segment_ids' of the shape (batch, length), 'valid_length' (batch,).
        dropout : Dropout
        first_only : bool, default False
            Whether the last layer encodes ``[CLS]`` alone.

        Returns
        -------
        array of the precision's dtype, shape (batch, length or 1, units)
        """
        length, num_layers = inputs["input_ids"].shape[1], self.hparams["num_layers"]
        table = parameters["bert.word_embed.0.weight"]
        states = _rows_of(table, inputs["input_ids"], len(table), self.precision)
        states += parameters["bert.encoder.position_weight"][:length]
        segments = parameters.get("bert.token_type_embed.0.weight")
        if segments is not None:
            segment = jnp.clip(inputs["segment_ids"], 0, len(segments) - 1)  # as MXNet's Embedding
            is_segment = jax.nn.one_hot(segment, len(segments), dtype=jnp.float32)
            states += jnp.matmul(is_segment, segments, precision=jax.lax.Precision.HIGHEST)
        states = dropout(states, self.hparams["dropout"])
        states = self.layer_norm(parameters, "bert.encoder.layer_norm", states)
        is_token = jnp.arange(length)[None, :] < inputs["valid_length"][:, None]
        for number in range(num_layers):
            last = first_only and number == num_layers - 1
            layer = functools.partial(self._layer, f"bert.encoder.transformer_cells.{number}", dropout, last)
            states = (jax.checkpoint(layer) if self.remat else layer)(parameters, states, is_token)
        return states

    def pooled(self, parameters: Parameters, states: Any) -> Any:
        """The pooled output: a dense layer with tanh on the encoding of ``[CLS]``, float32 of shape (batch, units)."""
        return jnp.tanh(self.dense(parameters, "bert.pooler", states[:, 0], jnp.float32))

    def decoded(self, parameters: Parameters, states: Any, position: Any) -> Any:
        """Scores of all tokens of the vocabulary for the tokens at some positions.

        Parameters
        ----------
        parameters : dict of str to array of float32
        states : array of shape (batch, length, units)
        position : array of int32, shape (batch, number)

        Returns
        -------
        array of float32, shape (batch, number, tokens of the vocabulary)
        """
        is_there = jax.nn.one_hot(position, states.shape[1], dtype=states.dtype)
        there = self.product("bpt,btu->bpu", is_there, states)
        hidden = jax.nn.gelu(self.dense(parameters, "bert.decoder.0", there, jnp.float32), approximate=False)
        hidden = self.layer_norm(parameters, "bert.decoder.2", hidden)
        output = {"weight": parameters["bert.word_embed.0.weight"], "bias": parameters["bert.decoder.3.bias"]}
        return self.dense({f"output.{name}": value for name, value in output.items()}, "output", hidden, jnp.float32)

    def _layer(
        self, name: str, dropout: Dropout, first_only: bool, parameters: Parameters, states: Any, is_token: Any
    ) -> Any:
        rate = self.hparams["dropout"]
        attended = self._attend(parameters, f"{name}.attention_cell", states, is_token, dropout, first_only)
        states = states[:, :1] if first_only else states
        states = states + dropout(self.dense(parameters, f"{name}.proj", attended), rate)
        states = self.layer_norm(parameters, f"{name}.layer_norm", states)
        hidden = self.dense(parameters, f"{name}.ffn.ffn_1", states).astype(jnp.float32)
        hidden = _ACTIVATIONS[self.hparams.get("activation", "gelu")](hidden).astype(states.dtype)
        states = states + dropout(self.dense(parameters, f"{name}.ffn.ffn_2", hidden), rate)
        return self.layer_norm(parameters, f"{name}.ffn.layer_norm", states)

    def _attend(
        self, parameters: Parameters, name: str, states: Any, is_token: Any, dropout: Dropout, first_only: bool
    ) -> Any:
        """The context vectors of all positions, or of the first."""
        units, num_heads = self.hparams["units"], self.hparams["num_heads"]

        def project(inputs: Any, *which: str) -> Any:
            """Several projections in one product; list of arrays of shape (batch, length, heads, units of a head)."""
            weight = jnp.concatenate([parameters[f"{name}.proj_{one}.weight"] for one in which])
            bias = jnp.concatenate([parameters[f"{name}.proj_{one}.bias"] for one in which])
            projected = self.product("btu,vu->btv", inputs, weight) + bias.astype(inputs.dtype)
            shape = (*inputs.shape[:2], num_heads, units // num_heads)
            return [one.reshape(shape) for one in jnp.split(projected, len(which), axis=-1)]

        if first_only:
            (query,), (key, value) = project(states[:, :1], "query"), project(states, "key", "value")
        else:
            query, key, value = project(states, "query", "key", "value")
        scores = self.product("bthd,bshd->bhts", query, key, jnp.float32) / math.sqrt(units // num_heads)
        scores = jnp.where(is_token[:, None, None, :], scores, _MASKED)
        weights = dropout(jax.nn.softmax(scores, axis=-1), self.hparams["dropout"])
        attended = self.product("bhts,bshd->bthd", weights, value)
        return attended.reshape(*query.shape[:2], units)

    def dense(self, parameters: Parameters, name: str, inputs: Any, dtype: Any = None) -> Any:
        """A linear layer over the last axis; `dtype` is that of the result, by default the precision's."""
        product = self.product("...u,vu->...v", inputs, parameters[f"{name}.weight"], dtype)
        return product + parameters[f"{name}.bias"].astype(product.dtype)

    def layer_norm(self, parameters: Parameters, name: str, inputs: Any) -> Any:
        """LayerNorm over the last axis, computed in float32; the result has the precision's dtype."""
        values = inputs.astype(jnp.float32)
        centred = values - values.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        normal = centred * jax.lax.rsqrt(variance + self.hparams.get("layer_norm_eps", _EPS))
        return (normal * parameters[f"{name}.gamma"] + parameters[f"{name}.beta"]).astype(self.precision.dtype)

    def product(self, formula: str, left: Any, right: Any, dtype: Any = None) -> Any:
        """A product in the precision's dtype, summed up in float32; the result has `dtype`, or the precision's."""
        factors = left.astype(self.precision.dtype), right.astype(self.precision.dtype)
        dtype = dtype or self.precision.dtype
        return jnp.einsum(formula, *factors, precision=self.precision.products, preferred_element_type=dtype)


# The gradient of a lookup adds up rows wherever they are; in a fixed order, as it must be for results that can be
# repeated, XLA does that one after the other on a GPU. As a product it is soon done.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _rows_of(table: Any, numbers: Any, size: int, precision: Precision) -> Any:
    """The rows of a table, of `size` rows; its gradient is computed in the precision."""
    return table[numbers]


def _rows_of_forward(table: Any, numbers: Any, size: int, precision: Precision) -> Tuple[Any, Any]:
    return table[numbers], numbers


def _rows_of_backward(size: int, precision: Precision, numbers: Any, gradient: Any) -> Tuple[Any, None]:
    is_row = jax.nn.one_hot(numbers, size, dtype=precision.dtype)
    settings: Dict[str, Any] = {"precision": precision.products, "preferred_element_type": jnp.float32}
    return jnp.einsum("btr,btu->ru", is_row, gradient.astype(precision.dtype), **settings), None


_rows_of.defvjp(_rows_of_forward, _rows_of_backward)


def cross_entropy(scores: Any, label: Any) -> Any:
    """The cross-entropy of scores, shape (..., classes), against the numbers of classes, shape (...)."""
    is_label = jax.nn.one_hot(label, scores.shape[-1], dtype=scores.dtype)
    return -(jax.nn.log_softmax(scores) * is_label).sum(axis=-1)
