"""TCP connections between ranks: frames of bytes on them, and what passes on the bytes of other programs."""

import contextlib
import os
import queue
import socket
import struct
import threading
import time
from typing import Optional, Tuple

LOOPBACK = "127.0.0.1"

_FRAME = struct.Struct("!BIQ")  # kind, checksum of a name, length of the content
_SILENCE = 20  # seconds after which a machine that answers nothing is lost
_CONNECT_TIMEOUT = 10.0  # seconds


class Connection:
    """A connection between two ranks, which carries frames.

    Attributes
    ----------
    values : queue of (int, bytes)
        What has arrived and is still to be used: the checksum of a name, and the content.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._lock = connected, threading.Lock()
        self.values: queue.SimpleQueue[Tuple[int, bytes]] = queue.SimpleQueue()
        _watch(connected)

    def send(self, kind: int, content: bytes = b"", checksum: int = 0, patience: float = -1) -> None:
        """Send a frame; gives up where another one is on its way for longer than `patience` seconds."""
        if self._lock.acquire(timeout=patience):
            try:
                self._socket.sendall(_FRAME.pack(kind, checksum, len(content)))
                self._socket.sendall(content)
            finally:
                self._lock.release()

    def receive(self) -> Tuple[int, int, bytes]:
        """The next frame: its kind, the checksum of a name, and the content."""
        kind, checksum, length = _FRAME.unpack(self.read(_FRAME.size))
        return kind, checksum, self.read(length)

    def read(self, length: int) -> bytes:
        """As many bytes; an EOFError if there will not be that many."""
        content = bytearray(length)
        rest = memoryview(content)
        while rest:
            received = self._socket.recv_into(rest)
            if not received:
                raise EOFError
            rest = rest[received:]
        return bytes(content)

    def set_timeout(self, seconds: Optional[float]) -> None:
        """Let reading fail with ``socket.timeout`` after so many seconds; None for no limit."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self._socket.close()


def _watch(connected: socket.socket) -> None:
    """Let the operating system close a connection whose other end answers nothing any more."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENCE // 4)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENCE // 4)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _SILENCE)


def listen(host: str, port: int) -> socket.socket:
    """Listen on all addresses of this machine, which others find as `host`; on the loopback interface if it is that.

    The name may belong to a service in front of this machine, or stand for the loopback interface here.
    """
    if host == "localhost" or host.startswith("127."):
        return socket.create_server((LOOPBACK, port))
    if host == "::1":
        return socket.create_server((host, port), family=socket.AF_INET6)
    socket.getaddrinfo(host, port)  # a host that does not exist
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def connect_soon(host: str, port: int, limit: float) -> socket.socket:
    """Connect to what may start to listen within `limit` seconds.

    Raises
    ------
    OSError
        Why that has failed. A host that does not exist fails at once.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            connected = socket.create_connection((host, port), timeout=min(limit, _CONNECT_TIMEOUT))
            connected.settimeout(None)
            return connected
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN or time.monotonic() > deadline:
                raise
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(min(0.2, limit / 5))


def connect_streams(one: socket.socket, other: socket.socket, hangs_up: bool = True) -> None:
    """Pass on what either end says, in the background.

    Parameters
    ----------
    one, other : socket
    hangs_up : bool, default True
        Whether the end of `other` is passed on too.
    """
    for connected in (one, other):
        _watch(connected)
    threading.Thread(target=_pass_on, args=(one, other, True), daemon=True).start()
    threading.Thread(target=_pass_on, args=(other, one, hangs_up), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, hangs_up: bool) -> None:
    with contextlib.suppress(OSError):
        while True:
            content = source.recv(1 << 16)
            if not content:
                break
            target.sendall(content)
    if hangs_up:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def hold_port(port: int = 0) -> socket.socket:
    """Hold a port of the loopback interface: no other process that asks for a free one gets it.

    Parameters
    ----------
    port : int
        0 for any that is free.

    Returns
    -------
    socket
        Bound, but not listening: a process that is told the number can listen there, if it sets SO_REUSEADDR.

    Raises
    ------
    OSError, OverflowError
        If the port is in use, or is not a port.
    """
    held = socket.socket()
    try:
        held.bind((LOOPBACK, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: it would share a port in use
    except (OSError, OverflowError):
        held.close()
        raise
    return held


def reason_of(error: Exception) -> str:
    """What the operating system says of an error."""
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else str(getattr(error, "strerror", None) or error)
