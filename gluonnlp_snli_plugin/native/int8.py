"""Inference with 8-bit integers on CPU: the dense layers of any net, most of its work, in a third of the time.

Weights are quantized once, with a scale for each unit. A layer's inputs are quantized dynamically, with a scale and an
offset for each token, by a C++ operator (:mod:`gluonnlp_snli_plugin.native`); no calibration is needed. MXNet's own
``quantize_net_v2`` fixes one range for all tokens beforehand. The few outliers for which BERT's layers are known
(Dettmers et al., LLM.int8(), 2022) then leave few of the 256 steps to all other values.
"""

import json
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from . import require_cpu, require_instructions, stock_products

_OPERATOR = "_snli_dense_int8"
_BLOCK = 64  # units that are stored together, four inputs of each at a time: what the operator multiplies at once
_FEWEST_UNITS = 16  # of a layer to convert: smaller ones take little time and are often the logits

_Graph = Dict[str, Any]  # MXNet's JSON
_Entry = Sequence[int]  # an output of a node: index of the node, index of the output, version


class QuantizedNet(mx.gluon.SymbolBlock):
    """A net for inference, called as the classifier that it was made from.

    Parameters
    ----------
    symbol, inputs, params
        As ``SymbolBlock`` takes them.
    net : SNLIBertClassifier
    """

    def __init__(self, symbol: mx.sym.Symbol, inputs: List[mx.sym.Symbol], params: Any, net: Any) -> None:
        super().__init__(symbol, inputs, params)
        self.num_classes: int = net.num_classes
        self._has_segments: bool = net.has_segments

    def __call__(self, input_ids: Any, segment_ids: Any, valid_length: Any) -> Any:
        """Logits of pairs, as :meth:`.SNLIBertClassifier.hybrid_forward` gives them."""
        segments = [segment_ids] if self._has_segments else []
        return super().__call__(input_ids, *segments, valid_length)


def quantize(net: mx.gluon.HybridBlock) -> QuantizedNet:
    """A net with nearly the same answers whose dense layers compute with 8-bit integers.

    All dense layers of 16 units or more are converted, with the GELU or ReLU behind them, whatever block they are in;
    the few units that make the logits, embeddings, attention and layer normalization remain in float32. It needs a
    processor with VNNI instructions or AMX; on others, products of integers are no faster than those of float32.

    Parameters
    ----------
    net : SNLIBertClassifier
        Float32 and on CPU, accelerated or not (:func:`gluonnlp_snli_plugin.native.accelerate`). It is not
        changed and shares what is not converted with the new net.

    Returns
    -------
    QuantizedNet
        For batches of any shape, and inference only.

    Raises
    ------
    UsageError
        If the net is on a GPU, or the processor has no such instructions.
    """
    parameters = net.collect_params()
    contexts = next(iter(parameters.values())).list_ctx()
    require_cpu("int8", contexts)
    require_instructions("int8")
    with stock_products(net):
        symbol, inputs = net.graph()
    graph = json.loads(symbol.tojson())
    graph, arrays = _convert(graph, parameters)
    shared = mx.gluon.ParameterDict()
    shared.update(parameters)
    for name, array in arrays.items():
        constant = mx.gluon.Constant(name, mx.nd.array(array, dtype=array.dtype))
        constant.initialize(ctx=contexts)
        shared.update({name: constant})
    return QuantizedNet(mx.sym.load_json(json.dumps(graph)), inputs, shared, net)


def pack(weight: np.ndarray, bias: Optional[np.ndarray] = None) -> Tuple[np.ndarray, np.ndarray]:
    """The 8-bit weights of a dense layer, in the order in which they are multiplied.

    Parameters
    ----------
    weight : ndarray of float32, shape (units, C)
    bias : ndarray of float32, shape (units,), or None

    Returns
    -------
    weight : ndarray of int8, shape (blocks, ceil(C / 4), 64, 4)
        Multiples of the scale, padded with zeros.
    columns : ndarray of float32, shape (3, 64 * blocks)
        Of each unit: scale; scale times the sum of its weights; bias.
    """
    units, width = weight.shape
    scale = np.abs(weight).max(axis=1) / 127
    steps = np.rint(weight / np.maximum(scale, np.finfo(np.float32).tiny)[:, None])
    blocks, quads = -(-units // _BLOCK), -(-width // 4)
    packed = np.zeros((blocks * _BLOCK, quads * 4), np.int8)
    packed[:units, :width] = steps
    columns = np.zeros((3, blocks * _BLOCK), np.float32)
    columns[0, :units] = scale
    columns[1, :units] = scale * steps.sum(axis=1)
    if bias is not None:
        columns[2, :units] = bias
    return packed.reshape(blocks, _BLOCK, quads, 4).transpose(0, 2, 1, 3), columns


def _convert(graph: _Graph, parameters: mx.gluon.ParameterDict) -> Tuple[_Graph, Dict[str, np.ndarray]]:
    """The graph with converted dense layers, and the ndarrays that these need, by name."""
    nodes = graph["nodes"]
    weights = _weights(graph, parameters)
    uses = _count([entry for node in nodes for entry in node["inputs"]] + graph["heads"])
    new_nodes: List[Dict[str, Any]] = []
    arrays: Dict[str, np.ndarray] = {}
    place: Dict[int, int] = {}  # the new index of an old node

    def add(op: str, name: str, inputs: Iterable[_Entry] = (), **attributes: Any) -> List[int]:
        new_nodes.append({"op": op, "name": name, "inputs": list(inputs)})
        if attributes:
            new_nodes[-1]["attrs"] = {key: str(value) for key, value in attributes.items()}
        return [len(new_nodes) - 1, 0, 0]

    for i, node in enumerate(nodes):
        source = node["inputs"][0][0] if node["inputs"] else -1
        if i in weights:
            data = _moved(node["inputs"][0], place)
            if _is_true(node["attrs"].get("flatten", "True")):
                data = add("Reshape", f"{node['name']}_flat", [data], shape="(0, -1)")
            names = [f"{node['name']}_int8_{i}_{part}" for part in ("weight", "columns")]
            arrays.update(zip(names, pack(*weights[i])))
            constants = [add("null", name) for name in names]
            place[i] = add(_OPERATOR, node["name"], [data, *constants], units=len(weights[i][0]))[0]
        elif source in weights and uses[source] == 1 and _activation(node):
            place[i] = place[source]
            new_nodes[place[i]]["attrs"]["activation"] = _activation(node)
        else:
            new_nodes.append({**node, "inputs": [_moved(entry, place) for entry in node["inputs"]]})
            place[i] = len(new_nodes) - 1
    return _graph(new_nodes, [_moved(entry, place) for entry in graph["heads"]], graph), arrays


def _weights(graph: _Graph, parameters: mx.gluon.ParameterDict) -> Dict[int, List[np.ndarray]]:
    """Weights and biases of the dense layers to convert, by index of the node.

    They may be computed in the graph, as GluonNLP's attention interleaves those of queries, keys and values.
    """
    nodes = graph["nodes"]
    is_constant: List[bool] = []
    for node in nodes:
        constant = node["name"] in parameters if node["op"] == "null" else bool(node["inputs"])
        is_constant.append(constant and all(is_constant[source] for source, *_ in node["inputs"]))
    layers = [
        i
        for i, node in enumerate(nodes)
        if node["op"] == "FullyConnected"
        and int(node["attrs"]["num_hidden"]) >= _FEWEST_UNITS
        and all(is_constant[source] for source, *_ in node["inputs"][1:])
    ]
    entries = [entry for i in layers for entry in nodes[i]["inputs"][1:]]
    if not entries:
        return {}
    symbol = mx.sym.load_json(json.dumps(_graph(nodes, entries, graph)))
    arguments = {name: parameters[name].list_data()[0] for name in symbol.list_arguments()}
    ctx = next(iter(arguments.values())).context
    values = iter(symbol.bind(ctx, arguments, grad_req="null").forward())
    return {i: [next(values).asnumpy() for _ in nodes[i]["inputs"][1:]] for i in layers}


def _activation(node: Dict[str, Any]) -> Optional[str]:
    """The activation after a dense layer that the operator can compute: 'gelu', 'relu' or None."""
    kind = node["op"], node.get("attrs", {}).get("act_type")
    activations = {("LeakyReLU", "gelu"): "gelu", ("_snli_gelu", None): "gelu", ("Activation", "relu"): "relu"}
    return activations.get(kind)


def _graph(nodes: List[Dict[str, Any]], heads: Sequence[_Entry], graph: _Graph) -> _Graph:
    arguments = [i for i, node in enumerate(nodes) if node["op"] == "null"]
    return {"nodes": nodes, "arg_nodes": arguments, "heads": heads, "attrs": graph["attrs"]}


def _moved(entry: _Entry, place: Dict[int, int]) -> List[int]:
    return [place[entry[0]], *entry[1:]]


def _count(entries: Iterable[_Entry]) -> Dict[int, int]:
    uses: Dict[int, int] = {}
    for source, *_ in entries:
        uses[source] = uses.get(source, 0) + 1
    return uses


def _is_true(text: str) -> bool:
    return text in ("True", "true", "1")
