"""Makes a process end with the launcher that started it.

The launcher starts each of its processes as ``python follow.py PROGRAM ARGUMENT ...``: before anything that takes time,
the process asks for its death signal and makes sure that the launcher is still there. The program ``-`` is this
package's own command line, which then runs in the same process. This file imports nothing but the standard library.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from typing import List

# Set by the launcher of this program for all ranks: its process number, and when it started.
LAUNCHER = "GLUONNLP_SNLI_LAUNCHER"

_SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_INTERVAL = 0.5  # seconds between two looks at a launcher that is not the parent


def identity(process: int) -> str:
    """What tells a process from all others: its number, and when it started.

    Returns
    -------
    str
        Empty if there is no such process, or it has ended.
    """
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            # After the name, which is in parentheses and may hold anything: state, parent, ..., start time.
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else f"{process}:{fields[19]}"


def follow_parent() -> None:
    """Let this process, and those it forks, die with the process that started them."""
    _ask_for_death_signal()
    forking = [os.getpid()]

    def follow() -> None:
        _ask_for_death_signal()
        if os.getppid() != forking[0]:
            os._exit(1)
        forking[0] = os.getpid()

    os.register_at_fork(after_in_child=follow)


def follow_launcher(launcher: str) -> None:
    """Let this process, and those it forks, die with the launcher, whether or not that is the parent.

    Parameters
    ----------
    launcher : str
        Its :func:`identity`.
    """
    follow_parent()
    process = int(launcher.partition(":")[0])
    if identity(process) != launcher:
        os._exit(1)
    if os.getppid() != process:  # horovodrun and a shell are in between, which may outlive it
        threading.Thread(target=_watch, args=(process, launcher), daemon=True).start()


def _watch(process: int, launcher: str) -> None:
    while identity(process) == launcher:
        time.sleep(_INTERVAL)
    os.kill(os.getpid(), signal.SIGKILL)


def _ask_for_death_signal() -> None:
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)


def _main(arguments: List[str]) -> None:
    follow_launcher(os.environ[LAUNCHER])
    if arguments[0] != "-":
        os.execv(arguments[0], arguments)
    # The folder of the package, not that of this file, nor the current one, whose modules could stand in for any other.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from gluonnlp_snli_plugin.cli import main

    sys.exit(main(arguments[1:]))


if __name__ == "__main__":
    _main(sys.argv[1:])
