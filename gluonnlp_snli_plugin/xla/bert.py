"""BERT as ``gluonnlp.model.BERTModel`` computes it: a pure function of parameters that have GluonNLP's names."""

import functools
import math
from typing import Any, Callable, Dict, Mapping, NamedTuple

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
        states = parameters["bert.word_embed.0.weight"][inputs["input_ids"]]
        states += parameters["bert.encoder.position_weight"][:length]
        segments = parameters.get("bert.token_type_embed.0.weight")
        if segments is not None:  # a product: of a lookup in so few rows, the gradient would be slow
            is_segment = jax.nn.one_hot(inputs["segment_ids"], len(segments), dtype=jnp.float32)
            states += jnp.matmul(is_segment, segments, precision=jax.lax.Precision.HIGHEST)
        states = dropout(states, self.hparams["dropout"])
        states = self.layer_norm(parameters, "bert.encoder.layer_norm", states)
        is_token = jnp.arange(length)[None, :] < inputs["valid_length"][:, None]
        for number in range(num_layers):
            last = first_only and number == num_layers - 1
            layer = functools.partial(self._layer, f"bert.encoder.transformer_cells.{number}", dropout, last)
            states = (jax.checkpoint(layer) if self.remat else layer)(parameters, states, is_token)
        return states

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
            projected = self._product("btu,vu->btv", inputs, weight) + bias.astype(inputs.dtype)
            shape = (*inputs.shape[:2], num_heads, units // num_heads)
            return [one.reshape(shape) for one in jnp.split(projected, len(which), axis=-1)]

        if first_only:
            (query,), (key, value) = project(states[:, :1], "query"), project(states, "key", "value")
        else:
            query, key, value = project(states, "query", "key", "value")
        scores = self._product("bthd,bshd->bhts", query, key, jnp.float32) / math.sqrt(units // num_heads)
        scores = jnp.where(is_token[:, None, None, :], scores, _MASKED)
        weights = dropout(jax.nn.softmax(scores, axis=-1), self.hparams["dropout"])
        attended = self._product("bhts,bshd->bthd", weights, value)
        return attended.reshape(*query.shape[:2], units)

    def dense(self, parameters: Parameters, name: str, inputs: Any, dtype: Any = None) -> Any:
        """A linear layer over the last axis; `dtype` is that of the result, by default the precision's."""
        product = self._product("...u,vu->...v", inputs, parameters[f"{name}.weight"], dtype)
        return product + parameters[f"{name}.bias"].astype(product.dtype)

    def layer_norm(self, parameters: Parameters, name: str, inputs: Any) -> Any:
        """LayerNorm over the last axis, computed in float32; the result has the precision's dtype."""
        values = inputs.astype(jnp.float32)
        centred = values - values.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        normal = centred * jax.lax.rsqrt(variance + self.hparams.get("layer_norm_eps", _EPS))
        return (normal * parameters[f"{name}.gamma"] + parameters[f"{name}.beta"]).astype(self.precision.dtype)

    def _product(self, formula: str, left: Any, right: Any, dtype: Any = None) -> Any:
        """A product in the precision's dtype, summed up in float32; the result has `dtype`, or the precision's."""
        factors = left.astype(self.precision.dtype), right.astype(self.precision.dtype)
        dtype = dtype or self.precision.dtype
        return jnp.einsum(formula, *factors, precision=self.precision.products, preferred_element_type=dtype)
