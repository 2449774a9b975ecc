"""The devices of a process, and the names by which a user names them."""

import re
from typing import Any, List, Optional

import mxnet as mx
import numpy as np

from ..errors import UsageError


class Devices:
    """The devices of this process; each batch is divided among them.

    Parameters
    ----------
    contexts : list of Context
    """

    def __init__(self, contexts: List[mx.Context]) -> None:
        self.contexts = contexts

    def __len__(self) -> int:
        return len(self.contexts)

    def __str__(self) -> str:
        return ",".join(f"{ctx.device_type}:{ctx.device_id}" for ctx in self.contexts)

    def of_rank(self, rank: int, num_ranks: int) -> "Devices":
        """The share of one rank: the devices are divided evenly; a single one, the CPU, serves every rank.

        Raises
        ------
        UsageError
            If there are too few, or they cannot be divided evenly.
        """
        if len(self) == 1:
            return self
        if len(self) % num_ranks:
            raise UsageError(f"{len(self)} device(s) cannot be divided evenly among {num_ranks} ranks: {self}")
        share = len(self) // num_ranks
        return Devices(self.contexts[rank * share : (rank + 1) * share])

    def split(self, batch: Any) -> List[List[Any]]:
        """Divide a batch of at least as many pairs as there are devices.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        list of list of NDArray
            For each device its part of input_ids, segment_ids, valid_length and label, and of index, an ndarray.
        """
        parts = np.array_split(np.arange(len(batch.label)), len(self))
        return [
            [*(mx.nd.array(array[part], ctx, array.dtype) for array in batch[:4]), batch.index[part]]
            for part, ctx in zip(parts, self.contexts)
        ]


def parse_devices(devices: Optional[str] = None) -> Devices:
    """The devices that a user named, by default the CPU.

    Parameters
    ----------
    devices : str or None
        Kinds and numbers, such as 'cpu:0,cpu:1'.

    Raises
    ------
    UsageError
        If that is not what it says, or a device is named twice.
    """
    numbers = []
    for name in (devices or "cpu:0").split(","):
        match = re.fullmatch(r"\s*cpu(?::([0-9]{1,4}))?\s*", name)
        if not match:
            raise UsageError(f"no device {name!r}; name devices as in --devices cpu:0,cpu:1")
        numbers.append(int(match.group(1) or 0))
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"a device is named twice in {devices}")
    return Devices([mx.cpu(number) for number in numbers])


def parse_gpus(gpus: str) -> List[int]:
    """The numbers of the GPUs that a user named for a script of GluonNLP, such as '0,1'.

    Raises
    ------
    UsageError
        If that is not what it says, a GPU is named twice, or MXNet cannot use it.
    """
    names = [name.strip() for name in gpus.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", name) for name in names):
        raise UsageError(f"--gpus is {gpus!r}; name GPUs by their numbers, as in --gpus 0,1")
    numbers = [int(name) for name in names]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"a GPU is named twice in --gpus {gpus}")
    there = mx.context.num_gpus()
    if max(numbers) >= there:
        raise UsageError(
            f"--gpus {gpus}: MXNet sees {there} GPU(s) here (docs/installation.md says which wheel has GPU support)"
        )
    return numbers
