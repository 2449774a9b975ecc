"""Inference in float32 on CPU with weights that are packed once, in the order in which they are multiplied.

MXNet packs the weights of a dense layer at each call. Here that is done once, at the cost of memory: the net keeps its
own weights too, which explanations need.
"""

from typing import List, Optional, Sequence

import mxnet as mx
import numpy as np

from . import operators
from .inference_graph import DenseOperator, convert


def pack_weights(net: mx.gluon.HybridBlock) -> mx.gluon.HybridBlock:
    """A net with the same answers, to rounding, whose dense layers have packed weights.

    Parameters
    ----------
    net : SNLIBertClassifier
        Float32 and on CPU, accelerated. It is not changed and shares what is not packed with the new net.

    Returns
    -------
    HybridBlock
        To be called as `net`, for inference only; `net` itself where its own products are as fast.
    """
    panel = operators.panel()
    if not panel:
        return net

    def pack_all(weights: Sequence[np.ndarray], biases: Sequence[Optional[np.ndarray]]) -> List[np.ndarray]:
        zeros = np.zeros(len(weights[0]), np.float32)
        return [
            np.concatenate([pack(weight, panel) for weight in weights]),
            np.concatenate([zeros if bias is None else bias for bias in biases]),
        ]

    return convert(net, DenseOperator("_snli_dense_packed", ("weight", "bias"), pack_all, takes_several=True))


def pack(weight: np.ndarray, panel: int) -> np.ndarray:
    """Weights of a dense layer (units, C) in panels of some units: ndarray of float32, shape (panels, C, panel)."""
    units, width = weight.shape
    panels = -(-units // panel)
    padded = np.zeros((panels * panel, width), np.float32)
    padded[:units] = weight
    return np.ascontiguousarray(padded.reshape(panels, panel, width).transpose(0, 2, 1))
