"""Starts the ranks of a run on this machine, watches them, and leaves no process behind, however the run ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

from ..errors import TIME_IS_UP, PluginError, Stopped, UsageError
from ..system.files import workspace
from . import processes
from .connection import LOOPBACK, hold_port
from .horovod_run import start_horovod
from .place import COORDINATOR, HAS_LOST_ANOTHER, HAS_SAID_WHY, NUM_RANKS, NUMBER, RANK, require_jax
from .processes import ALIVE, FOLLOW, Failure, end, no_process_left, rank_environment, start, wait

_COMMAND = [*FOLLOW, "-"]  # the command line of this program
_GRACE = 2.0  # seconds: ranks that fail together are reported as one


def launch(arguments: List[str], num_ranks: int, backend: str, port: Optional[int] = None) -> int:
    """Run a command of this program on several ranks and wait for all of them.

    Rank 0 writes to this process's output, and ranks have no input. The standard error of other ranks is shown only on
    failure.

    Parameters
    ----------
    arguments : list of str
        Arguments of ``gluonnlp-snli``; each rank gets the same.
    num_ranks : int
    backend : {'dist_sync', 'horovod', 'jax'}
    port : int or None
        Where the parameter server's scheduler listens, or rank 0 of 'jax'; default any free port.

    Returns
    -------
    int
        Exit status: 0; 2 for a usage error; that of the ranks if the run was stopped.

    Raises
    ------
    UsageError
        If the port is in use, or JAX is needed and not installed.
    PluginError
        If a rank failed; names it. The others have been stopped then.
    """
    starts: Dict[str, Callable[..., Any]] = {
        "dist_sync": _start_parameter_server,
        "horovod": start_horovod,
        "jax": _start_jax,
    }
    command = [*_COMMAND, *arguments]
    with _Signals() as signals, no_process_left(), workspace() as folder:
        followed = signals.followed = starts[backend](command, num_ranks, port, folder)
        try:
            failure = followed.wait()
        finally:
            followed.stop()
    if failure is None:
        return 0
    sys.stderr.write(failure.output)
    sys.stderr.flush()
    if signals.number:
        return 128 + signals.number
    if failure.status in (2, HAS_SAID_WHY, TIME_IS_UP):
        return 1 if failure.status == HAS_SAID_WHY else failure.status
    raise PluginError(f"rank {failure.rank} of {num_ranks} {_how(failure.status)}; the run has been stopped")


@contextlib.contextmanager
def alive(rank: Optional[int]) -> Iterator[None]:
    """Let the launcher know that this process is a rank, until it ends in any way but a sudden one."""
    folder = os.environ.get(ALIVE)
    entry = Path(folder, f"alive-{rank}") if folder and os.path.isdir(folder) else None
    if entry:
        entry.write_text(str(os.getpid()))
    try:
        yield
    finally:
        if entry:
            with contextlib.suppress(FileNotFoundError):
                entry.unlink()


class _Signals:
    """Passes the first SIGINT or SIGTERM on to the ranks, which may have something to save; at a second one, and before
    there are ranks, everything is ended at once. A context manager.

    Attributes
    ----------
    followed : _Processes or HorovodRun
    number : int
        Of the signal, 0 if there was none.
    """

    def __init__(self) -> None:
        self.followed: Any = None
        self.number = 0

    def __enter__(self) -> "_Signals":
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: Any) -> None:
        if self.number or not self.followed:
            raise Stopped("interrupted", 128 + number)
        self.number = number
        for process in self.followed.ranks():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def _how(status: Optional[int]) -> str:
    if status is None:
        return "died"
    if status == HAS_LOST_ANOTHER:
        return "has lost the connection to another"
    if status < 0:
        names = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"was killed by signal {-status}{names.get(-status, '')}"
    return f"failed with exit status {status}"


def _start_parameter_server(command: List[str], num_ranks: int, port: Optional[int], folder: Path) -> "_Processes":
    held = _hold_port(port)
    environment = {
        **rank_environment(num_ranks),
        "DMLC_PS_ROOT_URI": LOOPBACK,
        "DMLC_PS_ROOT_PORT": str(held.getsockname()[1]),
        "DMLC_NUM_WORKER": str(num_ranks),
        "DMLC_NUM_SERVER": "1",
        "DMLC_NODE_HOST": LOOPBACK,
    }
    helpers = []
    for role in ("scheduler", "server"):
        with open(folder / role, "wb") as output:
            # Importing MXNet as scheduler or server serves until the ranks are done.
            helpers.append(start(_COMMAND, {**environment, "DMLC_ROLE": role}, output, output))
    ranks = [{**environment, "DMLC_ROLE": "worker", RANK: str(rank)} for rank in range(num_ranks)]
    return _Processes(_start_ranks(command, ranks, folder), helpers, folder, held)


def _start_jax(command: List[str], num_ranks: int, port: Optional[int], folder: Path) -> "_Processes":
    require_jax("--comm jax")
    held = _hold_port(port)
    environment = {
        **rank_environment(num_ranks),
        COORDINATOR: f"{LOOPBACK}:{held.getsockname()[1]}",
        NUM_RANKS: str(num_ranks),
    }
    ranks = [{**environment, NUMBER: str(rank), RANK: str(rank)} for rank in range(num_ranks)]
    return _Processes(_start_ranks(command, ranks, folder), [], folder, held)


def _start_ranks(command: List[str], environments: List[Dict[str, str]], folder: Path) -> List[Any]:
    """Start a rank in each environment; the output of rank 0 is shown at once."""
    ranks = [start(command, environments[0])]
    for rank, environment in enumerate(environments[1:], 1):
        with open(folder / f"rank-{rank}", "wb") as errors:
            ranks.append(start(command, environment, subprocess.DEVNULL, errors))
    return ranks


def _hold_port(port: Optional[int]) -> socket.socket:
    """Hold the port that the user has named, or any that is free, until a rank or the scheduler listens there."""
    try:
        return hold_port(port or 0)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--port {port}: {reason}; give another, or none for any that is free") from None


class _Processes:
    """Ranks that are children of this process."""

    def __init__(
        self, ranks: List[Any], helpers: List[Any], folder: Path, held: Optional[socket.socket] = None
    ) -> None:
        self._ranks, self._helpers, self._folder, self._held = ranks, helpers, folder, held

    def ranks(self) -> List[int]:
        """The numbers of the ranks' processes."""
        return [process.pid for process in self._ranks if process.poll() is None]

    def wait(self) -> Optional[Failure]:
        while True:
            statuses = [process.poll() for process in self._ranks]
            if any(statuses):
                return self._failure()
            if all(status == 0 for status in statuses):
                return None
            for helper, role in zip(self._helpers, ("scheduler", "server")):
                if helper.poll():
                    raise PluginError(f"the parameter server's {role} {_how(helper.returncode)}: {self._last(role)}")
            time.sleep(0.05)

    def _failure(self) -> Failure:
        """The first rank that failed, once those that fail with it have had the time to."""
        begin = time.monotonic()
        while True:
            all_ended = all(process.poll() is not None for process in self._ranks)
            failed = {rank: process.returncode for rank, process in enumerate(self._ranks) if process.poll()}
            is_caused = set(failed.values()) == {HAS_LOST_ANOTHER}  # by one that is about to end
            patience = processes.PATIENCE if is_caused else _GRACE
            if all_ended or time.monotonic() > begin + patience:
                break
            time.sleep(0.05)
        # One that was killed, before others that gave up; those that have lost another last of all.
        rank = min(failed, key=lambda rank: (failed[rank] > 0, failed[rank] == HAS_LOST_ANOTHER, rank))
        output = "" if rank == 0 else (self._folder / f"rank-{rank}").read_text(errors="replace")
        return Failure(rank, self._ranks[rank].returncode, output)

    def _last(self, role: str) -> str:
        lines = (self._folder / role).read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")

    def stop(self) -> None:
        running = [process for process in (*self._ranks, *self._helpers) if process.poll() is None]
        if all(process.poll() == 0 for process in self._ranks):  # the servers are about to end by themselves
            wait(running)
        end(running)
        if self._held:
            self._held.close()
