"""Starts the ranks of a run on this machine, follows them, and leaves no process behind, however the run ends."""

import collections
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import DefaultDict, Deque, List

from ..errors import TIME_IS_UP, PluginError, Stopped, UsageError
from ..system import follow, threads
from ..system.temporary import temporary_folder
from .comm import HAS_SAID_WHY, RANK, import_horovod

_SET_CHILD_SUBREAPER = 36  # of prctl(2)
_FOLLOW = [sys.executable, follow.__file__]  # before a program that is to end with this process
_COMMAND = [*_FOLLOW, "-"]  # the command line of this program
_ALIVE = "GLUONNLP_SNLI_ALIVE"  # names the folder in which ranks say that they are alive
_GRACE = 2.0  # seconds: ranks that fail together are reported as one
_PATIENCE = 5.0  # seconds between asking a process to end and making it


def launch(arguments, num_ranks, backend, port=None):
    """Run a command of this program on several ranks and wait for all of them.

    Rank 0 has this process's output, and no rank an input. What the others write on standard error is shown where they
    fail.

    Parameters
    ----------
    arguments : list of str
        Arguments of ``gluonnlp-snli``; each rank gets the same.
    num_ranks : int
    backend : {'dist_sync', 'horovod'}
    port : int or None
        Where the parameter server's scheduler listens, default any free port.

    Returns
    -------
    int
        Exit status: 0; 2 for a request that makes no sense; what a run that was told to stop ends with.

    Raises
    ------
    UsageError
        If the port is in use.
    PluginError
        If a rank failed; names it. The others have been stopped then.
    """
    start = _start_horovod if backend == "horovod" else _start_parameter_server
    command = [*_COMMAND, *arguments]
    with _Signals() as signals, _no_process_left(), temporary_folder() as folder:
        followed = signals.followed = start(command, num_ranks, port, folder)
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
def alive(rank):
    """Let the launcher know that this process is a rank, until it leaves in whatever way but a sudden death."""
    folder = os.environ.get(_ALIVE)
    entry = Path(folder, f"alive-{rank}") if folder and os.path.isdir(folder) else None
    if entry:
        entry.write_text(str(os.getpid()))
    try:
        yield
    finally:
        if entry:
            with contextlib.suppress(FileNotFoundError):
                entry.unlink()


class _Failure:
    """The rank whose failure ended a run.

    Attributes
    ----------
    rank : int
    status : int
        Exit status, or minus the number of the signal; None if nobody knows.
    output : str
        What it wrote on standard error, if nobody has seen that yet.
    """

    def __init__(self, rank, status, output=""):
        self.rank, self.status, self.output = rank, status, output


def _how(status):
    if status is None:
        return "died"
    if status < 0:
        names = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"was killed by signal {-status}{names.get(-status, '')}"
    return f"failed with exit status {status}"


# MXNet's parameter server ---------------------------------------------------------------------------------------------


def _start_parameter_server(command, num_ranks, port, folder):
    environment = {
        **_rank_environment(num_ranks),
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(_free_port(port)),
        "DMLC_NUM_WORKER": str(num_ranks),
        "DMLC_NUM_SERVER": "1",
        "DMLC_NODE_HOST": "127.0.0.1",
    }
    helpers = []
    for role in ("scheduler", "server"):
        with open(folder / role, "wb") as output:
            # Importing MXNet as scheduler or server serves until the ranks are done.
            helpers.append(_start(_COMMAND, {**environment, "DMLC_ROLE": role}, output, output))
    ranks = []
    for rank in range(num_ranks):
        rank_environment = {**environment, "DMLC_ROLE": "worker", RANK: str(rank)}
        if rank == 0:
            ranks.append(_start(command, rank_environment))
            continue
        with open(folder / f"rank-{rank}", "wb") as errors:
            ranks.append(_start(command, rank_environment, subprocess.DEVNULL, errors))
    return _Processes(ranks, helpers, folder)


def _start(command, environment, output=None, errors=None):
    """Start a process in a session of its own: Ctrl-C reaches the launcher alone, which then ends the others."""
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
    )


def _free_port(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port or 0))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"--port {port}: {reason}; give another, or none for any that is free") from None
        return probe.getsockname()[1]


class _Processes:
    """Ranks that are children of this process."""

    def __init__(self, ranks, helpers, folder):
        self._ranks, self._helpers, self._folder = ranks, helpers, folder

    def ranks(self):
        """The numbers of the ranks' processes."""
        return [process.pid for process in self._ranks if process.poll() is None]

    def wait(self):
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

    def _failure(self):
        """The first rank that failed, once those that fail with it have had the time to."""
        deadline = time.monotonic() + _GRACE
        while any(process.poll() is None for process in self._ranks) and time.monotonic() < deadline:
            time.sleep(0.05)
        failed = {rank: process.returncode for rank, process in enumerate(self._ranks) if process.poll()}
        rank = min(failed, key=lambda rank: (failed[rank] > 0, rank))  # one that was killed, before others that gave up
        output = "" if rank == 0 else (self._folder / f"rank-{rank}").read_text(errors="replace")
        return _Failure(rank, self._ranks[rank].returncode, output)

    def _last(self, role):
        lines = (self._folder / role).read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")

    def stop(self):
        running = [process for process in (*self._ranks, *self._helpers) if process.poll() is None]
        if all(process.poll() == 0 for process in self._ranks):  # the servers are about to end by themselves
            _wait(running)
        _end(running)


# Horovod --------------------------------------------------------------------------------------------------------------


def _start_horovod(command, num_ranks, port, folder):
    if port is not None:
        raise UsageError("--port is for --comm dist_sync; Horovod finds one by itself")
    import_horovod()
    program = shutil.which("horovodrun", path=os.path.dirname(sys.executable)) or shutil.which("horovodrun")
    if program is None:
        raise PluginError("--comm horovod: there is no program horovodrun beside Python or on PATH")
    command = [*_FOLLOW, program, "--gloo", "-np", str(num_ranks), *command]
    environment = {**_rank_environment(num_ranks), _ALIVE: str(folder)}
    return _HorovodRun(_start(command, environment, subprocess.PIPE, subprocess.STDOUT), folder)


class _HorovodRun:
    """``horovodrun`` and what it tells about its ranks; it begins each of their lines with ``[rank]<stream>:``."""

    _LINE = re.compile(rb"\[(\d+)\]<(stdout|stderr)>:(.*)", re.DOTALL)
    _VERDICT = re.compile(r"Process name: (\d+)\s+Exit code: (-?\d+)")

    def __init__(self, process, folder):
        self._process, self._folder = process, folder
        self._own: List[str] = []  # lines of horovodrun itself
        # The last lines of each rank's errors. Those of rank 0 are shown at once, of others where they fail.
        self._errors: DefaultDict[int, Deque[str]] = collections.defaultdict(lambda: collections.deque(maxlen=1000))

    def wait(self):
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        all_were_alive = time.monotonic()
        while self._process.poll() is None:
            dead = self._dead_rank()
            if dead is None:
                all_were_alive = time.monotonic()
            elif time.monotonic() > all_were_alive + _PATIENCE:  # horovodrun should have seen it by now
                return _Failure(dead, None)
            time.sleep(0.05)
        reader.join(_PATIENCE)  # whoever is left of a rank may hold on to the pipe
        return self._verdict()

    def ranks(self):
        """The numbers of the ranks' processes."""
        return list(self._alive().values())

    def _alive(self):
        """The process of each rank that has not said that it leaves."""
        found = {}
        for entry in self._folder.glob("alive-*"):
            with contextlib.suppress(OSError, ValueError):
                found[int(entry.name.rpartition("-")[2])] = int(entry.read_text())
        return found

    def _dead_rank(self):
        """A rank that is gone and had no time to say so."""
        for rank, process in self._alive().items():
            if not Path("/proc", str(process)).exists():
                return rank
        return None

    def _read(self):
        for line in self._process.stdout:
            match = self._LINE.match(line)
            if match is None:
                self._own.append(line.decode(errors="replace"))
                continue
            rank, stream, text = int(match[1]), match[2], match[3]
            if text == b"Terminated\n":  # a rank's shell about its end
                continue
            if stream == b"stderr":
                self._errors[rank].append(text.decode(errors="replace"))
            if rank == 0:
                target = (sys.stdout if stream == b"stdout" else sys.stderr).buffer
                target.write(text)
                target.flush()

    def _verdict(self):
        if self._process.returncode == 0:
            return None
        own, errors = self._own, self._errors
        verdicts = [(int(rank), int(status)) for rank, status in self._VERDICT.findall("".join(own))]
        if not verdicts:
            reason = next((line.strip() for line in reversed(own) if line.strip()), "it said nothing")
            raise PluginError(f"horovodrun failed: {reason}")
        rank, status = verdicts[0][0], _signed(verdicts[0][1])
        if status > 0 and errors[rank] and set(errors[rank]) <= set(errors[0]):  # failed together, of the same cause
            rank = 0
        return _Failure(rank, status, "".join(errors[rank] if rank else ()))

    def stop(self):
        if self._process.poll() is None:
            _end([self._process])


def _signed(status):
    """A shell's 128 + n for a signal as minus n."""
    return 128 - status if 128 < status <= 128 + signal.SIGRTMAX else status


# Processes ------------------------------------------------------------------------------------------------------------


def _rank_environment(num_ranks):
    """Variables for all ranks, unless the user has said otherwise; each gets its share of the cores."""
    defaults = {
        "OMP_NUM_THREADS": str(max(1, threads.cores() // num_ranks)),
        "PYTHONUNBUFFERED": "1",
        "HOROVOD_CYCLE_TIME": "10",  # milliseconds; its default, 1, is too often for a core that also computes
    }
    return {**defaults, **os.environ, follow.LAUNCHER: follow.identity(os.getpid())}


class _Signals:
    """Passes the first SIGINT or SIGTERM on to the ranks, which may have something to save; at a second one, and before
    there are ranks, everything is ended at once. A context manager.

    Attributes
    ----------
    followed : _Processes or _HorovodRun
    number : int
        Of the signal, 0 if there was none.
    """

    def __init__(self):
        self.followed, self.number = None, 0

    def __enter__(self):
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number, frame):
        if self.number or not self.followed:
            raise Stopped("interrupted", 128 + number)
        self.number = number
        for process in self.followed.ranks():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


@contextlib.contextmanager
def _no_process_left():
    """End every process that was started inside, and those that these started, orphans included."""
    _prctl(_SET_CHILD_SUBREAPER, 1)  # orphans become children of this process
    before = _descendants()
    try:
        yield
    finally:
        while True:  # until nobody has started another before its own end
            left = _descendants() - before
            if not left:
                break
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            for process in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process, 0)
        _prctl(_SET_CHILD_SUBREAPER, 0)


def _parents():
    """The parent of each process of this machine, by process number."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which is in parentheses and may hold anything: state, parent, ...
            parents[int(entry.parent.name)] = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
    return parents


def _descendants():
    parents, found = _parents(), {os.getpid()}
    while True:
        more = {process for process, parent in parents.items() if parent in found} - found
        if not more:
            return found - {os.getpid()}
        found |= more


def _wait(processes):
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _end(processes):
    for process in processes:
        process.terminate()
    _wait(processes)
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def _prctl(operation, value):
    ctypes.CDLL(None, use_errno=True).prctl(operation, int(value), 0, 0, 0)
