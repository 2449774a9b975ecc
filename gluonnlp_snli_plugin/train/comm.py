"""Who computes: the only module that knows how many devices there are."""

import re

import mxnet as mx
import numpy as np

from ..errors import UsageError


class Devices:
    """The devices of this process; each batch is divided among them.

    Parameters
    ----------
    contexts : list of Context
    """

    def __init__(self, contexts):
        self.contexts = contexts

    def __len__(self):
        return len(self.contexts)

    def __str__(self):
        return ",".join(f"{ctx.device_type}:{ctx.device_id}" for ctx in self.contexts)

    @property
    def is_gpu(self):
        return self.contexts[0].device_type == "gpu"

    def split(self, batch):
        """Divide a batch of at least as many pairs as there are devices.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        list of list of NDArray
            For each device its part of input_ids, segment_ids, valid_length and label.
        """
        parts = np.array_split(np.arange(len(batch.label)), len(self))
        return [
            [mx.nd.array(array[part], ctx, array.dtype) for array in batch[:4]]
            for part, ctx in zip(parts, self.contexts)
        ]


def parse_devices(gpus=None, devices=None):
    """The devices a user named, the CPU by default.

    Parameters
    ----------
    gpus : str or None
        Numbers, such as '0,1'.
    devices : str or None
        Kinds and numbers, such as 'cpu:0,cpu:1' or 'gpu:0'.

    Returns
    -------
    Devices

    Raises
    ------
    UsageError
        If that is not what it says, a device is named twice, or a GPU is not there.
    """
    if gpus:
        devices = ",".join(f"gpu:{number.strip()}" for number in gpus.split(","))
    contexts = []
    for name in (devices or "cpu:0").split(","):
        match = re.match(r"\s*(cpu|gpu)(?::(\d+))?\s*$", name)
        if not match:
            raise UsageError(f"no device {name!r}; name devices as in --devices cpu:0,cpu:1 or --gpus 0,1")
        contexts.append(mx.Context(match.group(1), int(match.group(2) or 0)))
    if len(set(contexts)) < len(contexts):
        raise UsageError(f"a device is named twice in {devices}")
    if len({ctx.device_type for ctx in contexts}) > 1:
        raise UsageError(f"{devices}: CPU and GPU cannot share one run")
    there = mx.context.num_gpus() if contexts[0].device_type == "gpu" else None
    if there is not None and max(ctx.device_id for ctx in contexts) >= there:
        raise UsageError(
            f"{devices}: MXNet sees {there} GPU(s) here (docs/installation.md says which wheel has GPU support)"
        )
    return Devices(contexts)
