"""The devices that compute one program together."""

import copy
from typing import Any, Dict, List, Optional, Sequence

import jax
import mxnet as mx
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..errors import UsageError
from .setup import chosen, explained

_HALF_PRECISION = {"bfloat16": 8.0, "tfloat32": 8.0}  # the compute capability from which on a GPU has them


class DeviceMesh:
    """Devices of one kind: each batch is divided among them, parameters are on all of them.

    Parameters
    ----------
    contexts : list of Context
        Those of this process: GPUs, or CPU devices. In a run of several ranks those of all ranks are used.

    Attributes
    ----------
    devices : list of jax.Device
        Those of this process.
    every : list of jax.Device
        Those of all processes.
    kind : str
        The model of the GPU, or 'cpu'.

    Raises
    ------
    UsageError
        If a device does not exist.
    PluginError
        If JAX cannot use it.
    """

    def __init__(self, contexts: Sequence[mx.Context], is_alone: bool = False) -> None:
        platform = contexts[0].device_type
        with explained():
            local = jax.local_devices(backend=platform)
        self._take(chosen(contexts, local), is_alone or jax.process_count() == 1)

    def _take(self, devices: List[Any], is_alone: bool) -> None:
        self.devices, self.is_alone = devices, is_alone
        self.kind: str = devices[0].device_kind
        self.every = devices if is_alone else _of_all_processes(devices[0].platform, len(devices))
        mesh = Mesh(np.array(self.every), ("rows",))
        self.by_row, self.replicated = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("rows",), ()))

    def apart(self) -> "List[DeviceMesh]":
        """Each device of this process as a mesh of its own."""
        found = [copy.copy(self) for _ in self.devices]
        for mesh, device in zip(found, self.devices):
            mesh._take([device], is_alone=True)
        return found

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def num_ranks(self) -> int:
        """How many processes share each batch."""
        return 1 if self.is_alone else jax.process_count()

    def divide(self, arrays: Dict[str, np.ndarray]) -> Dict[str, Any]:
        """Put this process's rows of a batch on the devices."""
        if self.is_alone:
            return jax.device_put(arrays, self.by_row)
        return {name: jax.make_array_from_process_local_data(self.by_row, array) for name, array in arrays.items()}

    def replicate(self, arrays: Any) -> Any:
        """Put arrays, in any nested dict, on every device as a whole; a copy."""
        arrays = jax.tree.map(np.array, arrays)  # memory of the processor may become that of a CPU device
        if self.is_alone:
            return jax.device_put(arrays, self.replicated)
        return jax.tree.map(
            lambda array: jax.make_array_from_callback(array.shape, self.replicated, array.__getitem__),
            arrays,
        )

    def stack(self, array: Any) -> Any:
        """An array of every device, each having one, along a new first axis that is divided among them."""
        parts = [jax.device_put(array[None], device) for device in self.devices]
        shape = (len(self.every), *array.shape)
        return jax.make_array_from_single_device_arrays(shape, self.by_row, parts)

    def own_rows(self, array: Any) -> np.ndarray:
        """This process's rows of an array that is divided among the devices."""
        if self.is_alone:
            return np.asarray(array)
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    def shapes(self, arrays: Dict[str, np.ndarray]) -> Dict[str, Any]:
        """What :meth:`divide` makes of arrays of one process: shapes and dtypes of all processes together."""
        return {
            name: jax.ShapeDtypeStruct(
                (len(array) * self.num_ranks, *array.shape[1:]), array.dtype, sharding=self.by_row
            )
            for name, array in arrays.items()
        }

    def require(self, dtype: str) -> None:
        """Raise a UsageError if the devices do not have a precision; 'float16' is for those that lack 'bfloat16'."""
        capability = getattr(self.devices[0], "compute_capability", None)
        if capability and float(capability) < _HALF_PRECISION.get(dtype, 0):
            instead = "float16" if dtype == "bfloat16" else "float32"
            raise UsageError(f"--dtype {dtype}: {self.kind} does not have it; use --dtype {instead}")

    @property
    def memory(self) -> Optional[int]:
        """Bytes that programs may use on a device, if that is limited."""
        statistics = self.devices[0].memory_stats() or {}
        return statistics.get("bytes_limit")


def _of_all_processes(platform: str, number: int) -> List[Any]:
    """The first devices of each process, by process."""
    found: Dict[int, List[Any]] = {}
    for device in jax.devices(platform):
        found.setdefault(device.process_index, []).append(device)
    return [device for process in sorted(found) for device in found[process][:number]]
