"""The devices of a process, and the names by which a user names them."""

import re
from typing import Any, List, Optional, Tuple

import mxnet as mx
import numpy as np

from ..errors import UsageError
from .place import ENGINES, place_on_machine, require_jax


class Devices:
    """The devices of this process; each batch is divided among them.

    Parameters
    ----------
    places : list of Context
        Devices of one kind.
    uses_xla : bool
        Whether XLA computes there; MXNet computes on CPU alone.
    """

    def __init__(self, places: List[mx.Context], uses_xla: bool = False) -> None:
        self.places, self.uses_xla = places, uses_xla

    def __len__(self) -> int:
        return len(self.places)

    def __str__(self) -> str:
        return ",".join(f"{place.device_type}:{place.device_id}" for place in self.places)

    @property
    def contexts(self) -> List[mx.Context]:
        """Where MXNet keeps the net."""
        return [mx.cpu()] if self.uses_xla else self.places

    @property
    def least_pairs(self) -> int:
        """Pairs that a batch must have; XLA adds rows without pairs."""
        return 1 if self.uses_xla else len(self)

    @property
    def _is_the_cpu(self) -> bool:
        return len(self) == 1 and self.places[0].device_type == "cpu"

    def of_rank(self, rank: int, num_ranks: int) -> "Devices":
        """The share of one rank: the devices are divided evenly; a single one, the CPU, serves every rank.

        Raises
        ------
        UsageError
            If there are too few, or they cannot be divided evenly.
        """
        if self._is_the_cpu:
            return self
        if len(self) % num_ranks:
            raise UsageError(f"{len(self)} device(s) cannot be divided evenly among {num_ranks} ranks: {self}")
        share = len(self) // num_ranks
        return Devices(self.places[rank * share : (rank + 1) * share], self.uses_xla)

    def of_place(self) -> "Devices":
        """The one device of this rank, by its place among those of its machine; a single one, the CPU, serves all."""
        if self._is_the_cpu:
            return self
        place = place_on_machine()[0]
        if place >= len(self):
            raise UsageError(f"each rank needs a device of its own: there is none for rank {place} among {self}")
        return Devices(self.places[place : place + 1], self.uses_xla)

    def configure(self, memory_share: float = 0.0) -> None:
        """Prepare JAX for these devices, if XLA computes; before JAX is asked for them."""
        if self.uses_xla:
            require_jax(f"computing through XLA on {self}")
            from ..xla.setup import configure

            configure(self.places, memory_share)

    def split(self, batch: Any) -> List[Tuple[Any, mx.Context]]:
        """Divide a batch of at least as many pairs as there are devices.

        Parameters
        ----------
        batch : Batch or PretrainingBatch

        Returns
        -------
        list of (Batch or PretrainingBatch, Context)
            The part of each device.
        """
        if len(self.contexts) == 1:
            return [(batch, self.contexts[0])]
        rows = np.array_split(np.arange(len(batch.index)), len(self.contexts))
        return [(batch.part(mine), ctx) for mine, ctx in zip(rows, self.contexts)]


def parse_devices(devices: Optional[str] = None, gpus: Optional[str] = None, engine: str = "auto") -> Devices:
    """The devices that a user named, by default the CPU.

    Parameters
    ----------
    devices : str or None
        Kinds and numbers, such as 'cpu:0,cpu:1' or 'gpu:0'.
    gpus : str or None
        Numbers of GPUs, such as '0,1': the same as ``devices='gpu:0,gpu:1'``.
    engine : {'auto', 'mxnet', 'xla'}
        What computes; 'auto' for XLA on GPUs, MXNet on CPU.

    Raises
    ------
    UsageError
        If that is not what it says, a device is named twice, or MXNet is to use a GPU.
    """
    if gpus is not None:
        if devices:
            raise UsageError("--gpus and --devices both name devices: omit one")
        numbers = gpu_numbers(gpus)
        return devices_of([mx.gpu(number) for number in numbers], engine)
    places = []
    for name in (devices or "cpu:0").split(","):
        match = re.fullmatch(r"\s*(cpu|gpu)(?::([0-9]{1,4}))?\s*", name)
        if not match:
            raise UsageError(f"no device {name!r}; name devices as in --devices cpu:0,cpu:1")
        places.append(mx.Context(match.group(1), int(match.group(2) or 0)))
    if len({place.device_type for place in places}) > 1:
        raise UsageError(f"{devices} names devices of two kinds: use CPU or GPUs")
    if len(set(places)) < len(places):
        raise UsageError(f"a device is named twice in {devices}")
    return devices_of(places, engine)


def devices_of(places: List[mx.Context], engine: str = "auto") -> Devices:
    """The devices of MXNet contexts; as :func:`parse_devices`."""
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}; choose from {', '.join(ENGINES)}")
    is_gpu = places[0].device_type != "cpu"
    if is_gpu and engine == "mxnet":
        raise UsageError("MXNet 1.9.1 has no code for current GPUs: omit --engine mxnet, and XLA computes")
    return Devices(places, is_gpu or engine == "xla")


def gpu_numbers(gpus: str) -> List[int]:
    """The numbers in '0,1'.

    Raises
    ------
    UsageError
        If that is not what it says, or a GPU is named twice.
    """
    names = [name.strip() for name in gpus.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", name) for name in names):
        raise UsageError(f"--gpus is {gpus!r}; name GPUs by their numbers, as in --gpus 0,1")
    numbers = [int(name) for name in names]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"a GPU is named twice in --gpus {gpus}")
    return numbers


def parse_script_devices(
    devices: Optional[str] = None, gpus: Optional[str] = None, engine: str = "auto"
) -> Optional[Devices]:
    """The devices that a user named for a script of GluonNLP, one for each rank; None where MXNet computes on the CPU.

    Parameters
    ----------
    devices, gpus : str or None
        As :func:`parse_devices` takes them.
    engine : {'auto', 'mxnet', 'xla'}
        'auto' for MXNet on GPUs that it has code for, XLA on others.

    Raises
    ------
    UsageError
        As :func:`parse_devices`; or if MXNet is to use GPUs that it cannot use.
    """
    found = parse_devices(devices, gpus, "auto" if engine == "mxnet" else engine)
    if found.places[0].device_type == "cpu":
        if devices and not found.uses_xla:
            raise UsageError("--devices is for computing a script through XLA: give --engine xla too, or omit it")
        return found if found.uses_xla else None
    if engine != "xla":
        missing = _why_mxnet_cannot(found.places)
        if missing and engine == "mxnet":
            raise UsageError(f"--engine mxnet: MXNet cannot compute on {missing} (docs/installation.md): omit it")
        found.uses_xla = missing is not None
    return found


def _why_mxnet_cannot(places: List[mx.Context]) -> Optional[str]:
    """The first GPU on which MXNet fails to compute one number; None if there is none."""
    has_cuda = mx.runtime.Features().is_enabled("CUDA")  # without it MXNet would print a line of its own
    for place in places:
        try:
            if not has_cuda or not mx.nd.ones(1, place).asnumpy().all():
                return str(place)
        except mx.MXNetError:
            return str(place)
    return None
