"""How many OpenMP threads MXNet computes with on CPU: one for each core, unless ``OMP_NUM_THREADS`` says otherwise.

MXNet 1.9.1 reads the variable when it is loaded and takes half the processors where it is not set, as if each core were
two of them. Like :mod:`.compat`, this module has to act before MXNet is imported.
"""

import os
from pathlib import Path
from typing import Optional, Set

VARIABLE = "OMP_NUM_THREADS"


def cores():
    """How many cores this process may use; two processors of one core count once."""
    siblings: Set[str] = set()
    for processor in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            siblings.add(topology.read_text(encoding="ascii"))
        except (OSError, ValueError):
            siblings.add(str(processor))
    return len(siblings)


def choose():
    """Set the variable if nobody has; an MXNet that is loaded already does not notice."""
    global _choice
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = _choice = str(cores())


def environment_without_choice():
    """This process's environment as its user made it."""
    return {name: value for name, value in os.environ.items() if (name, value) != (VARIABLE, _choice)}


_choice: Optional[str] = None
