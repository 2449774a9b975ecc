"""Joins the other ranks of a run through any of the backends, and leaves them."""

import multiprocessing.util
import os
import sys
import time
from typing import Callable, Dict, NoReturn, Optional

from ..errors import UsageError
from . import jax_ranks
from .horovod import Horovod
from .jax_ranks import JaxRanks
from .parameter_server import ParameterServer
from .place import default_backend, launched_backend
from .ranks import ALONE, Ranks

_RANKS: Dict[str, Callable[[], Ranks]] = {"dist_sync": ParameterServer, "horovod": Horovod, "jax": JaxRanks}


def join_ranks(backend: Optional[str]) -> Ranks:
    """Join the other ranks of this run; waits until all have joined.

    Parameters
    ----------
    backend : {'dist_sync', 'horovod', 'jax', None}
        None for a single process.

    Returns
    -------
    Ranks

    Raises
    ------
    UsageError
        If this process was not started as a rank, or JAX is not installed.
    PluginError
        If the ranks cannot meet.
    """
    if backend is None:
        return ALONE
    if launched_backend() != backend:
        raise UsageError(f"--comm {backend}: this process was not launched as a rank; add --np N")
    return _RANKS[backend]()


def require_backend(backend: Optional[str], uses_xla: bool) -> None:
    """Raise a UsageError if ranks that compute through XLA, or through MXNet, cannot meet by a backend."""
    if backend and uses_xla != (backend == default_backend(True)):
        if uses_xla:
            raise UsageError(f"--comm {backend} is for MXNet: where XLA computes, omit it or give --comm jax")
        raise UsageError(f"--comm {backend} is for computing through XLA: give --gpus or --engine xla too, or omit it")


def leave_ranks(status: int) -> NoReturn:
    """End this process at once: after a failure, MXNet would wait for the other ranks before it ends.

    Parameters
    ----------
    status : int
        Exit status.
    """
    if launched_backend() == "horovod":
        # One rank's death makes the others fail; horovodrun, which reports the first to end, must see that one first.
        time.sleep(2)
    jax_ranks.leave(status)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Threads would report workers that end while they communicate with them: nobody needs to read that.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    multiprocessing.util._exit_function()  # type: ignore[attr-defined]  # ends the workers of data loaders
    os._exit(status)
