"""This process's place among the ranks of a run, which its launcher sets in the environment."""

import importlib.util
import os
import re
from typing import Optional, Tuple

from ..errors import UsageError
from ..system.follow import LAUNCHER

BACKENDS = ("dist_sync", "horovod", "jax")
ENGINES = ("auto", "mxnet", "xla")  # what computes; auto: XLA on GPUs, MXNet on CPU

# Set by the launcher for each rank; a cluster's own launcher leaves the numbering to the parameter server.
RANK = "GLUONNLP_SNLI_RANK"

# The variables of JAX's distributed runtime: HOST:PORT of rank 0, the number of ranks, and the number of this one.
COORDINATOR, NUM_RANKS, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
# What stands for them where MPI or Slurm started the ranks. In a Slurm job, mpirun passes on Slurm's own numbers of a
# single process, so MPI comes first.
STAND_INS = {
    NUM_RANKS: ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"),
    NUMBER: ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"),
}

# Exit statuses of ranks, for this program's launcher: of one that has reported its error itself, so that the launcher
# adds nothing; and of one that ends because another has, which is the one to be named.
HAS_SAID_WHY, HAS_LOST_ANOTHER = 120, 121

_number_given: Optional[int] = None  # by the parameter server
_place_given: Optional[Tuple[int, int]] = None  # by the ranks, once they have connected


def require_jax(what: str) -> None:
    """Raise a UsageError if JAX, which something needs, is not installed."""
    if importlib.util.find_spec("jax") is None:
        raise UsageError(f"{what} needs JAX: pip install 'gluonnlp-snli-plugin[gpu]' for GPUs, or jax for CPU")


def default_backend(uses_xla: bool) -> str:
    """The backend of several ranks where the user names none.

    Parameters
    ----------
    uses_xla : bool
        Whether the ranks compute through XLA.

    Returns
    -------
    {'jax', 'dist_sync'}
    """
    return "jax" if uses_xla else "dist_sync"


def launched_backend() -> Optional[str]:
    """The backend whose launcher started this process as a rank: 'dist_sync', 'horovod', 'jax' or None."""
    if os.environ.get("DMLC_ROLE") == "worker":
        return "dist_sync"
    if "HOROVOD_RANK" not in os.environ and {COORDINATOR, NUMBER} & set(os.environ):
        return "jax"
    return "horovod" if {"HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"} & set(os.environ) else None


def known_rank() -> Optional[int]:
    """The number of this rank; 0 for a single process.

    Returns
    -------
    int or None
        None until the parameter server has numbered this rank, where a cluster's launcher leaves that to it.
    """
    backend = launched_backend()
    if backend is None:
        return 0
    names = (NUMBER, *STAND_INS[NUMBER]) if backend == "jax" else ("HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
    for name in (RANK, *names):
        if re.fullmatch("[0-9]{1,9}", os.environ.get(name, "")):
            return int(os.environ[name])
    return _number_given


def take_number(number: int) -> None:
    """Take the number that the parameter server gave this rank, where the environment sets none."""
    global _number_given
    _number_given = number


def take_place(place: Tuple[int, int]) -> None:
    """Take the place on this machine, as :func:`place_on_machine` returns it, that the ranks have agreed on."""
    global _place_given
    _place_given = place


def place_on_machine() -> Tuple[int, int]:
    """The number of this rank among those of its machine, and how many those are."""
    if _place_given is not None:
        return _place_given
    for rank, size in (("HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"), (RANK, "DMLC_NUM_WORKER"), (RANK, NUM_RANKS)) + (
        tuple((f"{prefix}_LOCAL_RANK", f"{prefix}_LOCAL_SIZE") for prefix in ("OMPI_COMM_WORLD", "MPI"))
    ):
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def is_on_first_machine() -> bool:
    """Whether this rank is known to be on the machine of rank 0, and so to find its files."""
    return LAUNCHER in os.environ or os.environ.get("HOROVOD_CROSS_RANK") == "0"
