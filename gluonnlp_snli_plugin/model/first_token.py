"""BERT for heads that read only the encoding of ``[CLS]``: the last layer computes that position alone."""

from typing import Any, List, Sequence, Tuple

from gluonnlp.model.bert import BERTEncoderCell, DotProductSelfAttentionCell


def encode_first_token_only(bert: Any) -> None:
    """Make the last layer of a BERT encode ``[CLS]`` alone.

    Its keys and values come from all positions as before; queries, output projection and feed-forward layer, five
    sixths of its work, are computed for the first position. Encoding and gradients are those of the whole layer.

    Parameters
    ----------
    bert : gluonnlp.model.BERTModel
        Changed in place: its sequence output then has length 1. Its parameters are not changed. A BERT that returns the
        encodings of all layers or the attention weights is not changed.
    """
    cell = bert.encoder.transformer_cells[-1]
    if bert.encoder._output_all_encodings or bert.encoder._output_attention or type(cell) is not BERTEncoderCell:
        return
    cell.__class__ = FirstTokenCell
    cell.attention_cell.__class__ = FirstTokenAttention


class FirstTokenAttention(DotProductSelfAttentionCell):
    """Attention of the first position over all."""

    def hybrid_forward(self, F: Any, inputs: Any, valid_len: Any, **weights: Any) -> Tuple[Any, None]:
        """The context vector of the first position.

        Parameters
        ----------
        inputs : NDArray or Symbol, shape (length, batch, units)
        valid_len : NDArray or Symbol of int32, shape (batch, length), or None

        Returns
        -------
        context_vec : NDArray or Symbol, shape (1, batch, units)
        None
        """
        query, key_value = self._project(F, inputs, **weights)
        scores = F.contrib.interleaved_matmul_encdec_qk(query, key_value, heads=self._num_heads)
        if valid_len is None:
            att_weights = F.softmax(scores, axis=-1)
        else:
            length = F.broadcast_axis(F.expand_dims(first(valid_len, 1), axis=1), axis=1, size=self._num_heads)
            length = length.reshape(shape=(-1, 0), reverse=True)
            att_weights = F.softmax(scores, length=length, use_length=True, axis=-1)
        att_weights = self.dropout_layer(att_weights)
        context = F.contrib.interleaved_matmul_encdec_valatt(key_value, att_weights, heads=self._num_heads)
        return context, None

    def _project(
        self,
        F: Any,
        inputs: Any,
        query_weight: Any,
        key_weight: Any,
        value_weight: Any,
        query_bias: Any = None,
        key_bias: Any = None,
        value_bias: Any = None,
    ) -> Tuple[Any, Any]:
        """The first position's query (1, batch, units); all keys and values, interleaved (length, batch, 2 units)."""
        weight = interleave_weights(F, (key_weight, value_weight), self._num_heads)
        bias = interleave_biases(F, (key_bias, value_bias), self._num_heads) if self._use_bias else None
        query = project(F, first(inputs, 0), query_weight, query_bias, self.units)
        return query, project(F, inputs, weight, bias, 2 * self.units)


class FirstTokenCell(BERTEncoderCell):
    """An encoder layer whose output is the first position's alone."""

    def hybrid_forward(self, F: Any, inputs: Any, valid_len: Any = None) -> Tuple[Any, List[Any]]:
        """The first position's encoding.

        Parameters
        ----------
        inputs : NDArray or Symbol, shape (length, batch, units)
        valid_len : NDArray or Symbol of int32, shape (batch, length), or None

        Returns
        -------
        encoding : NDArray or Symbol, shape (1, batch, units)
        list
            Empty.
        """
        outputs, _ = self.attention_cell(inputs, valid_len)
        outputs = self.proj(outputs)
        if self._dropout:
            outputs = self.dropout_layer(outputs)
        outputs = self.layer_norm(outputs + first(inputs, 0))
        return self.ffn(outputs), []


def first(array: Any, axis: int) -> Any:
    """The first element along an axis, which is kept."""
    return array.slice_axis(axis=axis, begin=0, end=1)


def interleave_weights(F: Any, weights: Sequence[Any], num_heads: int) -> Any:
    """Weights (units, in) of several projections as one: all of the first head, then all of the second, …"""
    by_head = [weight.reshape(shape=(num_heads, -1, 0), reverse=True) for weight in weights]
    return F.concat(*by_head, dim=1).reshape(shape=(-3, 0))


def interleave_biases(F: Any, biases: Sequence[Any], num_heads: int) -> Any:
    """Biases (units,) in the same order."""
    return F.concat(*(bias.reshape(shape=(num_heads, -1)) for bias in biases), dim=1).reshape(shape=(-1,))


def project(F: Any, data: Any, weight: Any, bias: Any, units: int) -> Any:
    """A linear layer over the last axis; `bias` may be None."""
    arrays = (data, weight) if bias is None else (data, weight, bias)
    return F.FullyConnected(*arrays, num_hidden=units, no_bias=bias is None, flatten=False)
