"""Dropout whose masks depend on (seed, update, layer) and the position alone.

An element's mask is a hash of its index, so it is the same however the elements are divided among devices, and it is
computed again for the gradient instead of being stored. JAX's own generator of like speed gives other numbers on other
numbers of devices.
"""

import functools
from typing import Any, Tuple

import jax
import jax.numpy as jnp
import numpy as np


def key_of(*numbers: int) -> np.ndarray:
    """A key for :class:`Dropout` of a seed, an update and so on; ndarray of uint32, shape (2,)."""
    return np.random.SeedSequence(numbers).generate_state(2)


class Dropout:
    """The dropouts of a net, in the order in which they are called.

    Parameters
    ----------
    key : array of uint32, shape (2,), or None
        None for no dropout: the net answers, and is not trained.
    """

    def __init__(self, key: Any) -> None:
        self._key = key
        self._layer = 0

    def __call__(self, values: Any, rate: float) -> Any:
        """`values`, each with probability `rate` zero, and otherwise divided by ``1 - rate``."""
        self._layer += 1
        if self._key is None or not rate:
            return values
        return _dropout(values, self._key + jnp.array([0, self._layer], jnp.uint32), rate)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dropout(values: Any, key: Any, rate: float) -> Any:
    return jnp.where(_is_kept(values.shape, key, rate), values * (1 / (1 - rate)), 0).astype(values.dtype)


def _forward(values: Any, key: Any, rate: float) -> Tuple[Any, Any]:
    return _dropout(values, key, rate), key


def _backward(rate: float, key: Any, gradient: Any) -> Tuple[Any, None]:
    return _dropout(gradient, key, rate), None


_dropout.defvjp(_forward, _backward)


def _is_kept(shape: Tuple[int, ...], key: Any, rate: float) -> Any:
    """Which elements are kept: Wellons' hash ``lowbias32`` of the index, with the two halves of the key mixed in."""
    bits = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(len(shape))):
        bits += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % (1 << 32))
        stride *= shape[axis]
    bits += key[0]
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15) ^ key[1]) * jnp.uint32(0x846CA68B)
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    return (bits ^ (bits >> 15)) >= jnp.uint32(round(rate * 0xFFFFFFFF))
