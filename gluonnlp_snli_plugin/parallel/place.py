"""This process's place among the ranks of a run, as its launcher says in the environment."""

import os
from typing import Optional, Tuple

from ..system.follow import LAUNCHER

BACKENDS = ("dist_sync", "horovod")

# Set by the launcher for each rank; a cluster's own launcher leaves the numbering to the parameter server.
RANK = "GLUONNLP_SNLI_RANK"

# With which a rank tells this program's launcher that its own message says it all.
HAS_SAID_WHY = 120

_number_given: Optional[int] = None  # by the parameter server


def launched_backend() -> Optional[str]:
    """The backend whose launcher started this process as a rank: 'dist_sync', 'horovod' or None."""
    if os.environ.get("DMLC_ROLE") == "worker":
        return "dist_sync"
    return "horovod" if {"HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"} & set(os.environ) else None


def known_rank() -> Optional[int]:
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
    return _number_given


def take_number(number: int) -> None:
    """Be the rank of a number that the parameter server gave, where the environment says none."""
    global _number_given
    _number_given = number


def place_on_machine() -> Tuple[int, int]:
    """The number of this rank among those of its machine, and how many those are."""
    for rank, size in (("HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"), (RANK, "DMLC_NUM_WORKER")) + tuple(
        (f"{prefix}_LOCAL_RANK", f"{prefix}_LOCAL_SIZE") for prefix in ("OMPI_COMM_WORLD", "MPI")
    ):
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def is_on_first_machine() -> bool:
    """Whether this rank is known to be on the machine of rank 0, and so to find its files."""
    return LAUNCHER in os.environ or os.environ.get("HOROVOD_CROSS_RANK") == "0"
