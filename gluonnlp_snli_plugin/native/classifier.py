"""Inference on CPU with a whole classifier in one call of C++, without MXNet's engine.

Weights are copied and packed once, at the cost of memory: the net keeps its own, which explanations need. Pairs need no
padding, and a pair's answer has the same bits in any batch and for any number of threads.

With 8-bit integers, weights are quantized once, with a scale for each unit. A layer's inputs are quantized dynamically,
with a scale and an offset for each token; no calibration is needed. MXNet's own ``quantize_net_v2`` fixes one range for
all tokens beforehand. The few outliers for which BERT's layers are known (Dettmers et al., LLM.int8(), 2022) then leave
few of the 256 steps to all other values.
"""

import ctypes
from typing import Any, Iterable, List, Optional, Sequence

import numpy as np

from ..data.encoding import EncodedPairs
from ..errors import PluginError
from ..model.backbone import UnknownNet, hyperparameters_of
from ..model.classifier import SNLIBertClassifier
from ..model.first_token import FirstTokenCell
from ..system import threads
from . import operators
from .accelerate import stock_layers
from .packing import pack_float32, pack_int8
from .precision import require_cpu, require_instructions

_FEWEST_UNITS = 16  # of a layer with 8-bit integers: smaller ones take little time and are often the logits
_ACTIVATIONS = (None, "gelu", "approx_gelu", "relu", "tanh")
_POOLINGS = ("first", "mean")


class _Dense(ctypes.Structure):
    _fields_ = [
        ("weight", ctypes.c_void_p),
        ("columns", ctypes.c_void_p),
        ("is_int8", ctypes.c_int64),
        ("depth", ctypes.c_int64),
        ("units", ctypes.c_int64),
        ("activation", ctypes.c_int64),
    ]


class _Norm(ctypes.Structure):
    _fields_ = [("gamma", ctypes.c_void_p), ("beta", ctypes.c_void_p), ("eps", ctypes.c_double)]


class _EncoderLayer(ctypes.Structure):
    _fields_ = [
        ("query", _Dense),
        ("projected", _Dense),
        ("context", _Dense),
        ("context_norm", _Norm),
        ("hidden", _Dense),
        ("output", _Dense),
        ("norm", _Norm),
    ]


class _Classifier(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("units", "heads", "num_words", "num_positions", "num_segments")),
        *((name, ctypes.c_int64) for name in ("num_layers", "num_dense")),
        *((name, ctypes.c_void_p) for name in ("words", "positions", "segments")),
        ("norm", _Norm),
        ("layers", ctypes.c_void_p),
        ("pooling", ctypes.c_int64),
        ("dense", ctypes.c_void_p),
    ]


class DenseLayer:
    """A dense layer whose weights are packed.

    Parameters
    ----------
    weight : ndarray of float32, shape (units, C)
    bias : ndarray of float32, shape (units,)
    activation : {'gelu', 'approx_gelu', 'relu', 'tanh', None}
    dtype : {'float32', 'int8'}, default 'float32'

    Attributes
    ----------
    structure : ctypes.Structure
        What the C++ code reads, as long as this object lives.
    """

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, activation: Optional[str] = None, dtype: str = "float32"
    ) -> None:
        if dtype == "int8":
            self._weight, self._columns = pack_int8(weight, bias)
        else:
            self._weight, self._columns = pack_float32(weight, operators.panel()), np.array(bias, np.float32)
        self.structure = _Dense(
            self._weight.ctypes.data,
            self._columns.ctypes.data,
            dtype == "int8",
            *weight.shape[::-1],
            _ACTIVATIONS.index(activation),
        )

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """The layer's outputs for inputs of float32 and shape (n, C); ndarray of shape (n, units)."""
        data = np.ascontiguousarray(data, np.float32)
        out = np.empty((len(data), self.structure.units), np.float32)
        _call("snli_apply", self.structure, threads.number(), len(data), data, out)
        return out


class NativeClassifier:
    """A classifier for inference on CPU.

    Parameters
    ----------
    net : SNLIBertClassifier
        Float32 and on CPU, accelerated or not (:func:`gluonnlp_snli_plugin.native.accelerate`). It is not changed, and
        its weights are copied: what is done to them later has no effect on the answers.
    dtype : {'float32', 'int8'}, default 'float32'
        'int8': products of 8-bit integers in all dense layers of 16 units or more; the few units that make the logits,
        embeddings, attention and layer normalization remain in float32. It needs a processor with VNNI instructions or
        AMX; on others, products of integers are no faster than those of float32.
    batch_size : int, default 64
        Pairs computed together.

    Raises
    ------
    UsageError
        For 'int8', if the net is on a GPU, or the processor has no such instructions.
    UnknownNet
        If its backbone is not one of GluonNLP's own, or its head has a pooling of its own.
    """

    def __init__(self, net: SNLIBertClassifier, dtype: str = "float32", batch_size: int = 64) -> None:
        self._parameters = net._collect_params_with_prefix()
        if dtype == "int8":
            require_cpu(dtype, next(iter(self._parameters.values())).list_ctx())
            require_instructions(dtype)
        with stock_layers(net):
            self._hparams = hyperparameters_of(net.bert)
        if net.head.pooling is None:
            raise UnknownNet(f"the head {net.head.name}, with a pooling of its own,")
        self._num_classes, self._dtype, self._batch_size = net.num_classes, dtype, batch_size
        self._num_threads = threads.number()
        self._kept: List[Any] = []  # what the structure points at
        dense = net.head.dense_layers(1, 1, 1)
        cells = net.bert.encoder.transformer_cells
        self._first_only = len(cells) - 1 if isinstance(cells[-1], FirstTokenCell) else None
        self._classifier = _Classifier(
            units=self._hparams["units"],
            heads=self._hparams["num_heads"],
            num_layers=self._hparams["num_layers"],
            num_dense=len(dense),
            norm=self._norm("bert.encoder.layer_norm"),
            layers=self._array(_EncoderLayer, map(self._encoder_layer, range(self._hparams["num_layers"]))),
            pooling=_POOLINGS.index(net.head.pooling),
            dense=self._array(_Dense, [self._dense([layer.name], layer.activation) for layer in dense]),
        )
        tables = {"words": "word_embed.0.weight", "positions": "encoder.position_weight"}
        if net.has_segments:
            tables["segments"] = "token_type_embed.0.weight"
        for name, parameter in tables.items():
            table = self._copied(f"bert.{parameter}")
            setattr(self._classifier, name, table.ctypes.data)
            setattr(self._classifier, f"num_{name}", len(table))

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        """Logits of encoded pairs; ndarray of float32, shape (n, classes)."""
        number, layout = len(encoded), encoded.layout
        second = layout.second(encoded.len_a) if layout.has_segments else np.full(number, np.iinfo(np.int32).max)
        ids, second = (np.ascontiguousarray(array, np.int32) for array in (encoded.input_ids, second))
        offsets = np.ascontiguousarray(encoded.offsets, np.int64)
        logits = np.zeros((number, self._num_classes), np.float32)
        for start in range(0, number, self._batch_size):
            end = min(number, start + self._batch_size)
            arrays = ids, second[start:end], offsets[start : end + 1], logits[start:end]
            _call("snli_classify", self._classifier, self._num_threads, end - start, *arrays)
        return logits

    def _encoder_layer(self, number: int) -> _EncoderLayer:
        cell = f"bert.encoder.transformer_cells.{number}"
        query, key, value = (f"{cell}.attention_cell.proj_{one}" for one in ("query", "key", "value"))
        is_first_only = number == self._first_only
        return _EncoderLayer(
            self._dense([query]) if is_first_only else _Dense(),
            self._dense([key, value] if is_first_only else [query, key, value]),
            self._dense([f"{cell}.proj"]),
            self._norm(f"{cell}.layer_norm"),
            self._dense([f"{cell}.ffn.ffn_1"], self._hparams["activation"]),
            self._dense([f"{cell}.ffn.ffn_2"]),
            self._norm(f"{cell}.ffn.layer_norm"),
        )

    def _dense(self, names: Sequence[str], activation: Optional[str] = None) -> _Dense:
        """The structure of layers of the same data, side by side."""
        weight, bias = (
            np.concatenate([self._value(f"{name}.{kind}") for name in names]) for kind in ("weight", "bias")
        )
        layer = DenseLayer(weight, bias, activation, self._dtype if len(weight) >= _FEWEST_UNITS else "float32")
        self._kept.append(layer)
        return layer.structure

    def _norm(self, name: str) -> _Norm:
        gamma, beta = (self._copied(f"{name}.{kind}").ctypes.data for kind in ("gamma", "beta"))
        return _Norm(gamma, beta, self._hparams["layer_norm_eps"])

    def _copied(self, name: str) -> np.ndarray:
        """A copy of a parameter, which is kept."""
        self._kept.append(self._value(name))
        return self._kept[-1]

    def _value(self, name: str) -> np.ndarray:
        return self._parameters[name].list_data()[0].asnumpy()

    def _array(self, kind: Any, structures: Iterable[Any]) -> int:
        """The address of an array of structures."""
        structures = list(structures)
        array = (kind * len(structures))(*structures)
        self._kept.append(array)
        return ctypes.addressof(array)


def _call(name: str, structure: ctypes.Structure, num_threads: int, number: int, *arrays: np.ndarray) -> None:
    """Call a function of the library for so many pairs, or rows."""
    numbers = ctypes.c_int(threads.usable(num_threads)), ctypes.c_int64(number)
    addresses = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
    if getattr(operators.loaded(), name)(ctypes.byref(structure), *numbers, *addresses):
        raise PluginError(f"there is too little memory for {number} pairs at once: give a smaller --batch-size")
