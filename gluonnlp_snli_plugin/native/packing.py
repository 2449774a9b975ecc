"""Weights of dense layers in the order in which the C++ code of inference multiplies them."""

from typing import Tuple

import numpy as np

_BLOCK = 64  # units with 8 bits that are stored together, four inputs of each at a time


def pack_float32(weight: np.ndarray, panel: int) -> np.ndarray:
    """Weights in panels of some units.

    Parameters
    ----------
    weight : ndarray of float32, shape (units, C)
    panel : int
        :func:`.operators.panel`

    Returns
    -------
    ndarray of float32, shape (ceil(units / panel), C, panel)
        Padded with zeros.
    """
    units, width = weight.shape
    panels = -(-units // panel)
    padded = np.zeros((panels * panel, width), np.float32)
    padded[:units] = weight
    return np.ascontiguousarray(padded.reshape(panels, panel, width).transpose(0, 2, 1))


def pack_int8(weight: np.ndarray, bias: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Weights with 8 bits, and a scale for each unit.

    Parameters
    ----------
    weight : ndarray of float32, shape (units, C)
    bias : ndarray of float32, shape (units,)

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
    columns[2, :units] = bias
    return np.ascontiguousarray(packed.reshape(blocks, _BLOCK, quads, 4).transpose(0, 2, 1, 3)), columns
