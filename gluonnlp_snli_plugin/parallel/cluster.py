"""Prepares a process for MXNet's parameter server on a cluster, and ends it when others stay away.

A cluster's launcher starts each process with the variables ``DMLC_*``. MXNet takes numerical addresses only, fails with
a C++ stack trace where a variable is missing, and waits for other processes for ever. In a scheduler or server the
import of MXNet lasts as long as the run, so :func:`prepare` has to be called before; this module imports nothing but
the standard library.
"""

import contextlib
import os
import re
import socket
import sys
import threading
import time
from typing import Callable, Dict, List

from ..errors import PluginError
from ..system.follow import LAUNCHER

TIMEOUT = "GLUONNLP_SNLI_RANK_TIMEOUT"  # seconds to wait for processes that are missing
_DEFAULT_TIMEOUT = 600.0

_ROLES = ("scheduler", "server", "worker")
_HOST, _PORT = "DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT"
_OWN_HOST, _INTERFACE = "DMLC_NODE_HOST", "DMLC_INTERFACE"
_NUMBERS = (_PORT, "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")

_names: Dict[str, str] = {}  # address -> the name it was found by


def prepare() -> None:
    """Check the variables and adapt them to MXNet; in a scheduler or server, end the process if they are wrong.

    In a worker, :func:`join` reports that.
    """
    role = os.environ.get("DMLC_ROLE")
    if role is None:
        return
    if role == "worker":
        with contextlib.suppress(PluginError):
            _check(role)
        return
    try:
        join(role)
    except PluginError as error:
        sys.exit(f"gluonnlp-snli: error: {role}: {error}")


def join(role: str = "worker") -> Callable[[], None]:
    """Prepare for the other processes, and end this one if they do not connect, or disconnect, for the time limit.

    Returns
    -------
    callable
        Call it before this process leaves the others.

    Raises
    ------
    PluginError
        If a variable is missing or wrong.
    """
    _check(role)
    left = threading.Event()
    # A launcher of this program ends all of its processes together.
    if LAUNCHER not in os.environ and "DMLC_LOCAL" not in os.environ:
        threading.Thread(target=_watch, args=(role, timeout(), left), daemon=True).start()
    return left.set


def _check(role: str) -> None:
    """Check the variables; put addresses in the place of names."""
    if role not in _ROLES:
        raise PluginError(f"DMLC_ROLE is {role!r}; it must be {', '.join(_ROLES)}")
    missing = [name for name in (_HOST, *_NUMBERS) if not os.environ.get(name)]
    if missing:
        raise PluginError(f"{', '.join(missing)} must be set where DMLC_ROLE is (docs/distributed.md)")
    for name in _NUMBERS:
        value, end = os.environ[name], 65536 if name == _PORT else 1 << 31
        if not re.fullmatch("[0-9]{1,10}", value) or not 0 < int(value) < end:
            raise PluginError(f"{name} is {value!r}; it must be a number from 1 to {end - 1}")
    interfaces = [name for _, name in socket.if_nameindex()]
    if os.environ.get(_INTERFACE, interfaces[0]) not in interfaces:
        raise PluginError(f"{_INTERFACE} is {os.environ[_INTERFACE]!r}; this machine has {', '.join(interfaces)}")
    for name in (_HOST, _OWN_HOST):
        if os.environ.get(name):
            os.environ[name] = _address(name)
    scheduler = os.environ[_HOST], int(os.environ[_PORT])
    if role == "scheduler":
        _require_bindable(*scheduler)
        return
    if os.environ.get("PORT") == os.environ[_PORT]:
        del os.environ["PORT"]  # where MXNet would listen itself, in the place of the scheduler
    if _OWN_HOST not in os.environ and _INTERFACE not in os.environ:
        os.environ[_OWN_HOST] = _own_address(*scheduler)


def _address(variable: str) -> str:
    """The numerical address of a host that a variable names."""
    host = os.environ[variable]
    try:
        address = socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise PluginError(f"{variable} is {host!r}: {reason}; MXNet needs an IPv4 address") from None
    if address != host:
        _names[str(address)] = host
    return str(address)


def _require_bindable(address: str, port: int) -> None:
    """Complain if a scheduler cannot listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as MXNet does
        try:
            # On Kubernetes the name is that of a service, and MXNet listens on all addresses.
            probe.bind(("" if os.environ.get("DMLC_USE_KUBERNETES", "0") != "0" else address, port))
        except OSError as error:
            raise PluginError(f"cannot listen on {_place()}: {error.strerror}") from None


def _own_address(address: str, port: int) -> str:
    """The address under which the scheduler reaches this machine, of which it may have several."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, port))  # sends nothing
        except OSError as error:
            raise PluginError(f"cannot reach {_place()}: {error.strerror}") from None
        return str(probe.getsockname()[0])


def _place() -> str:
    """The address of the scheduler, for messages."""
    address, port = os.environ[_HOST], os.environ[_PORT]
    return f"{_names[address]}:{port} ({address})" if address in _names else f"{address}:{port}"


def timeout() -> float:
    """How many seconds to wait for processes that are missing."""
    value = os.environ.get(TIMEOUT, str(_DEFAULT_TIMEOUT))
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or not float(value):
        raise PluginError(f"{TIMEOUT} is {value!r}; it must be a number of seconds")
    return float(value)


def _watch(role: str, timeout: float, left: threading.Event) -> None:
    """End this process once others have been missing for so many seconds."""
    expected = _expected(role)
    have_met = False
    all_were_here = time.monotonic()
    while not left.wait(min(1.0, timeout / 10)):
        found = _num_connections()
        if found >= expected:
            have_met, all_were_here = True, time.monotonic()
        elif time.monotonic() > all_were_here + timeout:
            reason = _reason(role, expected - 1, max(0, found - 1), have_met)
            sys.stderr.write(f"gluonnlp-snli: error: {role}: {reason} ({timeout:g} s, {TIMEOUT})\n")
            sys.stderr.flush()
            os._exit(1)


def _expected(role: str) -> int:
    """How many connections a process of that role has when all have met: from those of other roles, and from itself."""
    workers, servers = int(os.environ["DMLC_NUM_WORKER"]), int(os.environ["DMLC_NUM_SERVER"])
    return {"scheduler": workers + servers, "server": workers + 1, "worker": servers + 1}[role] + 1


def _reason(role: str, expected: int, found: int, have_met: bool) -> str:
    if have_met:
        return f"lost the connection to {expected - found} of {expected} other processes"
    if role == "scheduler":
        return f"{found} of {expected} workers and servers have connected to {_place()}"
    try:
        socket.create_connection((os.environ[_HOST], int(os.environ[_PORT])), timeout=5).close()
    except OSError as error:
        return f"no scheduler at {_place()}: {error.strerror or error}"
    return f"not all workers and servers have connected to the scheduler at {_place()}"


def _num_connections(process: str = "self") -> int:
    """How many connections to a process there are that were not opened by it."""
    own = set()
    for descriptor in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            own.add(os.readlink(f"/proc/{process}/fd/{descriptor}"))
    listening: List[str] = []
    connected: List[str] = []
    with open(f"/proc/{process}/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if f"socket:[{inode}]" in own:
                {"0A": listening, "01": connected}.get(state, []).append(local.rpartition(":")[2])
    return max((connected.count(port) for port in listening), default=0)
