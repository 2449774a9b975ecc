"""A fine-tuned model as a graph of 8-bit operators: what ``export --format int8`` wrote, read back."""

import warnings

import mxnet as mx

from ..errors import CheckpointError, UsageError
from ..system.files import read_json
from ..system.params_layout import read_layout
from ..tasks.snli import LABELS

INPUTS = {"input_ids": "int32", "segment_ids": "int32", "valid_length": "float32"}
_OPERATORS = set(
    "null _sg_mkldnn_fully_connected _sg_mkldnn_selfatt_qk _sg_mkldnn_selfatt_valatt _contrib_quantize_v2 "
    "_contrib_dequantize _contrib_requantize _contrib_arange_like _contrib_interleaved_matmul_encdec_qk "
    "_contrib_interleaved_matmul_encdec_valatt _contrib_interleaved_matmul_selfatt_qk "
    "_contrib_interleaved_matmul_selfatt_valatt _contrib_quantized_elemwise_add _contrib_quantized_embedding "
    "Reshape elemwise_add LayerNorm expand_dims Concat broadcast_axis softmax stack Embedding slice_axis transpose "
    "broadcast_add zeros_like Cast SequenceMask slice Activation LeakyReLU Dropout FullyConnected broadcast_mul "
    "elemwise_mul tanh _mul_scalar _plus_scalar _power_scalar".split()
)


def load_quantized(graph, parameters, ctx):
    """The net of a graph and its parameters.

    Parameters
    ----------
    graph, parameters : Path
        MXNet's ``-symbol.json`` and ``-0000.params``.
    ctx : Context or list of Context

    Returns
    -------
    SymbolBlock
        To be called as an ``SNLIBertClassifier``, for inference only; with attribute `num_classes`.

    Raises
    ------
    UsageError
        If it is to be on a GPU.
    CheckpointError
        If the graph is damaged, or has operators that such graphs do not have.
    """
    contexts = ctx if isinstance(ctx, (list, tuple)) else [ctx]
    if any(context.device_type != "cpu" for context in contexts):
        raise UsageError(f"{graph.parent} holds an 8-bit model, which is for CPU")
    try:
        foreign = sorted(set(_operators(read_json(graph))) - _OPERATORS)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CheckpointError(f"{graph} is damaged") from None
    read_layout(parameters)
    if foreign:
        raise CheckpointError(f"{graph} has the operator {foreign[0]}, which no 8-bit model of this program has")
    try:
        net = import_graph(graph, parameters, list(contexts))
    except (mx.MXNetError, AssertionError, ValueError) as error:
        raise CheckpointError(f"{graph} is damaged ({str(error).strip().splitlines()[-1]})") from None
    net.num_classes = len(LABELS)
    return net


def import_graph(graph, parameters, ctx):
    """What ``SymbolBlock.imports`` makes of a graph with :data:`INPUTS`."""
    with warnings.catch_warnings():  # that the type of the ids is not fixed
        warnings.filterwarnings("ignore", "Cannot decide type")
        return mx.gluon.SymbolBlock.imports(str(graph), list(INPUTS), str(parameters), ctx=ctx)


def _operators(graph):
    """Names of all operators, those that were fused into others too."""
    for node in graph["nodes"]:
        yield str(node["op"])
        for inner in node.get("subgraphs", ()):
            yield from _operators(inner)
