"""Layers of a GluonNLP BERT that use the C++ operators: subclasses of the layers themselves.

A layer is changed by giving it one of these classes: it keeps its parameters, its children and its name.
"""

from typing import Any, Iterator, List, Optional, Tuple

import mxnet as mx
from gluonnlp.model.bert import BERTEncoder, BERTEncoderCell, DotProductSelfAttentionCell
from gluonnlp.model.block import GELU
from gluonnlp.model.transformer import PositionwiseFFN
from mxnet.gluon import nn

from ..model.first_token import FirstTokenAttention, FirstTokenCell, first, project
from . import operators


def restore(net: mx.gluon.Block) -> None:
    """Undo :func:`.accelerate.accelerate`, for example before a net moves to a GPU."""
    for block in blocks_of(net):
        if type(block) in STOCK:
            block.__class__ = STOCK[type(block)]
    forget_graphs(net)


def blocks_of(net: mx.gluon.Block) -> Iterator[mx.gluon.Block]:
    """A net and all blocks inside it."""
    yield net
    for child in net._children.values():
        yield from blocks_of(child)


def forget_graphs(net: mx.gluon.Block) -> None:
    """Have the graphs of a net and of its blocks built again: the layers have changed."""
    for block in blocks_of(net):
        if isinstance(block, mx.gluon.HybridBlock):
            block._clear_cached_op()


class Native:
    """What the subclasses below have in common."""

    _product_dtype: Optional[str] = None  # of our matrix products; None for MXNet's own

    @classmethod
    def fits(cls, block: Any) -> bool:
        """Whether the subclass supports a layer's settings."""
        return True

    def prepare(self) -> None:
        """Called once the layer has its new class."""

    def cast(self, dtype: Any) -> None:
        if dtype in ("float32", mx.np.float32):
            super().cast(dtype)  # type: ignore[misc]  # of the layer
        else:
            restore(self)
            self.cast(dtype)


class _LayerNorm(Native, nn.LayerNorm):
    _rate_before = 0.0  # of the preceding dropout

    @classmethod
    def fits(cls, block: Any) -> bool:
        return block._axis == -1 and block._center and block._scale

    def hybrid_forward(
        self, F: Any, data: Any, residual: Any = None, bias: Any = None, gamma: Any = None, beta: Any = None
    ) -> Any:
        key = operators.dropout_key(F) if self._rate_before else None
        gamma, beta = F.identity(gamma), F.identity(beta)
        return operators.layer_norm(data, gamma, beta, residual, key, self._epsilon, self._rate_before, bias)


class _GELU(Native, GELU):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._approximate

    def hybrid_forward(self, F: Any, x: Any, bias: Any = None) -> Any:
        return operators.gelu(x, bias)


class _Dropout(Native, nn.Dropout):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._axes

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return operators.dropout(x, operators.dropout_key(F), self._rate) if self._rate else F.identity(x)


class Dense(Native, nn.Dense):
    _takes_over_gelu = False  # of the preceding layer, which is then skipped

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        if self._flatten:
            x = F.flatten(x)
        outputs = _project(self, F, x, weight, bias, self._units, self._takes_over_gelu)
        return outputs if self.act is None else self.act(outputs)


class _DenseWithoutBias(Native, nn.Dense):
    """A dense layer that gives its bias beside its product, for the next operator to add.

    MXNet adds biases, and adds up their gradients, in passes of their own over memory.
    """

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Tuple[Any, Any]:
        return project(F, x, weight, None, self._units), F.identity(bias)


def _leave_bias(dense: Any) -> None:
    """Make a dense layer a :class:`_DenseWithoutBias`, if it is MXNet's own with nothing but product and bias."""
    if type(dense) is nn.Dense and dense.bias is not None and dense.act is None and not dense._flatten:
        dense.__class__ = _DenseWithoutBias


def _product_and_bias(outputs: Any) -> List[Any]:
    """What a dense layer gave, with the bias if it has left it to the next operator."""
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


class _SelfAttention(Native, DotProductSelfAttentionCell):
    def hybrid_forward(self, F: Any, qkv: Any, valid_len: Any, **weights: Any) -> Tuple[Any, None]:
        return _attend(self, F, qkv, qkv, valid_len, **weights)


class _FirstTokenAttention(Native, FirstTokenAttention):
    def hybrid_forward(self, F: Any, inputs: Any, valid_len: Any, **weights: Any) -> Tuple[Any, None]:
        length = None if valid_len is None else first(valid_len, 1)
        return _attend(self, F, first(inputs, 0), inputs, length, **weights)


def _project(block: Any, F: Any, data: Any, weight: Any, bias: Any, units: int, gelu: bool = False) -> Any:
    """A linear layer over the last axis in the product precision of `block`, with parameters of `block`."""
    if not block._product_dtype:
        return project(F, data, weight, bias, units)
    if any(parameter.grad_req == "add" for parameter in block._reg_params.values()):
        weight, bias = F.identity(weight), None if bias is None else F.identity(bias)
    return operators.dense(data, weight, bias, units, block._product_dtype, gelu)


def _attend(cell: Any, F: Any, queries: Any, inputs: Any, length: Any, **weights: Any) -> Tuple[Any, None]:
    """Attention of `queries` over `inputs` with the parameters of an attention cell; None for the attention weights."""
    query, key, value = (
        _project(cell, F, data, weights[f"{name}_weight"], weights.get(f"{name}_bias"), cell.units)
        for name, data in (("query", queries), ("key", inputs), ("value", inputs))
    )
    dropout_key = operators.dropout_key(F) if cell._dropout else None
    return operators.attention(query, key, value, length, dropout_key, cell._num_heads, cell._dropout), None


class _EncoderCell(Native, BERTEncoderCell):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._output_attention

    def prepare(self) -> None:
        self.layer_norm._rate_before = self._dropout
        _leave_bias(self.proj)

    def residual(self, inputs: Any) -> Any:
        """What is added to the output of the attention."""
        return inputs

    def hybrid_forward(self, F: Any, inputs: Any, valid_len: Any = None) -> Tuple[Any, List[Any]]:
        outputs, _ = self.attention_cell(inputs, valid_len)
        outputs, *bias = _product_and_bias(self.proj(outputs))
        return self.ffn(self.layer_norm(outputs, self.residual(inputs), *bias)), []


class _FirstTokenCell(_EncoderCell, FirstTokenCell):
    def residual(self, inputs: Any) -> Any:
        return first(inputs, 0)


class _FeedForward(Native, PositionwiseFFN):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return block._use_residual and not block._ffn1_dropout

    def prepare(self) -> None:
        self.layer_norm._rate_before = self._dropout
        self.ffn_2._takes_over_gelu = bool(self._product_dtype) and isinstance(self.activation, _GELU)
        _leave_bias(self.ffn_2)
        if isinstance(self.activation, _GELU):
            _leave_bias(self.ffn_1)

    def hybrid_forward(self, F: Any, inputs: Any) -> Any:
        outputs, *bias = _product_and_bias(self.ffn_1(inputs))
        if self.activation and not self.ffn_2._takes_over_gelu:
            outputs = self.activation(outputs, *bias)
        outputs, *bias = _product_and_bias(self.ffn_2(outputs))
        return self.layer_norm(outputs, inputs, *bias)


class _Encoder(Native, BERTEncoder):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._output_all_encodings and not block._output_attention

    def prepare(self) -> None:
        self.layer_norm._rate_before = self._dropout

    def hybrid_forward(
        self, F: Any, inputs: Any, states: Any = None, valid_length: Any = None, position_weight: Any = None
    ) -> Tuple[Any, List[Any]]:
        steps = F.contrib.arange_like(inputs, axis=0)
        lengths = None  # for each element of the batch and position
        if valid_length is not None:
            zeros = F.zeros_like(steps).reshape(shape=(1, -1))
            lengths = F.broadcast_add(valid_length.reshape(shape=(-1, 1)), zeros).astype("int32")
        positions = F.Embedding(steps, position_weight, self._max_length, self._units)
        outputs = self.layer_norm(operators.add_rows(inputs, positions))
        for cell in self.transformer_cells:
            outputs, _ = cell(outputs, lengths)
        if valid_length is not None:
            outputs = F.SequenceMask(outputs, sequence_length=valid_length, use_sequence_length=True, axis=0)
        return outputs, []


NATIVE = {
    nn.LayerNorm: _LayerNorm,
    nn.Dropout: _Dropout,
    GELU: _GELU,
    DotProductSelfAttentionCell: _SelfAttention,
    FirstTokenAttention: _FirstTokenAttention,
    BERTEncoderCell: _EncoderCell,
    FirstTokenCell: _FirstTokenCell,
    PositionwiseFFN: _FeedForward,
    BERTEncoder: _Encoder,
}
STOCK = {Dense: nn.Dense, _DenseWithoutBias: nn.Dense, **{native: stock for stock, native in NATIVE.items()}}
