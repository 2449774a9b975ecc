"""Makes the layers of any GluonNLP BERT use the C++ operators, in place, and restores them.

A layer keeps its parameters, children and name; only its class changes, to one of :mod:`.layers`. Saving, loading and
further training work as before.

An extension's operator overwrites its output even where MXNet asks it to add to it. MXNet asks for that for parameters
with ``grad_req='add'``, which are therefore passed through an identity, and for arrays with eight gradients or more,
which do not occur here. ``MXNET_EXEC_INPLACE_GRAD_SUM_CAP`` lowers that number; the last gradient is then that of a
``FullyConnected``, which must remain MXNet's own.
"""

import contextlib
import os
from typing import Any, Callable, Iterator, List

import mxnet as mx
from gluonnlp.model.bert import BERTEncoderCell, BERTModel, DotProductSelfAttentionCell
from mxnet.gluon import nn

from .. import compat, registry
from ..system import threads
from . import operators
from .layers import NATIVE, STOCK, Dense, blocks_of, forget_graphs


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
    berts = [block for block in blocks_of(net) if isinstance(block, BERTModel)]
    if not berts or not _is_on_cpu_in_float32(net) or not operators.are_available():
        return False
    threads.use_cores({ctx for parameter in net.collect_params().values() for ctx in _contexts(parameter)})
    product_dtype = dtype if dtype == "bfloat16" or (operators.has_amx() and not adds_gradients_in_place()) else None
    native = {**NATIVE, nn.Dense: Dense} if product_dtype else NATIVE
    blocks = [block for bert in berts for block in blocks_of(bert)]
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
        forget_graphs(net)
    return bool(blocks)


def adds_gradients_in_place() -> bool:
    """Whether MXNet is set to add gradients in place, which extensions do not support; see the module docstring."""
    return bool(os.environ.get("MXNET_EXEC_INPLACE_GRAD_SUM_CAP"))


def is_accelerated(net: mx.gluon.Block) -> bool:
    """Whether a layer inside `net` uses the C++ operators."""
    return any(type(block) in STOCK for block in blocks_of(net))


@contextlib.contextmanager
def stock_layers(net: mx.gluon.Block) -> Iterator[None]:
    """Restore the layers' original classes within the block; existing graphs are kept."""
    native = [(block, type(block)) for block in blocks_of(net) if type(block) in STOCK]
    for block, class_ in native:
        block.__class__ = STOCK[class_]
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


def _is_on_cpu_in_float32(net: mx.gluon.Block) -> bool:
    parameters = net.collect_params().values()
    return all(
        parameter.dtype in ("float32", mx.np.float32) and all(ctx.device_type == "cpu" for ctx in _contexts(parameter))
        for parameter in parameters
    )


def _contexts(parameter: mx.gluon.Parameter) -> List[mx.Context]:
    """The devices that hold a parameter, or the current one if it is not initialized."""
    return parameter._ctx_list or [mx.context.current_context()]
