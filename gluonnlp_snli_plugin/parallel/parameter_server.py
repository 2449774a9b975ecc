"""Ranks that communicate through MXNet's parameter server, which every wheel of MXNet has."""

from typing import Any, Callable, Dict, Set

import mxnet as mx

from .cluster import join
from .place import known_rank, take_number
from .ranks import Ranks

_leave: Dict[int, Callable[[], None]] = {}  # by the id of a distributed store: what is called before it is freed


class ParameterServer(Ranks):
    """The ranks of MXNet's parameter server, which every wheel of MXNet has.

    The launcher, or a cluster's own, sets its variables (``DMLC_ROLE``, ``DMLC_PS_ROOT_URI``, ...).

    Attributes
    ----------
    store : mxnet.kvstore.KVStore
    """

    def __init__(self) -> None:
        self.store = create_store("dist_sync")
        take_number(self.store.rank)
        self.rank = known_rank() or 0
        self.num_ranks = self.store.num_workers
        self._known: Set[str] = set()

    def sum(self, name: str, array: mx.nd.NDArray, priority: int = 0) -> None:
        key = f"{name}-{array.dtype.__name__}-{'x'.join(map(str, array.shape))}"
        if key not in self._known:
            self.store.init(key, mx.nd.zeros_like(array))
            self._known.add(key)
        self.store.push(key, array, priority=priority)
        self.store.pull(key, array, priority=priority)

    def close(self) -> None:
        super().close()
        free(self.store)


def create_store(name: str, create: Callable[[str], Any] = mx.kv.create) -> Any:
    """Make a distributed KVStore: waits until all processes of the run have connected, within a time limit.

    Parameters
    ----------
    name : str
        As ``mxnet.kv.create`` takes it.
    create : callable, optional
        What makes it.

    Returns
    -------
    mxnet.kvstore.KVStore
        Pass it to :func:`free` at the end.

    Raises
    ------
    PluginError
        If a variable of the parameter server is missing or wrong.
    """
    leave = join()
    store = create(name)
    _leave[id(store)] = leave
    return store


def free(store: Any) -> None:
    """Disconnect from the servers of a distributed KVStore now: when the interpreter exits, it can be too late.

    Parameters
    ----------
    store : mxnet.kvstore.KVStore
        Cannot be used any more.
    """
    mx.nd.waitall()
    _leave.pop(id(store), lambda: None)()
    store.__del__()
    store.handle = type(store.handle)()  # a handle that MXNet frees without effect
