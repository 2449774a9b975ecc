"""Starts and ends the processes of a run on this machine, and leaves none behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set

from ..system import follow, threads

FOLLOW = [sys.executable, follow.__file__]  # before the command line of a program that must end with this process
ALIVE = "GLUONNLP_SNLI_ALIVE"  # names the folder in which ranks say that they are alive
PATIENCE = 5.0  # seconds between asking a process to end and killing it
_SET_CHILD_SUBREAPER = 36  # of prctl(2)


class Failure:
    """The rank whose failure ended a run.

    Attributes
    ----------
    rank : int
    status : int
        Exit status, or minus the number of the signal; None if unknown.
    output : str
        What it wrote on standard error, if that has not been shown yet.
    """

    def __init__(self, rank: int, status: Optional[int], output: str = "") -> None:
        self.rank, self.status, self.output = rank, status, output


def rank_environment(num_ranks: int) -> Dict[str, str]:
    """Variables for all ranks, unless the user has said otherwise; each gets its share of the cores."""
    share = str(max(1, threads.cores() // num_ranks))
    defaults = {
        "OMP_NUM_THREADS": share,
        "NPROC": share,  # the number of cores, to XLA
        "PYTHONUNBUFFERED": "1",
        "HOROVOD_CYCLE_TIME": "10",  # milliseconds; its default, 1, is too often for a core that also computes
    }
    return {**defaults, **os.environ, follow.LAUNCHER: follow.identity(os.getpid())}


def start(command: List[str], environment: Dict[str, str], output: Any = None, errors: Any = None) -> Any:
    """Start a process in a session of its own: Ctrl-C reaches the launcher alone, which then ends the others."""
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
    )


@contextlib.contextmanager
def no_process_left() -> Iterator[None]:
    """End every process that was started inside, and those that these started, orphans included."""
    _prctl(_SET_CHILD_SUBREAPER, 1)  # orphans become children of this process
    before = descendants()
    try:
        yield
    finally:
        while True:  # until none has started another before it ended
            left = descendants() - before
            if not left:
                break
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            for process in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process, 0)
        _prctl(_SET_CHILD_SUBREAPER, 0)


def parents() -> Dict[int, int]:
    """The parent of each process of this machine, by process number."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which is in parentheses and may hold anything: state, parent, ...
            found[int(entry.parent.name)] = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
    return found


def descendants() -> Set[int]:
    parent_of, found = parents(), {os.getpid()}
    while True:
        more = {process for process, parent in parent_of.items() if parent in found} - found
        if not more:
            return found - {os.getpid()}
        found |= more


def wait(processes: Iterable[Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def end(processes: List[Any]) -> None:
    for process in processes:
        process.terminate()
    wait(processes)
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def _prctl(operation: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(operation, int(value), 0, 0, 0)
