"""Ranks that compute through XLA and meet through ``jax.distributed``: NCCL on GPUs, Gloo on CPUs.

XLA reduces the gradients inside the compiled step. What the ranks say to each other besides goes through rank 0
(:mod:`.hub`), so that no rank waits for its device to learn it.
"""

import contextlib
import hashlib
import inspect
import logging
import os
import re
import socket
import sys
import time
from types import TracebackType
from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple, Type

import mxnet as mx
import numpy as np

from ..errors import PluginError
from .cluster import timeout
from .connection import LOOPBACK
from .hub import Hub
from .place import COORDINATOR, NUM_RANKS, NUMBER, STAND_INS, require_jax, take_place
from .ranks import Ranks

_NEVER = 10 * 24 * 3600  # seconds; the hub notices a lost rank long before JAX would
_WORD_OF_A_LOSS = 3.0  # seconds between the failure of a collective and the news of the rank that caused it

_hub: Optional[Hub] = None  # of this process, once it has met the others


class JaxRanks(Ranks):
    """The ranks of ``jax.distributed``.

    The launcher sets JAX's variables, or the user's own: ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and
    ``JAX_PROCESS_ID``. To be made before JAX is asked for its devices.

    Raises
    ------
    UsageError
        If JAX is not installed.
    PluginError
        If a variable is missing or wrong, or not all ranks come.
    """

    def __init__(self) -> None:
        global _hub
        require_jax("--comm jax")
        host, port, self.rank, self.num_ranks = _read_variables()
        import jax  # noqa: F401  # what fails here must do so before the ranks meet

        self._hub = _hub = Hub(host, port, self.rank, self.num_ranks)
        self._excepthook, sys.excepthook = sys.excepthook, self._end_with_the_others
        take_place(self._place_on_machine())
        _initialize(self._hub, self.rank, self.num_ranks)

    def sum(self, name: str, array: mx.nd.NDArray, priority: int = 0) -> None:
        values = array.asnumpy()
        parts = self._hub.collect(name, values.tobytes())
        total = b""
        if parts:
            for part in parts[1:]:
                values += np.frombuffer(part, values.dtype).reshape(values.shape)
            total = values.tobytes()
        self._set(array, self._hub.spread(name, total))

    def share(self, parameters: Iterable[mx.gluon.Parameter]) -> None:
        for parameter in parameters:
            array, *copies = parameter.list_data()
            values = array.asnumpy().tobytes() if self.rank == 0 else b""
            self._set(array, self._hub.spread(f"share-{parameter.name}", values))
            for copy in copies:
                array.copyto(copy)

    @staticmethod
    def _set(array: mx.nd.NDArray, content: bytes) -> None:
        array[:] = mx.nd.array(np.frombuffer(content, array.dtype).reshape(array.shape), dtype=array.dtype)

    def gather(self, values: Any) -> np.ndarray:
        values = np.asarray(values)
        if not values.size:
            return np.empty((self.num_ranks, *values.shape), values.dtype)
        parts = self._hub.collect("gather", values.tobytes())
        content = self._hub.spread("gather", b"".join(parts))
        return np.frombuffer(content, values.dtype).reshape((self.num_ranks, *values.shape))

    def connect(self, devices: Sequence[Any]) -> None:
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        split = NamedSharding(Mesh(np.array(list(devices)), ("all",)), PartitionSpec("all"))
        whole = NamedSharding(split.mesh, PartitionSpec())
        own = [device for device in devices if device.process_index == self.rank]
        with _standard_output_closed():
            try:
                parts = [jax.device_put(np.ones(1, np.float32), device) for device in own]
                ones = jax.make_array_from_single_device_arrays((len(devices),), split, parts)
                total = int(jax.jit(lambda array: array.sum(), out_shardings=whole)(ones))
            except Exception as error:
                self.end_if_one_is_lost()
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise PluginError(f"the devices of the ranks cannot be connected: {reason}") from None
        if total != len(devices):
            raise PluginError(f"of {len(devices)} devices of the ranks, {total} have answered")

    def close(self) -> None:
        super().close()
        import jax

        jax.distributed.shutdown()
        self.wait()
        leave(0)
        sys.excepthook = self._excepthook

    def _place_on_machine(self) -> Tuple[int, int]:
        """The number of this rank among those of its machine, and how many those are."""
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            machine = file.read() + socket.gethostname().encode()
        machines = self.gather(np.frombuffer(hashlib.sha256(machine).digest(), np.uint8))
        same = np.flatnonzero((machines == machines[self.rank]).all(axis=1)).tolist()
        return same.index(self.rank), len(same)

    def _end_with_the_others(
        self, kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]
    ) -> None:
        """End this process after an error, which is not shown where it follows from the loss of a rank."""
        self.end_if_one_is_lost()
        self._excepthook(kind, error, trace)
        leave(1)
        sys.stderr.flush()
        os._exit(1)

    def end_if_one_is_lost(self) -> None:
        while self._hub.lost.wait(_WORD_OF_A_LOSS):
            time.sleep(1)  # until the hub ends this process


def leave(status: int) -> None:
    """Tell the other ranks, if this process has met them, that it ends with an exit status."""
    global _hub
    if _hub is not None:
        _hub.leave(status)
        _hub = None


def _read_variables() -> Tuple[str, int, int, int]:
    """Host and port of rank 0, the number of this rank, and that of all."""
    found = {COORDINATOR: os.environ.get(COORDINATOR)}
    for name, stand_ins in STAND_INS.items():
        found[name] = next(filter(None, map(os.environ.get, (name, *stand_ins))), None)
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise PluginError(f"--comm jax: {', '.join(missing)} must be set too (docs/distributed.md)")
    address = re.fullmatch(r"\[?([^\[\]\s/]+?)\]?:([0-9]{1,5})", str(found[COORDINATOR]))
    if not address or not 0 < int(address[2]) < 65536:
        raise PluginError(f"{COORDINATOR} is {found[COORDINATOR]!r}; it must be HOST:PORT")
    for name in STAND_INS:
        if not re.fullmatch("[0-9]{1,9}", str(found[name])):
            raise PluginError(f"{name} is {found[name]!r}; it must be a number")
    num_ranks, rank = int(str(found[NUM_RANKS])), int(str(found[NUMBER]))
    if rank >= num_ranks:
        raise PluginError(f"{NUMBER} is {rank}; with {NUM_RANKS} {num_ranks} it must be from 0 to {num_ranks - 1}")
    return address[1], int(address[2]), rank, num_ranks


def _initialize(hub: Hub, rank: int, num_ranks: int) -> None:
    """Let JAX meet the other ranks."""
    import jax

    logging.getLogger("jax._src.distributed").setLevel(logging.WARNING)  # a script may show what is less
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    with contextlib.suppress(AttributeError):  # of an older JAX
        jax.config.update("jax_enable_preemption_service", False)  # which would take SIGTERM from this program
    with contextlib.suppress(AttributeError):
        jax.config.update("jax_check_proxy_envs", False)  # nothing of JAX leaves the loopback interface
    os.environ["no_grpc_proxy"] = LOOPBACK  # noqa: SIM112  # as gRPC reads it
    options: Dict[str, Any] = {
        "coordinator_bind_address": f"{LOOPBACK}:{hub.service_port}" if rank == 0 else None,
        "initialization_timeout": int(timeout()) + 1,
        "heartbeat_timeout_seconds": _NEVER,
        "cluster_detection_method": "deactivate",  # the variables have been read
    }
    known = inspect.signature(jax.distributed.initialize).parameters
    options = {name: value for name, value in options.items() if name in known and value is not None}
    jax.distributed.initialize(f"{LOOPBACK}:{hub.tunnel()}", num_ranks, rank, **options)


@contextlib.contextmanager
def _standard_output_closed() -> Iterator[None]:
    """Drop what C++ prints: Gloo reports its connections on standard output."""
    sys.stdout.flush()
    saved = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
