"""Who computes: the only module that knows how many devices, processes and machines there are.

A *rank* is one process of a run. Each computes on devices of its own and on pairs of its own; :class:`Ranks` is what
the ranks of a run say to each other, through MXNet's parameter server (``dist_sync``) or Horovod.
"""

import multiprocessing.util
import os
import re
import sys
import time
from typing import Callable, Dict, List, Optional

import mxnet as mx
import numpy as np

from ..errors import PluginError, UsageError
from ..system.follow import LAUNCHER
from .cluster import join

BACKENDS = ("dist_sync", "horovod")

# Set by the launcher for each rank; a cluster's own launcher leaves the numbering to the parameter server.
RANK = "GLUONNLP_SNLI_RANK"

# With which a rank tells this program's launcher that its own message says it all.
HAS_SAID_WHY = 120

_TABLE = 4096  # rows from which on a gradient may be that of a table of which a batch uses little
_ROWS_AT_ONCE = 512

_leave: Dict[int, Callable[[], None]] = {}  # by the id of a distributed store: what is called before it is freed

SEED_STEP = 7919  # between the seeds of two ranks


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

    def of_rank(self, rank, num_ranks):
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

    def split(self, batch):
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


def launched_backend():
    """The backend whose launcher started this process as a rank: 'dist_sync', 'horovod' or None."""
    if os.environ.get("DMLC_ROLE") == "worker":
        return "dist_sync"
    return "horovod" if {"HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"} & set(os.environ) else None


def known_rank():
    """The number of this rank; 0 for a process that is alone.

    Returns
    -------
    int or None
        None where a cluster's launcher leaves the numbering to the parameter server, which this rank has yet to meet.
    """
    if launched_backend() is None:
        return 0
    for name in (RANK, "HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        if name in os.environ:
            return int(os.environ[name])
    return ParameterServer.number_given


def place_on_machine():
    """The number of this rank among those of its machine, and how many those are."""
    for rank, size in (("HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"), (RANK, "DMLC_NUM_WORKER")) + tuple(
        (f"{prefix}_LOCAL_RANK", f"{prefix}_LOCAL_SIZE") for prefix in ("OMPI_COMM_WORLD", "MPI")
    ):
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def is_on_first_machine():
    """Whether this rank is known to be on the machine of rank 0, and so to find its files."""
    return LAUNCHER in os.environ or os.environ.get("HOROVOD_CROSS_RANK") == "0"


def join_ranks(backend):
    """Meet the other ranks of this run; waits until all are there.

    Parameters
    ----------
    backend : {'dist_sync', 'horovod', None}
        None for a process that is alone.

    Returns
    -------
    Ranks

    Raises
    ------
    UsageError
        If this process was not started as a rank, or Horovod is not installed.
    """
    if backend is None:
        return ALONE
    if launched_backend() != backend:
        raise UsageError(f"--comm {backend}: this process was not launched as a rank; add --np N")
    return ParameterServer() if backend == "dist_sync" else Horovod()


def leave_ranks(status):
    """End this process at once: after a failure, MXNet would wait for the other ranks before it ends.

    Parameters
    ----------
    status : int
        Exit status.
    """
    if launched_backend() == "horovod":
        # One rank's death makes the others fail; horovodrun, which tells who ended first, must see the dead one first.
        time.sleep(2)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # All has been said, but for what threads would say about workers that end while they talk to them.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    multiprocessing.util._exit_function()  # type: ignore[attr-defined]  # ends the workers of data loaders
    os._exit(status)


class Ranks:
    """A process that is alone; base class of those that have company.

    Every method but the constructor is called by all ranks alike, and in the same order.

    Attributes
    ----------
    rank, num_ranks : int
    """

    rank = 0
    num_ranks = 1

    def sum(self, name, array, priority=0):
        """Replace `array` by its sum over the ranks, in the background.

        Parameters
        ----------
        name : str
            What `array` is.
        array : NDArray
            Always the same for one name, unless somebody has waited for its sum in between.
        priority : int, default 0
            Higher goes first.
        """

    def average(self, gradients, name="gradient"):
        """Replace gradients by their mean over the ranks.

        Parameters
        ----------
        gradients : list of list of NDArray
            For each parameter its gradient on the devices of this rank, alike on all of them.
        name : str
            Another for other parameters.
        """
        if self.num_ranks == 1:
            return
        tables = [i for i, (array, *_) in enumerate(gradients) if array.ndim == 2 and len(array) >= _TABLE]
        # The first layers' gradients are known last; what can be sent meanwhile is sent first.
        for i in sorted(range(len(gradients)), key=lambda i: (i in tables, -i)):
            array, *copies = gradients[i]
            (self.sum_rows if i in tables else self.sum)(f"{name}-{i}", array)
            array /= self.num_ranks
            for copy in copies:
                array.copyto(copy)

    def sum_rows(self, name, array):
        """Replace `array`, a table, by its sum over the ranks, and send only the rows that are not zero on all of them.

        A batch has some hundred words of a vocabulary of thirty thousand, so that nearly all rows of the gradient of a
        word embedding are zero, and such an embedding is half of a small BERT.

        Parameters
        ----------
        name : str
        array : NDArray, shape (rows, columns)
        """
        is_used = mx.nd.array(_as_numpy(array).any(axis=1), array.context)
        self.sum(f"{name}-used", is_used)
        rows = np.flatnonzero(is_used.asnumpy())
        size = -(-len(rows) // _ROWS_AT_ONCE) * _ROWS_AT_ONCE  # few different shapes
        if size >= len(array) // 2:
            self.sum(name, array)
        elif size:
            index = mx.nd.array(np.resize(rows, size), array.context, dtype="int32")
            part = mx.nd.take(array, index)
            self.sum(f"{name}-{size}-rows", part)
            array[index] = part
            array.wait_to_read()

    def share(self, parameters):
        """Give parameters the values they have on rank 0.

        Parameters
        ----------
        parameters : iterable of gluon.Parameter
            Initialized ones.
        """
        if self.num_ranks == 1:
            return
        for parameter in parameters:
            array, *copies = parameter.list_data()
            if self.rank > 0:
                array[:] = 0
            self.sum(f"share-{parameter.name}", array)
            for copy in copies:
                array.copyto(copy)

    def add_up(self, name, values):
        """The sum of `values`, a float32 array of one shape, over the ranks."""
        total = mx.nd.array(values, dtype=np.float32)
        self.sum(name, total)
        return total.asnumpy()

    def gather(self, values):
        """The values of all ranks.

        Parameters
        ----------
        values : array_like
            Of the same shape and type on all ranks.

        Returns
        -------
        ndarray, shape (num_ranks, ...)
        """
        values = np.asarray(values)
        if self.num_ranks == 1:
            return values[None]
        if not values.size:
            return np.empty((self.num_ranks, *values.shape), values.dtype)
        # Bytes as small whole numbers: what floating-point addition keeps exactly.
        content = np.frombuffer(values.tobytes(), np.uint8)
        table = mx.nd.zeros((self.num_ranks, len(content)))
        table[self.rank] = mx.nd.array(content, dtype=np.float32)
        self.sum(f"gather-{len(content)}", table)
        rows = table.asnumpy().astype(np.uint8)
        return np.frombuffer(rows.tobytes(), values.dtype).reshape((self.num_ranks, *values.shape))

    def wait(self):
        """Wait until all ranks have come here."""
        mx.nd.waitall()
        self.gather(np.zeros(1, np.uint8))

    def close(self):
        """Part from the other ranks, at the end of a run that succeeded; waits for all of them."""
        self.wait()


ALONE = Ranks()


class _DLPack:
    """What NumPy asks for the memory of an NDArray on the CPU."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **kwargs):
        return self._array.to_dlpack_for_read()

    def __dlpack_device__(self):
        return 1, 0


def _as_numpy(array):
    """The values of an NDArray, not copied where that can be: a copy of that size costs more than looking at it."""
    if array.context.device_type == "cpu" and hasattr(np, "from_dlpack"):
        return np.from_dlpack(_DLPack(array))
    return array.asnumpy()


class ParameterServer(Ranks):
    """The ranks of MXNet's parameter server, which every wheel of MXNet has.

    The launcher, or a cluster's own, sets its variables (``DMLC_ROLE``, ``DMLC_PS_ROOT_URI``, ...).

    Attributes
    ----------
    store : mxnet.kvstore.KVStore
    """

    number_given = None

    def __init__(self):
        self.store = create_store("dist_sync")
        ParameterServer.number_given = self.store.rank
        self.rank = known_rank()
        self.num_ranks = self.store.num_workers
        self._known = set()

    def sum(self, name, array, priority=0):
        key = f"{name}-{array.dtype.__name__}-{'x'.join(map(str, array.shape))}"
        if key not in self._known:
            self.store.init(key, mx.nd.zeros_like(array))
            self._known.add(key)
        self.store.push(key, array, priority=priority)
        self.store.pull(key, array, priority=priority)

    def close(self):
        super().close()
        free(self.store)


def create_store(name, create=mx.kv.create):
    """Make a distributed KVStore: waits until all processes of the run have met, but not for ever.

    Parameters
    ----------
    name : str
        As ``mxnet.kv.create`` takes it.
    create : callable, optional
        What makes it.

    Returns
    -------
    mxnet.kvstore.KVStore
        To be given to :func:`free` at the end.

    Raises
    ------
    PluginError
        If a variable of the parameter server is missing or wrong.
    """
    leave = join()
    store = create(name)
    _leave[id(store)] = leave
    return store


def free(store):
    """Part from the servers of a distributed KVStore now: at the interpreter's end it can be too late for that.

    Parameters
    ----------
    store : mxnet.kvstore.KVStore
        Cannot be used any more.
    """
    mx.nd.waitall()
    _leave.pop(id(store), lambda: None)()
    store.__del__()
    store.handle = type(store.handle)()  # what MXNet frees without effect


class Horovod(Ranks):
    """The ranks of Horovod, started by ``horovodrun``."""

    def __init__(self):
        self._horovod = import_horovod()
        self._horovod.init()
        self.rank = self._horovod.rank()
        self.num_ranks = self._horovod.size()

    def sum(self, name, array, priority=0):
        self._horovod.allreduce_(array, op=self._horovod.Sum, name=name, priority=priority)


def import_horovod():
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
