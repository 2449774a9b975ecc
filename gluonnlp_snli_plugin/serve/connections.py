"""Limits on connections: how many there are, and how long one may take over a request.

uvicorn accepts whatever comes and waits for the head of a request without end. Here connections are accepted one at a
time, as long as there is room; where there is none, the one whose request has been awaited longest is closed.
"""

import asyncio
import logging
import os
import resource
import time
from typing import Dict, List

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import PluginError

IDLE_SECONDS = 5  # without a byte between two requests
HEAD_SECONDS = 15  # from the last answer, or from the start, to the end of a request's head
_UNREAD_SECONDS = 60  # until a client has read its last answer
_SPARE_FILES = 32
_log = logging.getLogger("gluonnlp_snli_plugin.serve")


def possible_connections(wanted):
    """How many connections, of those wanted, the limit on open files (``ulimit -n``) leaves room for.

    Raises
    ------
    PluginError
        If there is no room at all.
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

    def __init__(self, config, bound, max_connections):
        super().__init__(config)
        self._bound, self._max_connections = bound, max_connections
        # In the order in which they began to wait for the request that they wait for or answer.
        self._open: Dict[_Connection, None] = {}

    async def startup(self, sockets=None):
        await super().startup(sockets=[])
        self._has_room = asyncio.Event()
        self._acceptor = asyncio.ensure_future(self._accept())

    async def shutdown(self, sockets=None):
        self._acceptor.cancel()
        self._bound.close()
        await super().shutdown(sockets=[])

    async def _accept(self):
        loop = asyncio.get_running_loop()
        self._bound.setblocking(False)
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._bound)
            except OSError as error:  # the client has gone, or some limit of the system is reached
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

    def _new_connection(self):
        connection = _Connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        connection.owner = self
        return connection

    def _close_one(self):
        """Close the connection whose request has been awaited longest; False if all requests are being answered."""
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

    def awaits_request(self, connection):
        """A connection is new, or has got its answer."""
        self._open.pop(connection, None)
        self._open[connection] = None
        self._has_room.set()

    def forget(self, connection):
        """A connection is closed."""
        self._open.pop(connection, None)
        self._has_room.set()

    async def on_tick(self, counter):
        now = asyncio.get_running_loop().time()
        for connection in [one for one in self._open if one.is_overdue(now)]:
            connection.transport.abort()
        return await super().on_tick(counter)


class _Connection(H11Protocol):
    owner: Server
    _awaits_since = 0.0

    def connection_made(self, transport):
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self.owner.forget(self)

    def on_response_complete(self):
        self._await_request()
        super().on_response_complete()

    def _await_request(self):
        self._awaits_since = self.loop.time()
        self.owner.awaits_request(self)

    @property
    def awaits_request(self):
        """Whether there is no whole request yet."""
        return self._awaits_head or self.cycle.more_body

    @property
    def _awaits_head(self):
        return self.cycle is None or self.cycle.response_complete

    def is_overdue(self, now):
        """Whether the client has left its last answer unread too long, or the head of a request unfinished.

        For a body the application waits.
        """
        waited = now - self._awaits_since
        if self.transport.get_write_buffer_size():
            return waited > _UNREAD_SECONDS
        return self._awaits_head and waited > HEAD_SECONDS


class Sparing(logging.Filter):
    """Lets a line of the program log some times a minute only, and then says how often it would have."""

    _AT_ONCE, _SECONDS = 3, 60

    def __init__(self):
        super().__init__()
        self._seen: Dict[tuple, List[float]] = {}  # start of the minute, and how often since

    def filter(self, record):
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
