"""Replaces the dense layers of a net by operators that need their weights in another form: for inference only."""

import json
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from .accelerate import stock_products

_FEWEST_UNITS = 16  # of a layer to convert: smaller ones take little time and are often the logits

_Graph = Dict[str, Any]  # MXNet's JSON
_Entry = Sequence[int]  # an output of a node: index of the node, index of the output, version


class DenseOperator(NamedTuple):
    """An operator for dense layers, with attributes units, activation and, if it takes several, parts."""

    name: str
    #: What it needs besides the data.
    arrays: Tuple[str, ...]
    #: Makes these of weights (units, C) and biases (units,) or None.
    pack: Callable[[Sequence[np.ndarray], Sequence[Optional[np.ndarray]]], List[np.ndarray]]
    #: Whether layers of the same data, such as query, key and value, become one node with an output for each.
    takes_several: bool


class InferenceNet(mx.gluon.SymbolBlock):
    """A net for inference alone, on batches of any shape, called as the classifier that it was made from.

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


def convert(net: mx.gluon.HybridBlock, operator: DenseOperator) -> InferenceNet:
    """A net whose dense layers are computed by `operator`, with the GELU or ReLU behind them.

    Parameters
    ----------
    net : SNLIBertClassifier
        Float32 and on CPU, accelerated or not. It is not changed and shares what is not converted with the new net.
    operator : DenseOperator

    Returns
    -------
    InferenceNet
    """
    parameters = net.collect_params()
    contexts = next(iter(parameters.values())).list_ctx()
    with stock_products(net):
        symbol, inputs = net.graph()
    graph = json.loads(symbol.tojson())
    graph, arrays = _converted(graph, parameters, operator)
    shared = mx.gluon.ParameterDict()
    shared.update(parameters)
    for name, array in arrays.items():
        # Not a Constant: MXNet keeps the value of each for ever, as a kind of initializer.
        packed = mx.gluon.Parameter(name, grad_req="null", shape=array.shape, dtype=array.dtype)
        packed.initialize(mx.init.Zero(), ctx=contexts)
        packed.set_data(mx.nd.array(array, dtype=array.dtype))
        shared.update({name: packed})
    return InferenceNet(mx.sym.load_json(json.dumps(graph)), inputs, shared, net)


def _converted(
    graph: _Graph, parameters: mx.gluon.ParameterDict, operator: DenseOperator
) -> Tuple[_Graph, Dict[str, np.ndarray]]:
    """The graph with converted dense layers, and the ndarrays that these need, by name."""
    nodes = graph["nodes"]
    weights = _weights(graph, parameters)
    uses = _count([entry for node in nodes for entry in node["inputs"]] + graph["heads"])
    new_nodes: List[Dict[str, Any]] = []
    dense: Dict[int, int] = {}  # the new node of a dense layer that is converted alone
    arrays: Dict[str, np.ndarray] = {}
    place: Dict[int, Tuple[int, int]] = {}  # the new node of an old one, and its output there

    def add(op: str, name: str, inputs: Iterable[_Entry] = (), **attributes: Any) -> List[int]:
        new_nodes.append({"op": op, "name": name, "inputs": list(inputs)})
        if attributes:
            new_nodes[-1]["attrs"] = {key: str(value) for key, value in attributes.items()}
        return [len(new_nodes) - 1, 0, 0]

    for i, node in enumerate(nodes):
        source = node["inputs"][0][0] if node["inputs"] else -1
        if i in place:  # converted together with an earlier layer
            continue
        if i in weights:
            data = _moved(node["inputs"][0], place)
            if _is_true(node["attrs"].get("flatten", "True")):
                data = add("Reshape", f"{node['name']}_flat", [data], shape="(0, -1)")
            together = _side_by_side(nodes, weights, i) if operator.takes_several else [i]
            names = [f"{node['name']}_{operator.name}_{i}_{part}" for part in operator.arrays]
            layers = [weights.pop(j) for j in together]
            biases = [layer[1] if len(layer) > 1 else None for layer in layers]
            arrays.update(zip(names, operator.pack([layer[0] for layer in layers], biases)))
            constants = [add("null", name) for name in names]
            several = {"parts": len(together)} if operator.takes_several else {}
            new = add(operator.name, node["name"], [data, *constants], units=len(layers[0][0]), **several)[0]
            place.update({j: (new, part) for part, j in enumerate(together)})
            dense.update({j: new for j in together} if len(together) == 1 else {})
        elif source in dense and uses[source] == 1 and _activation(node):
            place[i] = place[source]
            new_nodes[dense[source]]["attrs"]["activation"] = _activation(node)
        else:
            new_nodes.append({**node, "inputs": [_moved(entry, place) for entry in node["inputs"]]})
            place[i] = len(new_nodes) - 1, 0
    return _graph(new_nodes, [_moved(entry, place) for entry in graph["heads"]], graph), arrays


def _side_by_side(nodes: Sequence[Dict[str, Any]], weights: Dict[int, List[np.ndarray]], first: int) -> List[int]:
    """The dense layers to convert that are like the first one and have the same data."""
    data, attributes = nodes[first]["inputs"][0], nodes[first]["attrs"]
    return [i for i in weights if nodes[i]["inputs"][0] == data and nodes[i]["attrs"] == attributes]


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
    computed = _computed(graph, parameters, [entry for i in layers for entry in nodes[i]["inputs"][1:]])
    return {i: [next(computed) for _ in nodes[i]["inputs"][1:]] for i in layers}


def _computed(graph: _Graph, parameters: mx.gluon.ParameterDict, entries: List[_Entry]) -> Iterator[np.ndarray]:
    """The values of some entries of a graph that depend on parameters alone."""
    nodes = graph["nodes"]
    if all(nodes[i]["op"] == "null" for i, *_ in entries):  # to bind a graph makes MXNet write a line
        for i, *_ in entries:
            yield parameters[nodes[i]["name"]].list_data()[0].asnumpy()
        return
    symbol = mx.sym.load_json(json.dumps(_graph(nodes, entries, graph)))
    arguments = {name: parameters[name].list_data()[0] for name in symbol.list_arguments()}
    ctx = next(iter(arguments.values())).context
    for value in symbol.bind(ctx, arguments, grad_req="null").forward():
        yield value.asnumpy()


def _activation(node: Dict[str, Any]) -> Optional[str]:
    """The activation after a dense layer that the operator can compute: 'gelu', 'relu' or None."""
    kind = node["op"], node.get("attrs", {}).get("act_type")
    activations = {("LeakyReLU", "gelu"): "gelu", ("_snli_gelu", None): "gelu", ("Activation", "relu"): "relu"}
    return activations.get(kind)


def _graph(nodes: List[Dict[str, Any]], heads: Sequence[_Entry], graph: _Graph) -> _Graph:
    arguments = [i for i, node in enumerate(nodes) if node["op"] == "null"]
    return {"nodes": nodes, "arg_nodes": arguments, "heads": heads, "attrs": graph["attrs"]}


def _moved(entry: _Entry, place: Dict[int, Tuple[int, int]]) -> List[int]:
    node, output = place[entry[0]]
    return [node, output + entry[1], *entry[2:]]


def _count(entries: Iterable[_Entry]) -> Dict[int, int]:
    uses: Dict[int, int] = {}
    for source, *_ in entries:
        uses[source] = uses.get(source, 0) + 1
    return uses


def _is_true(text: str) -> bool:
    return text in ("True", "true", "1")
