"""Ranks that communicate through Horovod."""

from typing import Any

import mxnet as mx

from ..errors import PluginError
from .ranks import Ranks


class Horovod(Ranks):
    """The ranks of Horovod, started by ``horovodrun``."""

    def __init__(self) -> None:
        self._horovod = import_horovod()
        self._horovod.init()
        self.rank = self._horovod.rank()
        self.num_ranks = self._horovod.size()

    def sum(self, name: str, array: mx.nd.NDArray, priority: int = 0) -> None:
        self._horovod.allreduce_(array, op=self._horovod.Sum, name=name, priority=priority)


def import_horovod() -> Any:
    """The module ``horovod.mxnet``.

    Raises
    ------
    PluginError
        If it is not installed, or was built without MXNet.
    """
    try:
        import horovod.mxnet
    except ImportError:
        raise PluginError(
            "--comm horovod needs Horovod built for MXNet: make horovod (docs/distributed.md); "
            "--comm dist_sync needs nothing"
        ) from None
    return horovod.mxnet
