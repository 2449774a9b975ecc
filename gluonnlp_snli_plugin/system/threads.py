"""OpenMP's threads: how many compute a net of this project on CPU, and how long they wait awake for more work.

MXNet 1.9.1 by itself takes half the processors, as if each core were two of them. Importing this package leaves that,
and the environment, as they are; what computes a net of ours calls :func:`use_cores`, and then there is a thread for
each core, unless the user has said how many.
"""

import contextlib
import ctypes
import functools
import math
import os
import re
import threading
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional, Set, Tuple, Union

VARIABLE = "OMP_NUM_THREADS"
_WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_forked_thread: Optional[int] = None  # the first one of this process, if it was forked


@contextlib.contextmanager
def short_waits() -> Iterator[None]:
    """Let threads of an OpenMP library (libgomp) that is loaded meanwhile go to sleep soon when they have no work.

    By default they look for work 300,000 times, for milliseconds, and where other processes want the processors too,
    these are milliseconds in which the thread that everything waits for does not run: a step of training then takes
    several times as long. 1,000 times is what the library itself does where it has more threads than processors. The
    user's own settings stay.
    """
    if any(variable in os.environ for variable in _WAITING):
        yield
        return
    os.environ[_WAITING[0]] = "1000"
    try:
        yield
    finally:
        del os.environ[_WAITING[0]]


def number() -> int:
    """How many threads to compute with: what ``OMP_NUM_THREADS`` says, or :func:`cores`."""
    said = os.environ.get(VARIABLE, "")
    return int(said) if said.isdigit() and int(said) else cores()


def usable(count: int) -> int:
    """`count`, or 1 in a thread that was forked: OpenMP believes that it has others besides, but these are lost."""
    return 1 if threading.get_ident() == _forked_thread else count


def cores() -> int:
    """How many cores this process may use: two processors of one core count once, and limits of containers count."""
    siblings: Set[str] = set()
    for processor in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            siblings.add(topology.read_text(encoding="ascii"))
        except (OSError, ValueError):
            siblings.add(str(processor))
    return max(1, math.ceil(min(len(siblings), cpu_quota())))


def cpu_quota(root: Union[str, "os.PathLike[str]"] = "/") -> float:
    """How many processors' time this process gets: the least of what its control groups permit, or infinity.

    Parameters
    ----------
    root : str or Path, default '/'
        Where /proc and the file systems of control groups are found.

    Returns
    -------
    float
    """
    return min((quota for group in _control_groups(Path(root)) for quota in _quotas(group)), default=math.inf)


def use_cores(contexts: Iterable[Any]) -> None:
    """Let MXNet compute on these devices with :func:`number` threads from now on; GPUs are ignored.

    Parameters
    ----------
    contexts : iterable of Context
    """
    devices = {(context.device_typeid, context.device_id) for context in contexts if context.device_type == "cpu"}
    if not _devices:
        os.register_at_fork(after_in_parent=_set_numbers)
    _devices.update(devices)
    _set_numbers()


_devices: Set[Tuple[int, int]] = set()  # on which all cores are used


def _set_numbers() -> None:
    """Tell the threads of MXNet's engine; around a fork, which data loaders do, it ends them and starts new ones."""
    from mxnet.base import _LIB, check_call

    for device in _devices:
        # OpenMP keeps the number for each thread, so the thread of the engine that computes on the device sets it.
        no_variables = (None, 0) * 2
        push = _LIB.MXEnginePushSync
        check_call(
            push(_set_number(number()), None, None, (ctypes.c_int * 2)(*device), *no_variables, None, 0, b"threads")
        )
    # Until the engine has called back into Python, a fork would wait forever: MXNet lets its engine finish first, and
    # the thread that forks has what the call back needs, Python's lock.
    check_call(_LIB.MXNDArrayWaitAll())


@functools.lru_cache(maxsize=None)  # kept: MXNet calls it later
def _set_number(count: int) -> Any:
    from mxnet.base import _LIB

    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: _LIB.MXSetNumOMPThreads(count) and None)


def _note_fork() -> None:
    global _forked_thread
    _forked_thread = threading.get_ident()


os.register_at_fork(after_in_child=_note_fork)


# Control groups (man 7 cgroups) ---------------------------------------------------------------------------------------


def _control_groups(root: Path) -> Iterator[Path]:
    """Folders of the groups that this process belongs to and that can limit its time: each group and those above it."""
    try:
        memberships, mounts = (
            (root / "proc/self" / name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            for name in ("cgroup", "mountinfo")
        )
    except OSError:
        return
    for membership in memberships:
        _, controllers, group = membership.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for top, folder in _mounts(mounts, is_v1=bool(controllers)):
            # A container may see its own group as the top of all, under whatever name the host has for it.
            below = os.path.relpath(group, top)
            parts = Path("" if below.startswith("..") else below).parts
            for depth in range(len(parts) + 1):
                yield root.joinpath(folder.lstrip("/"), *parts[:depth])


def _mounts(mounts: Iterable[str], is_v1: bool) -> Iterator[Tuple[str, str]]:
    """The group that each mounted hierarchy begins with, and the folder where it is mounted."""
    for mount in mounts:
        fields, _, rest = mount.partition(" - ")
        top, folder = map(_unescaped, fields.split()[3:5])
        type_, _, options = rest.split(" ", 2)
        if (type_ == "cgroup" and "cpu" in options.split(",")) if is_v1 else type_ == "cgroup2":
            yield top, folder


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), field)


def _quotas(group: Path) -> Iterator[float]:
    """The limit of a group, in processors, if it has one."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:  # neither "max" nor -1
            yield int(quota) / int(period)
