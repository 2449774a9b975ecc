"""Limits on connections: their number, and the time that a client may take to send a request.

uvicorn accepts every connection and waits for the head of a request without a timeout. Here connections are accepted
one at a time up to a limit; at the limit, the connection that has waited longest for its request is closed.
"""

import asyncio
import logging
import os
import resource
import socket
import time
from typing import Any, Dict, List, Optional, Tuple

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import PluginError

IDLE_SECONDS = 5  # without a byte between two requests
HEAD_SECONDS = 15  # from the last answer, or from the start, to the end of a request's head
_UNREAD_SECONDS = 60  # until a client has read its last answer
_SPARE_FILES = 32
_log = logging.getLogger("gluonnlp_snli_plugin.serve")


def possible_connections(wanted: int) -> int:
    """The number of connections, at most `wanted`, that the limit on open files (``ulimit -n``) allows.

    Raises
    ------
    PluginError
        If it allows none.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    room = limit - len(os.listdir("/proc/self/fd")) - _SPARE_FILES
    if room < 1:
        raise PluginError(f"too few files may be open for a service: ulimit -n is {limit}; raise it")
    if room < wanted:
        _log.warning("at most %d connections at a time, not %d: ulimit -n is %d", room, wanted, limit)
    return min(wanted, room)


class Server(uvicorn.Server):
    """uvicorn's server with limits on connections.

    Parameters
    ----------
    config : uvicorn.Config
    bound : socket
        Listens.
    max_connections : int
    """

    def __init__(self, config: uvicorn.Config, bound: socket.socket, max_connections: int) -> None:
        super().__init__(config)
        self._bound, self._max_connections = bound, max_connections
        # In the order in which they began to wait for the request that they now wait for or answer.
        self._open: Dict[_Connection, None] = {}
        self._is_stopped = False

    def stop(self) -> None:
        """Finish requests in flight and end; may be called before the server runs, which then starts first."""
        self._is_stopped = True

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        await super().startup(sockets=[])
        self._has_room = asyncio.Event()
        self._acceptor = asyncio.ensure_future(self._accept())

    async def shutdown(self, sockets: Optional[List[socket.socket]] = None) -> None:
        self._acceptor.cancel()
        self._bound.close()
        await super().shutdown(sockets=[])

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._bound.setblocking(False)
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._bound)
            except OSError as error:  # the client has disconnected, or a limit of the system is reached
                _log.warning("a connection could not be accepted: %s", error.strerror)
                self._close_one()
                await asyncio.sleep(0.1)
                continue
            while len(self._open) >= self._max_connections and not self._close_one():
                self._has_room.clear()
                await self._has_room.wait()
            try:
                await loop.connect_accepted_socket(self._new_connection, accepted)
            except OSError:  # it is closed already
                accepted.close()

    def _new_connection(self) -> "_Connection":
        connection = _Connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        connection.owner = self
        return connection

    def _close_one(self) -> bool:
        """Close the connection that has waited longest for its request; False if all requests are being answered."""
        for connection in self._open:
            if connection.awaits_request:
                _log.warning(
                    "%d connections are open, as many as may be: the one that has waited longest is closed",
                    self._max_connections,
                )
                connection.transport.abort()
                del self._open[connection]
                return True
        return False

    def awaits_request(self, connection: "_Connection") -> None:
        """A connection is new, or has got its answer."""
        self._open.pop(connection, None)
        self._open[connection] = None
        self._has_room.set()

    def forget(self, connection: "_Connection") -> None:
        """A connection is closed."""
        self._open.pop(connection, None)
        self._has_room.set()

    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        for connection in [one for one in self._open if one.is_overdue(now)]:
            connection.transport.abort()
        return await super().on_tick(counter) or self._is_stopped


class _Connection(H11Protocol):
    owner: Server
    _awaits_since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        self.owner.forget(self)

    def on_response_complete(self) -> None:
        self._await_request()
        super().on_response_complete()

    def _await_request(self) -> None:
        self._awaits_since = self.loop.time()
        self.owner.awaits_request(self)

    @property
    def awaits_request(self) -> bool:
        """Whether the request is still incomplete."""
        return self._awaits_head or self.cycle.more_body

    @property
    def _awaits_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def is_overdue(self, now: float) -> bool:
        """Whether the client takes too long to read its last response, or to send the head of a request.

        The application has a timeout of its own for the body.
        """
        waited = now - self._awaits_since
        if self.transport.get_write_buffer_size():
            return waited > _UNREAD_SECONDS
        return self._awaits_head and waited > HEAD_SECONDS


class Sparing(logging.Filter):
    """Limits how often a minute each line of the program logs, and then logs how many messages were left out."""

    _AT_ONCE, _SECONDS = 3, 60

    def __init__(self) -> None:
        super().__init__()
        self._seen: Dict[Tuple[str, int], List[float]] = {}  # start of the minute, and how often since

    def filter(self, record: logging.LogRecord) -> bool:
        now, place = time.monotonic(), (record.pathname, record.lineno)
        begin, count = self._seen.get(place, (now, 0))
        if now - begin >= self._SECONDS:
            left_out = int(count) - self._AT_ONCE
            if left_out > 0:
                record.msg = f"{record.getMessage()} ({left_out} more times since the last such line)"
                record.args = ()
            begin, count = now, 0
        self._seen[place] = [begin, count + 1]
        return count < self._AT_ONCE


_log.addFilter(Sparing())
