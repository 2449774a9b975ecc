"""Inference with 8-bit integers on CPU: the dense layers of any net, most of its work, in a third of the time.

Weights are quantized once, with a scale for each unit. A layer's inputs are quantized dynamically, with a scale and an
offset for each token, by a C++ operator (:mod:`gluonnlp_snli_plugin.native`); no calibration is needed. MXNet's own
``quantize_net_v2`` fixes one range for all tokens beforehand. The few outliers for which BERT's layers are known
(Dettmers et al., LLM.int8(), 2022) then leave few of the 256 steps to all other values.
"""

from typing import List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from . import require_cpu, require_instructions
from .inference_graph import DenseOperator, InferenceNet, convert

_BLOCK = 64  # units that are stored together, four inputs of each at a time: what the operator multiplies at once


def quantize(net: mx.gluon.HybridBlock) -> InferenceNet:
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
    InferenceNet

    Raises
    ------
    UsageError
        If the net is on a GPU, or the processor has no such instructions.
    """
    contexts = next(iter(net.collect_params().values())).list_ctx()
    require_cpu("int8", contexts)
    require_instructions("int8")
    return convert(net, DenseOperator("_snli_dense_int8", ("weight", "columns"), _pack_one, takes_several=False))


def _pack_one(weights: Sequence[np.ndarray], biases: Sequence[Optional[np.ndarray]]) -> List[np.ndarray]:
    return list(pack(weights[0], biases[0]))


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
