"""The graph of a classifier in ONNX, built from its parameters operator by operator."""

import math
from typing import Any, Dict, List, Optional, Sequence, Set

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...errors import UsageError
from ...model.heads import DenseLayer, head_named
from ..model_settings import ModelSettings
from .layout import inputs_of

OPSET = 13
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}  # of a head
_IR_VERSION = 7  # of onnx 1.8, which goes with that opset: runtimes refuse files newer than themselves
_SEGMENTS = "bert.token_type_embed.0.weight"


def build(settings: ModelSettings, parameters: Dict[str, np.ndarray], properties: Dict[str, str]) -> Any:
    """A ``ModelProto`` that gives the logits of a classifier.

    The inputs are int64 of shape (batch, length), both of any size, with the names of what Hugging Face's tokenizers
    give: ``input_ids``, ``attention_mask`` (0 in the padding) and, where there are segments, ``token_type_ids``. The
    output is ``logits``, float32 of shape (batch, classes). As in our own net, the
    last layer computes the encoding of ``[CLS]`` alone where the head reads no other.

    Parameters
    ----------
    settings : ModelSettings
    parameters : dict of str to ndarray
        By their names in the model's file.
    properties : dict of str to str
        Metadata of the file.
    """
    graph = _Graph(parameters)
    hparams, head = settings.hparams, head_named(settings.head)
    if head.pooling not in ("first", "mean"):
        raise UsageError(
            f"the head {head.name!r} reads the tokens in a way of its own, which --format onnx cannot write"
        )
    encoding = _embedding(graph, hparams)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.BOOL)
    mask = graph.add("Unsqueeze", mask, graph.integers([1, 2]))
    for i in range(hparams["num_layers"]):
        first_only = i == hparams["num_layers"] - 1 and not head.needs_all_tokens
        encoding = _layer(graph, f"bert.encoder.transformer_cells.{i}", encoding, mask, hparams, first_only)
    if head.needs_all_tokens:
        encoding = _mean(graph, encoding)
    else:
        encoding = graph.add("Squeeze", encoding, graph.integers([1]))
    _dense_layers(graph, head.dense_layers(hparams["units"], len(settings.labels), settings.hidden_units), encoding)
    shape = ["batch", "length"]
    inputs = inputs_of(_SEGMENTS in parameters)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "snli_bert_classifier",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(settings.labels)])],
            graph.initializers,
        ),
        producer_name="gluonnlp-snli-plugin",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants, each under a name of its own."""

    def __init__(self, parameters: Dict[str, np.ndarray]) -> None:
        self._parameters = parameters
        self.nodes: List[Any] = []
        self.initializers: List[Any] = []
        self._names: Set[str] = set()

    def add(self, op: str, *inputs: str, output: Optional[str] = None, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        output = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def constant(self, array: np.ndarray, name: str) -> str:
        """The name of a constant."""
        if name not in self._names:
            self._names.add(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32), f"number_{value!r}")

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64), "integers_" + "_".join(map(str, values)))

    def has(self, parameter: str) -> bool:
        """Whether the model has a parameter."""
        return parameter in self._parameters

    def parameter(self, name: str, transposed: bool = False) -> str:
        array = self._parameters[name]
        return self.constant(array.T if transposed else array, name)

    def dense(self, name: str, data: str) -> str:
        product = self.add("MatMul", data, self.parameter(f"{name}.weight", transposed=True))
        return self.add("Add", product, self.parameter(f"{name}.bias"))

    def layer_norm(self, name: str, data: str, eps: float) -> str:
        deviation = self.add("Sub", data, self.add("ReduceMean", data, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Pow", deviation, self.number(2.0)), axes=[-1])
        spread = self.add("Sqrt", self.add("Add", variance, self.number(eps)))
        scaled = self.add("Mul", self.add("Div", deviation, spread), self.parameter(f"{name}.gamma"))
        return self.add("Add", scaled, self.parameter(f"{name}.beta"))


def _embedding(graph: _Graph, hparams: Dict[str, Any]) -> str:
    total = graph.add("Gather", graph.parameter("bert.word_embed.0.weight"), "input_ids")
    if graph.has(_SEGMENTS):
        total = graph.add("Add", total, graph.add("Gather", graph.parameter(_SEGMENTS), "token_type_ids"))
    length = graph.add("Gather", graph.add("Shape", "input_ids"), graph.integers([1]))
    table = graph.parameter("bert.encoder.position_weight")
    positions = graph.add("Slice", table, graph.integers([0]), length, graph.integers([0]))
    total = graph.add("Add", total, positions)
    return graph.layer_norm("bert.encoder.layer_norm", total, _eps(hparams))


def _layer(graph: _Graph, name: str, data: str, mask: str, hparams: Dict[str, Any], is_last: bool) -> str:
    heads, size = hparams["num_heads"], hparams["units"] // hparams["num_heads"]

    def by_head(which: str, inputs: str, order: Sequence[int]) -> str:
        projected = graph.dense(f"{name}.attention_cell.proj_{which}", inputs)
        return graph.add("Transpose", graph.add("Reshape", projected, graph.integers([0, 0, heads, size])), perm=order)

    queried = data
    if is_last:
        queried = graph.add("Slice", data, graph.integers([0]), graph.integers([1]), graph.integers([1]))
    query, key = by_head("query", queried, (0, 2, 1, 3)), by_head("key", data, (0, 2, 3, 1))
    scores = graph.add("Div", graph.add("MatMul", query, key), graph.number(math.sqrt(size)))
    scores = graph.add("Where", mask, scores, graph.number(float(np.finfo(np.float32).min)))
    weights = graph.add("Softmax", scores, axis=-1)
    context = graph.add("MatMul", weights, by_head("value", data, (0, 2, 1, 3)))
    context = graph.add("Transpose", context, perm=(0, 2, 1, 3))
    context = graph.add("Reshape", context, graph.integers([0, 0, hparams["units"]]))
    attended = graph.add("Add", graph.dense(f"{name}.proj", context), queried)
    attended = graph.layer_norm(f"{name}.layer_norm", attended, _eps(hparams))
    hidden = _activation(graph, hparams.get("activation", "gelu"), graph.dense(f"{name}.ffn.ffn_1", attended))
    total = graph.add("Add", graph.dense(f"{name}.ffn.ffn_2", hidden), attended)
    return graph.layer_norm(f"{name}.ffn.layer_norm", total, _eps(hparams))


def _activation(graph: _Graph, kind: str, data: str) -> str:
    if kind == "relu":
        return graph.add("Relu", data)
    if kind == "gelu":
        bent = graph.add("Erf", graph.add("Div", data, graph.number(math.sqrt(2))))
    else:
        cube = graph.add("Mul", graph.add("Mul", data, data), data)
        inner = graph.add("Add", data, graph.add("Mul", cube, graph.number(0.044715)))
        bent = graph.add("Tanh", graph.add("Mul", inner, graph.number(math.sqrt(2 / math.pi))))
    product = graph.add("Mul", data, graph.add("Add", bent, graph.number(1.0)))
    return graph.add("Mul", product, graph.number(0.5))


def _mean(graph: _Graph, encoding: str) -> str:
    """The mean of the encodings of all tokens of each pair."""
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    counts = graph.add("ReduceSum", mask, graph.integers([1]), keepdims=1)
    masked = graph.add("Mul", encoding, graph.add("Unsqueeze", mask, graph.integers([2])))
    return graph.add("Div", graph.add("ReduceSum", masked, graph.integers([1]), keepdims=0), counts)


def _dense_layers(graph: _Graph, layers: List[DenseLayer], data: str) -> None:
    *hidden, last = layers
    for layer in hidden:
        data = graph.dense(layer.name, data)
        if layer.activation:
            data = graph.add(_ACTIVATIONS[layer.activation], data)
    product = graph.add("MatMul", data, graph.parameter(f"{last.name}.weight", transposed=True))
    graph.add("Add", product, graph.parameter(f"{last.name}.bias"), output="logits")


def _eps(hparams: Dict[str, Any]) -> float:
    return hparams.get("layer_norm_eps", 1e-12)
