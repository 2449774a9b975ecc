"""Outputs of a net that are too large to be fetched unasked: they stay on the device."""

import functools
from typing import Any, Callable, List, Optional, Tuple

import jax
import jax.numpy as jnp
import mxnet as mx
import numpy as np
from mxnet.gluon.loss import _apply_weighting

from ..bert import cross_entropy
from .arrays import TRANSFERS, Remote
from .places import Place


class LargeOutput:
    """An output of one call.

    Parameters
    ----------
    place : Place
    values : array of float32
        With rows and columns that are padding.
    shape : tuple of int
        Without these.

    Attributes
    ----------
    token : NDArray, shape (1,), or None
        What stands for it in the graph of MXNet's autograd, if it is recorded.
    """

    def __init__(self, place: Place, values: Any, shape: Tuple[int, ...]) -> None:
        self.place, self.values, self.shape = place, values, shape
        self.token: Optional[mx.nd.NDArray] = None
        self._gradients: List[Callable[[], Any]] = []
        self._parts: List[_Part] = []

    def on_host(self, values: Any, shape: Tuple[int, ...], own: Tuple[int, ...]) -> mx.nd.NDArray:
        """Values with padding, as an NDArray of some shape; without padding they have the shape `own`."""
        with self.place.programs.enough_memory():
            array = TRANSFERS.fetch(values)[tuple(map(slice, own))]
        return mx.nd.array(np.ascontiguousarray(array).reshape(shape), self.place.context)

    def padded(self, array: np.ndarray, size: int) -> Any:
        """On the device: an array with the first axes of this output, with as much padding as it has itself."""
        whole = np.zeros(self.values.shape[:size], array.dtype)
        own = self.shape[:size]
        whole[tuple(map(slice, own))] = array.reshape(own)
        return TRANSFERS.send(whole, self.place.mesh.replicate)

    def fetched(self, shape: Tuple[int, ...]) -> mx.nd.NDArray:
        """All of it on the host, as a function that is recorded if the output is."""
        return self._recorded(
            lambda: self.on_host(self.values, shape, self.shape),
            lambda gradient: self._gradients.append(lambda: self.padded(gradient, len(self.shape))),
        )

    def losses(self, label: mx.nd.NDArray, shape: Tuple[int, ...]) -> mx.nd.NDArray:
        """The cross-entropy along the last axis against numbers of classes; computed on the device, and recorded."""
        size = len(self.shape) - 1
        numbers = self.padded(label.asnumpy().astype(np.int32), size)
        return self._recorded(
            lambda: self.on_host(_losses(self.values, numbers), shape, self.shape[:size]),
            lambda gradient: self._gradients.append(
                lambda: _gradient_of_losses(self.values, numbers, self.padded(gradient, size))
            ),
        )

    def best(self, shape: Tuple[int, ...]) -> mx.nd.NDArray:
        """The number of the largest value along the last axis."""
        return self.on_host(_best(self.values), shape, self.shape[:-1])

    def gradient(self) -> Any:
        """The gradient of the loss with respect to it, on the device."""
        found = [gradient() for gradient in self._gradients]
        self._gradients.clear()
        return functools.reduce(jnp.add, found) if found else jnp.zeros_like(self.values)

    def release(self) -> None:
        """Let what was computed of it forget it, as it will not be differentiated."""
        for part in self._parts:
            part.compute = part.receive = None
        self._parts.clear()

    def _recorded(self, compute: Callable[[], mx.nd.NDArray], receive: Callable[[np.ndarray], Any]) -> mx.nd.NDArray:
        if self.token is None:
            return compute()
        self._parts.append(_Part(compute, receive))
        with mx.autograd.record(mx.autograd.is_training()):
            return self._parts[-1](self.token)


class _Part(mx.autograd.Function):
    """What is computed of an output: a function of its token."""

    def __init__(self, compute: Callable[[], mx.nd.NDArray], receive: Callable[[np.ndarray], Any]) -> None:
        super().__init__()
        self.compute: Any = compute
        self.receive: Any = receive

    def forward(self, token: mx.nd.NDArray) -> mx.nd.NDArray:
        return self.compute()

    def backward(self, gradient: mx.nd.NDArray) -> mx.nd.NDArray:
        self.receive(gradient.asnumpy())
        return mx.nd.zeros(1, gradient.context)


class Scores(Remote):
    """A large output, or the same in another shape, as a script gets it: fetched when the script looks at it.

    Parameters
    ----------
    output : LargeOutput
    shape : tuple of int, optional
        With as many elements; the last axis is the output's own wherever :meth:`losses` and :meth:`best` are asked.
    """

    __slots__ = ("_host", "_output")

    def __init__(self, output: LargeOutput, shape: Optional[Tuple[int, ...]] = None) -> None:
        super().__init__(output.shape if shape is None else shape, output.place.context)
        self._output = output
        self._host: Optional[mx.nd.NDArray] = None

    def on_host(self) -> mx.nd.NDArray:
        if self._host is None:
            self._host = self._output.fetched(self.shape)
        return self._host

    @property
    def has_own_last_axis(self) -> bool:
        """Whether the last axis is that of the net's output."""
        return self.shape[-1] == self._output.shape[-1]

    def reshape(self, *shape: Any, **options: Any) -> mx.nd.NDArray:
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        sizes = tuple(options["shape"]) if set(options) == {"shape"} and not shape else tuple(sizes)
        is_plain = sizes and all(size > 0 or size == -1 for size in sizes) and set(options) <= {"shape"}
        if not is_plain or sizes.count(-1) > 1:
            return super().reshape(*shape, **options)
        rest = -self.size // int(np.prod(sizes)) if -1 in sizes else 1
        sizes = tuple(rest if size == -1 else size for size in sizes)
        if int(np.prod(sizes)) != self.size:
            return super().reshape(*shape, **options)
        return Scores(self._output, sizes)

    def astype(self, dtype: Any, copy: bool = True) -> mx.nd.NDArray:
        return self if np.dtype(dtype) == np.float32 else super().astype(dtype, copy)

    def losses(self, label: mx.nd.NDArray) -> mx.nd.NDArray:
        """As :meth:`LargeOutput.losses`; NDArray of the shape (..., 1)."""
        return self._output.losses(label, (*self.shape[:-1], 1))

    def best(self) -> mx.nd.NDArray:
        """As :meth:`LargeOutput.best`; NDArray of float32, shape (..., 1)."""
        return self._output.best((*self.shape[:-1], 1))


def loss_of(block: Any, scores: Scores, label: Any, sample_weight: Optional[Any] = None) -> Optional[mx.nd.NDArray]:
    """A cross-entropy of scores that stay on the device; None if it is one that is computed on the host."""
    is_last = block._axis in (-1, scores.ndim - 1) and scores.has_own_last_axis
    if not is_last or block._from_logits or not block._sparse_label:
        return None
    losses = _apply_weighting(mx.nd, scores.losses(label), block._weight, sample_weight)
    return mx.nd.mean(losses, axis=block._batch_axis, exclude=True)


@jax.jit
def _losses(scores: Any, label: Any) -> Any:
    return cross_entropy(scores, label)


@jax.jit
def _gradient_of_losses(scores: Any, label: Any, gradient: Any) -> Any:
    return jax.vjp(lambda scores: cross_entropy(scores, label), scores)[1](gradient)[0]


@jax.jit
def _best(scores: Any) -> Any:
    return scores.argmax(axis=-1).astype(jnp.float32)
