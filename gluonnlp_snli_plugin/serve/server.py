"""Runs the service until a signal stops it."""

import contextlib
import ipaddress
import logging
import signal
import socket
import sys
from typing import Any, Callable, Iterator

import uvicorn

from ..errors import PluginError, UsageError
from .connections import IDLE_SECONDS, Server, Sparing, possible_connections
from .request import Limits

_log = logging.getLogger("gluonnlp_snli_plugin")


def bind(host: str, port: int) -> socket.socket:
    """A socket that does not listen yet.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        0 for any that is free.

    Returns
    -------
    socket

    Raises
    ------
    UsageError
        If `host` is neither an address nor a known name.
    PluginError
        If the port is taken or not allowed.
    """
    if not 0 <= port < 1 << 16:
        raise UsageError(f"--port is {port}; it must be from 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host {host} is neither an address nor a known name") from None
    # With its protocol: asyncio switches Nagle's algorithm off only for sockets that say they are TCP.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with _closing_where_taken(bound, host, port):
        bound.bind(address)
    return bound


@contextlib.contextmanager
def _closing_where_taken(bound: socket.socket, host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        bound.close()
        raise PluginError(
            f"port {port} of {host}: {error.strerror}; choose another with --port P (0: any free one)"
        ) from None


def run(app: Callable[..., Any], bound: socket.socket, limits: Limits, what: str) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are finished first.

    Parameters
    ----------
    app : callable
        ASGI.
    bound : socket
        From :func:`bind`.
    limits : Limits
    what : str
        The name of the model, for the log.

    Raises
    ------
    PluginError
        If the limit on open files allows no connection.
    """
    connections = possible_connections(limits.connections)
    host, port = bound.getsockname()[:2]
    with _closing_where_taken(bound, host, port):
        bound.listen(2048)
    address = ipaddress.ip_address(host.split("%")[0])
    if not address.is_loopback:
        _log.warning("everyone who can reach this machine can use the service: no passwords, no encryption")
    shown = f"[{host}]" if address.version == 6 else host
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sparing())
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).addHandler(handler)
    server = Server(config, bound, connections)
    # Until uvicorn handles signals itself, and at the end, when it raises again the one that has stopped it: SIGTERM is
    # a normal end, Ctrl-C a KeyboardInterrupt.
    before = signal.signal(signal.SIGTERM, lambda *_: server.stop())
    try:
        _log.info("%s is served at http://%s:%d/ (Ctrl-C stops)", what, shown, port)
        server.run()
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()
