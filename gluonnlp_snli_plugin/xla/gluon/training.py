"""What GluonNLP and MXNet do with the gradients of parameters, for those that are on a device."""

import functools
import math
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import jax
import jax.numpy as jnp
import mxnet as mx
import numpy as np

from ..mesh import DeviceMesh
from ..update import adam_step
from .arrays import TRANSFERS, DeviceArray


def divided(arrays: Sequence[Any]) -> Tuple[List[DeviceArray], List[Any]]:
    """Those of some arrays that are on devices, and the others."""
    on_device = [array for array in arrays if isinstance(array, DeviceArray)]
    return on_device, [array for array in arrays if not isinstance(array, DeviceArray)]


def norm_of(gradients: Sequence[Any]) -> float:
    """The global 2-norm of gradients, some of them on a device."""
    on_device, others = divided(gradients)
    square = TRANSFERS.fetch(_square([array.values for array in on_device])).item()
    if others:
        square += mx.nd.add_n(*mx.nd.multi_sum_sq(*others, num_arrays=len(others))).asscalar()
    return math.sqrt(square) if square >= 0 else math.nan


def ratio_of(norm: float, max_norm: float) -> float:
    """By what gradients are divided so that their norm is at most `max_norm`; not finite if the norm is not."""
    scale = np.float32(norm) / np.float32(max_norm)
    return max(1.0, float(scale)) if np.isfinite(scale) else float(scale)


def scale(gradients: Sequence[Any], factor: float) -> None:
    """Multiply gradients by a number."""
    on_device, others = divided(gradients)
    for arrays in _by_place(on_device):
        found = _scaled([array.values for array in arrays], np.float32(factor))
        for array, values in zip(arrays, found):
            array.values = values
    for array in others:
        array *= factor


def set_to_zero(gradients: Sequence[DeviceArray]) -> None:
    """Set gradients to zero."""
    for arrays in _by_place(gradients):
        before = [array.values for array in arrays]
        for array, values in zip(arrays, _zeros_on(before[0].sharding)(before)):
            array.values = values


def _by_place(arrays: Sequence[DeviceArray]) -> Iterable[List[DeviceArray]]:
    """The arrays on each place: one program computes with arrays of one device."""
    found: Dict[mx.Context, List[DeviceArray]] = {}
    for array in arrays:
        found.setdefault(array.context, []).append(array)
    return found.values()


def update(updater: Any, indices: Sequence[Any], gradients: Sequence[DeviceArray], weights: Sequence[Any]) -> None:
    """Update parameters on a device as ``gluonnlp.optimizer.BERTAdam`` does.

    Parameters
    ----------
    updater : mxnet.optimizer.Updater
        Of a BERTAdam; keeps the moments.
    indices : list of int
        The parameters' numbers in the Trainer.
    gradients, weights : list of DeviceArray
    """
    optimizer = updater.optimizer
    optimizer._set_current_context(weights[0].context.device_id)
    optimizer._update_count(indices)
    moments = [_moments(updater, index, weight) for index, weight in zip(indices, weights)]
    factor = optimizer.rescale_grad
    numbers: Dict[str, Any] = {
        "factor": factor.asscalar() if isinstance(factor, mx.nd.NDArray) else factor,
        "learning_rate": optimizer._get_lrs(indices),
        "decay": optimizer._get_wds(indices),
        "beta1": optimizer.beta1,
        "beta2": optimizer.beta2,
        "epsilon": optimizer.epsilon,
        "largest": optimizer.clip_gradient or math.inf,
    }
    found = _updated(
        [[array.values for array in arrays] for arrays in zip(*moments)],
        [weight.values for weight in weights],
        [gradient.values for gradient in gradients],
        {name: np.asarray(number, np.float32) for name, number in numbers.items()},
    )
    for weight, (mean, variance), (new_weight, new_mean, new_variance) in zip(weights, moments, found):
        weight.values, mean.values, variance.values = new_weight, new_mean, new_variance


def _moments(updater: Any, index: Any, weight: DeviceArray) -> Tuple[DeviceArray, DeviceArray]:
    """The moments of a parameter, put on its device where they have come from a file."""
    state = updater.states.get(index)
    if state is None:
        state = weight.zeros_like(), weight.zeros_like()
    elif isinstance(state[0], tuple):  # of float16, with the weights in float32
        state = state[0]
    if not isinstance(state[0], DeviceArray):
        state = tuple(weight.sent(array) for array in state)
    updater.states[index], updater.states_synced[index] = state, True
    return state


@jax.jit
def _square(gradients: Any) -> Any:
    return sum(jnp.square(gradient).sum() for gradient in gradients)


@functools.lru_cache(maxsize=None)
def _zeros_on(sharding: Any) -> Any:
    """A program for zeros like some arrays.

    Its output sharding is given: it would not follow from arguments that are not used.
    """
    return jax.jit(lambda arrays: list(map(jnp.zeros_like, arrays)), out_shardings=sharding)


@jax.jit
def _scaled(gradients: Any, factor: Any) -> Any:
    return [gradient * factor for gradient in gradients]


def _update(moments: Any, weights: Any, gradients: Any, numbers: Dict[str, Any]) -> Any:
    """New weights and moments; as in ``adamw_update``, the old ones where the gradients' factor is 0 or not finite."""
    is_sound = jnp.isfinite(numbers["factor"]) & (numbers["factor"] != 0)
    found = []
    for number, (weight, gradient, mean, variance) in enumerate(zip(weights, gradients, *moments)):
        largest = numbers["largest"]
        gradient = jnp.clip(gradient * numbers["factor"], -largest, largest)
        betas = numbers["beta1"], numbers["beta2"]
        step, *new = adam_step(weight, gradient, mean, variance, numbers["decay"][number], numbers["epsilon"], betas)
        new = [weight - numbers["learning_rate"][number] * step, *new]
        found.append([jnp.where(is_sound, *pair) for pair in zip(new, (weight, mean, variance))])
    return found


_updated = jax.jit(_update, donate_argnums=0)


class Reduction:
    """Adds up gradients over the places of a script and the ranks of a run, on the devices.

    Parameters
    ----------
    mesh : DeviceMesh
        One device of each rank.
    """

    def __init__(self, mesh: DeviceMesh) -> None:
        self._mesh = mesh
        self._sum = jax.jit(lambda arrays: [array.sum(axis=0) for array in arrays], out_shardings=mesh.replicated)

    def sum(self, gradients: Sequence[Sequence[DeviceArray]], factor: float = 1) -> None:
        """Replace gradients by their sum over places and ranks, times a number.

        Parameters
        ----------
        gradients : list of list of DeviceArray
            Of each parameter, one on each place of this process.
        factor : float, default 1
        """
        first = [copies[0] for copies in gradients]
        totals = [array.values for array in first]
        for number in range(1, len(gradients[0])):
            more = jax.device_put([copies[number].values for copies in gradients], totals[0].sharding)
            totals = added(totals, more)
        if self._mesh.num_ranks > 1:
            totals = [array.addressable_data(0) for array in self._sum(list(map(self._mesh.stack, totals)))]
        for copies, total in zip(gradients, _scaled(totals, np.float32(factor)) if factor != 1 else totals):
            for array in copies:
                array.values = jax.device_put(total, array.values.sharding)


@jax.jit
def added(left: Any, right: Any) -> Any:
    """The sum of two trees of arrays."""
    return jax.tree.map(jnp.add, left, right)
