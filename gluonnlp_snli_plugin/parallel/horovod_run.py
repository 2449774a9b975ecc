"""Starts ranks with ``horovodrun``, and reads its messages about them."""

import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import DefaultDict, Deque, Dict, List, Optional

from ..errors import PluginError, UsageError
from . import processes
from .horovod import import_horovod
from .processes import ALIVE, FOLLOW, Failure, end, rank_environment, start


def start_horovod(command: List[str], num_ranks: int, port: Optional[int], folder: Path) -> "HorovodRun":
    if port is not None:
        raise UsageError("--port is for --comm dist_sync and jax; Horovod finds one by itself")
    import_horovod()
    program = shutil.which("horovodrun", path=os.path.dirname(sys.executable)) or shutil.which("horovodrun")
    if program is None:
        raise PluginError("--comm horovod: there is no program horovodrun beside Python or on PATH")
    command = [*FOLLOW, program, "--gloo", "-np", str(num_ranks), *command]
    environment = {**rank_environment(num_ranks), ALIVE: str(folder)}
    return HorovodRun(start(command, environment, subprocess.PIPE, subprocess.STDOUT), folder)


class HorovodRun:
    """A running ``horovodrun`` and its messages; it begins each line of a rank with ``[rank]<stream>:``."""

    _LINE = re.compile(rb"\[(\d+)\]<(stdout|stderr)>:(.*)", re.DOTALL)
    _VERDICT = re.compile(r"Process name: (\d+)\s+Exit code: (-?\d+)")

    def __init__(self, process: subprocess.Popen, folder: Path) -> None:
        self._process, self._folder = process, folder
        self._own: List[str] = []  # lines of horovodrun itself
        # The last lines of each rank's errors. Those of rank 0 are shown at once, those of others on failure.
        self._errors: DefaultDict[int, Deque[str]] = collections.defaultdict(lambda: collections.deque(maxlen=1000))

    def wait(self) -> Optional[Failure]:
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        all_were_alive = time.monotonic()
        while self._process.poll() is None:
            dead = self._dead_rank()
            if dead is None:
                all_were_alive = time.monotonic()
            elif time.monotonic() > all_were_alive + processes.PATIENCE:  # horovodrun should have seen it by now
                return Failure(dead, None)
            time.sleep(0.05)
        reader.join(processes.PATIENCE)  # a process left of a rank may keep the pipe open
        return self._verdict()

    def ranks(self) -> List[int]:
        """The numbers of the ranks' processes."""
        return list(self._alive().values())

    def _alive(self) -> Dict[int, int]:
        """The process of each rank that has not announced its end."""
        found = {}
        for entry in self._folder.glob("alive-*"):
            with contextlib.suppress(OSError, ValueError):
                found[int(entry.name.rpartition("-")[2])] = int(entry.read_text())
        return found

    def _dead_rank(self) -> Optional[int]:
        """A rank that has ended without announcing it."""
        for rank, process in self._alive().items():
            if not Path("/proc", str(process)).exists():
                return rank
        return None

    def _read(self) -> None:
        for line in self._process.stdout or ():
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

    def _verdict(self) -> Optional[Failure]:
        if self._process.returncode == 0:
            return None
        own, errors = self._own, self._errors
        verdicts = [(int(rank), int(status)) for rank, status in self._VERDICT.findall("".join(own))]
        if not verdicts:
            reason = next((line.strip() for line in reversed(own) if line.strip()), "it said nothing")
            raise PluginError(f"horovodrun failed: {reason}")
        rank, status = verdicts[0][0], signed(verdicts[0][1])
        if status > 0 and errors[rank] and set(errors[rank]) <= set(errors[0]):  # failed together, of the same cause
            rank = 0
        return Failure(rank, status, "".join(errors[rank] if rank else ()))

    def stop(self) -> None:
        if self._process.poll() is None:
            end([self._process])


def signed(status: int) -> int:
    """A shell's 128 + n for a signal as minus n."""
    return 128 - status if 128 < status <= 128 + signal.SIGRTMAX else status
