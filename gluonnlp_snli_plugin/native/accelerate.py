"""Makes the layers of any GluonNLP BERT use the C++ operators, in place, and restores them.

A layer keeps its parameters, children and name; only its class changes, to a subclass whose forward computation uses
:mod:`.operators`. Saving, loading and further training work as before.

An extension's operator overwrites its output even where MXNet asks it to add to it. MXNet asks for that for parameters
with ``grad_req='add'``, which are therefore passed through an identity, and for arrays with eight gradients or more,
which do not occur here. ``MXNET_EXEC_INPLACE_GRAD_SUM_CAP`` lowers that number; the last gradient is then that of a
``FullyConnected``, which must remain MXNet's own.
"""

import contextlib
import os
from typing import Any, Callable, Iterator, List, Optional, Tuple

import mxnet as mx
from gluonnlp.model.bert import BERTEncoderCell, BERTModel, DotProductSelfAttentionCell
from gluonnlp.model.block import GELU
from gluonnlp.model.transformer import PositionwiseFFN
from mxnet.gluon import nn

from .. import compat, registry
from ..model.first_token import FirstTokenAttention, FirstTokenCell, first, project
from ..system import threads
from . import operators


def accelerate(net: mx.gluon.Block, dtype: str = "float32") -> bool:
    """Let every BERT inside `net` use the C++ operators on CPU, and all cores (:func:`.threads.use_cores`).

    Parameters
    ----------
    net : Block
        A ``BERTModel`` or a net with one inside, its parameters float32 and on CPU. Changed in place.
    dtype : {'float32', 'bfloat16'}, default 'float32'
        Precision of the layers' matrix products; everything else, including parameters, remains float32. bfloat16 is
        faster if the processor has AMX (:func:`.operators.has_amx`). Set every ``grad_req`` before the first forward
        pass.

    Returns
    -------
    bool
        Whether anything changed: False on GPU, for parameters of another type, without a BERT, if the operators
        cannot be built, and for bfloat16 if :func:`adds_gradients_in_place`.
    """
    if dtype == "bfloat16" and adds_gradients_in_place():
        return False
    berts = [block for block in _blocks(net) if isinstance(block, BERTModel)]
    if not berts or not _is_on_cpu_in_float32(net) or not operators.are_available():
        return False
    threads.use_cores({ctx for parameter in net.collect_params().values() for ctx in _contexts(parameter)})
    product_dtype = dtype if dtype == "bfloat16" or (operators.has_amx() and not adds_gradients_in_place()) else None
    native = {**_NATIVE, nn.Dense: _Dense} if product_dtype else _NATIVE
    blocks = [block for bert in berts for block in _blocks(bert)]
    blocks = [block for block in blocks if type(block) in native and native[type(block)].fits(block)]
    # Our attention returns no weights: it goes only into encoder cells that are replaced too, which do not read them.
    attention = {id(block.attention_cell) for block in blocks if isinstance(block, BERTEncoderCell)}
    blocks = [block for block in blocks if not isinstance(block, DotProductSelfAttentionCell) or id(block) in attention]
    for block in blocks:
        block.__class__ = native[type(block)]
        block._product_dtype = product_dtype
    for block in blocks:
        block.prepare()
    if blocks:
        _forget_graphs(net)
    return bool(blocks)


def adds_gradients_in_place() -> bool:
    """Whether MXNet is set to add gradients in place, which extensions do not support; see the module docstring."""
    return bool(os.environ.get("MXNET_EXEC_INPLACE_GRAD_SUM_CAP"))


def restore(net: mx.gluon.Block) -> None:
    """Undo :func:`accelerate`, for example before a net moves to a GPU."""
    for block in _blocks(net):
        if type(block) in _STOCK:
            block.__class__ = _STOCK[type(block)]
    _forget_graphs(net)


def is_accelerated(net: mx.gluon.Block) -> bool:
    """Whether a layer inside `net` uses the C++ operators."""
    return any(type(block) in _STOCK for block in _blocks(net))


@contextlib.contextmanager
def stock_layers(net: mx.gluon.Block) -> Iterator[None]:
    """Restore the layers' original classes within the block; existing graphs are kept."""
    native = [(block, type(block)) for block in _blocks(net) if type(block) in _STOCK]
    for block, class_ in native:
        block.__class__ = _STOCK[class_]
    try:
        yield
    finally:
        for block, class_ in native:
            block.__class__ = class_


@registry.replacement("mxnet.gluon.block", "HybridBlock.export")
def _export(original: Callable[..., Any]) -> Callable[..., Any]:
    """An ``export`` that writes MXNet's own operators, which any MXNet can load, even for an accelerated net."""
    original = compat.export(original)

    def export(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._cached_graph or not is_accelerated(self):
            return original(self, *args, **kwargs)
        inputs, _ = graph = self._cached_graph
        with stock_layers(self):
            self._cached_graph = ()
            try:
                self._get_graph(*_grouped(iter(inputs), self._in_format))
                return original(self, *args, **kwargs)
            finally:
                self._cached_graph = graph

    return export


def _grouped(inputs: Iterator[Any], format_: Any) -> Any:
    """The inputs of a graph in the nested form of the call it was made from; -1 stands for None."""
    if isinstance(format_, int):
        return None if format_ == -1 else next(inputs)
    return [_grouped(inputs, part) for part in format_]


def _blocks(net: mx.gluon.Block) -> Iterator[mx.gluon.Block]:
    yield net
    for child in net._children.values():
        yield from _blocks(child)


def _is_on_cpu_in_float32(net: mx.gluon.Block) -> bool:
    parameters = net.collect_params().values()
    return all(
        parameter.dtype in ("float32", mx.np.float32) and all(ctx.device_type == "cpu" for ctx in _contexts(parameter))
        for parameter in parameters
    )


def _contexts(parameter: mx.gluon.Parameter) -> List[mx.Context]:
    """The devices that hold a parameter, or the current one if it is not initialized."""
    return parameter._ctx_list or [mx.context.current_context()]


def _forget_graphs(net: mx.gluon.Block) -> None:
    for block in _blocks(net):
        if isinstance(block, mx.gluon.HybridBlock):
            block._clear_cached_op()


class _Native:
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


class _LayerNorm(_Native, nn.LayerNorm):
    _rate_before = 0.0  # of the preceding dropout

    @classmethod
    def fits(cls, block: Any) -> bool:
        return block._axis == -1 and block._center and block._scale

    def hybrid_forward(self, F: Any, data: Any, residual: Any = None, gamma: Any = None, beta: Any = None) -> Any:
        key = operators.dropout_key(F) if self._rate_before else None
        gamma, beta = F.identity(gamma), F.identity(beta)
        return operators.layer_norm(data, gamma, beta, residual, key, self._epsilon, self._rate_before)


class _GELU(_Native, GELU):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._approximate

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return operators.gelu(x)


class _Dropout(_Native, nn.Dropout):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._axes

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return operators.dropout(x, operators.dropout_key(F), self._rate) if self._rate else F.identity(x)


class _Dense(_Native, nn.Dense):
    _takes_over_gelu = False  # of the preceding layer, which is then skipped

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        if self._flatten:
            x = F.flatten(x)
        outputs = _project(self, F, x, weight, bias, self._units, self._takes_over_gelu)
        return outputs if self.act is None else self.act(outputs)


class _SelfAttention(_Native, DotProductSelfAttentionCell):
    def hybrid_forward(self, F: Any, qkv: Any, valid_len: Any, **weights: Any) -> Tuple[Any, None]:
        return _attend(self, F, qkv, qkv, valid_len, **weights)


class _FirstTokenAttention(_Native, FirstTokenAttention):
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


class _EncoderCell(_Native, BERTEncoderCell):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return not block._output_attention

    def prepare(self) -> None:
        self.layer_norm._rate_before = self._dropout

    def hybrid_forward(self, F: Any, inputs: Any, valid_len: Any = None) -> Tuple[Any, List[Any]]:
        outputs, _ = self.attention_cell(inputs, valid_len)
        return self.ffn(self.layer_norm(self.proj(outputs), inputs)), []


class _FirstTokenCell(_Native, FirstTokenCell):
    def prepare(self) -> None:
        self.layer_norm._rate_before = self._dropout

    def hybrid_forward(self, F: Any, inputs: Any, valid_len: Any = None) -> Tuple[Any, List[Any]]:
        outputs, _ = self.attention_cell(inputs, valid_len)
        return self.ffn(self.layer_norm(self.proj(outputs), first(inputs, 0))), []


class _FeedForward(_Native, PositionwiseFFN):
    @classmethod
    def fits(cls, block: Any) -> bool:
        return block._use_residual and not block._ffn1_dropout

    def prepare(self) -> None:
        self.layer_norm._rate_before = self._dropout
        self.ffn_2._takes_over_gelu = bool(self._product_dtype) and isinstance(self.activation, _GELU)

    def hybrid_forward(self, F: Any, inputs: Any) -> Any:
        outputs = self.ffn_1(inputs)
        if self.activation and not self.ffn_2._takes_over_gelu:
            outputs = self.activation(outputs)
        return self.layer_norm(self.ffn_2(outputs), inputs)


_NATIVE = {
    nn.LayerNorm: _LayerNorm,
    nn.Dropout: _Dropout,
    GELU: _GELU,
    DotProductSelfAttentionCell: _SelfAttention,
    FirstTokenAttention: _FirstTokenAttention,
    BERTEncoderCell: _EncoderCell,
    FirstTokenCell: _FirstTokenCell,
    PositionwiseFFN: _FeedForward,
}
_STOCK = {_Dense: nn.Dense, **{native: stock for stock, native in _NATIVE.items()}}
