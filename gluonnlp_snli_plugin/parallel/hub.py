"""Connects the ranks of a run through rank 0, and ends this process when another rank is lost.

Each rank holds one TCP connection to rank 0. It carries the values that ranks exchange outside their devices, and its
end shows that a rank is lost: at once where a process ends, after twenty seconds where a machine falls silent.

JAX's own coordination service takes the same way. A client of it that loses the service aborts the process with a stack
trace, so each rank's client is connected to a listener in its own process (:meth:`Hub.tunnel`), which never closes.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
import time
import zlib
from typing import Dict, List

from ..errors import TIME_IS_UP, PluginError
from ..system.follow import LAUNCHER
from .cluster import TIMEOUT, timeout
from .connection import LOOPBACK, Connection, connect_soon, connect_streams, hold_port, listen, reason_of
from .place import HAS_LOST_ANOTHER

_HELLO = struct.Struct("!16sBII")  # _PROTOCOL, purpose of the connection, rank, number of ranks
_PROTOCOL = b"gluonnlp-snli 1\n"
_RANK, _TUNNEL = range(2)
_READY, _REFUSED, _VALUES, _LEAVES, _LOST = range(5)  # kinds of frames
_LOSS = struct.Struct("!II")  # rank, exit status
_UNKNOWN = 1 << 16  # exit status of a rank that has not told it

_CONNECT_TIMEOUT = 10.0  # seconds
# Seconds for this rank to end by itself after another one has: a stop reaches all ranks, a failure may as well.
_PATIENCE_AFTER_STOP, _PATIENCE_AFTER_FAILURE = 20.0, 2.0
_LAUNCHERS_TIME = 4.0  # seconds for this program's launcher to end all ranks and say why


class Hub:
    """A rank's connection to the other ranks; waits until all of them have connected.

    Parameters
    ----------
    host : str
        Of rank 0.
    port : int
        Where rank 0 listens.
    rank, num_ranks : int

    Attributes
    ----------
    service_port : int
        Where rank 0 must run JAX's coordination service, on the loopback interface.
    lost : threading.Event
        Set once another rank is lost.

    Raises
    ------
    PluginError
        If rank 0 cannot listen, or not all ranks connect within the time limit of :func:`.cluster.timeout`.
    """

    def __init__(self, host: str, port: int, rank: int, num_ranks: int) -> None:
        self.lost = threading.Event()
        self._host, self._port, self._rank, self._num_ranks = host, port, rank, num_ranks
        self._connections: Dict[int, Connection] = {}
        self._change = threading.Condition()  # of self._connections
        self._leaving = threading.Event()
        self._ending = threading.Lock()
        if rank == 0:
            self._listen()
            self._held = hold_port()  # JAX listens there only after all ranks have come
            self.service_port = int(self._held.getsockname()[1])
            self._await_all()
        else:
            self._join()

    # Connecting

    def _listen(self) -> None:
        """Accept connections from now on."""
        try:
            self._listener = listen(self._host, self._port)
        except (OSError, UnicodeError) as error:
            raise PluginError(f"cannot listen on {self._place()}: {reason_of(error)}") from None
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                connected, _ = listener.accept()
                threading.Thread(target=self._welcome, args=(connected,), daemon=True).start()

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _welcome(self, connected: socket.socket) -> None:
        """Read what a new connection is for; close any that is not from this program."""
        connection = Connection(connected)
        try:
            connected.settimeout(timeout())  # on a busy machine a rank may take long from connecting to its first word
            protocol, purpose, rank, num_ranks = _HELLO.unpack(connection.read(_HELLO.size))
            connected.settimeout(None)
            if protocol != _PROTOCOL:
                connected.close()
            elif purpose == _TUNNEL:
                connect_streams(connected, connect_soon(LOOPBACK, self.service_port, timeout()))
            else:
                self._add(connection, rank, num_ranks)
        except (OSError, EOFError):
            connected.close()

    def _add(self, connection: Connection, rank: int, num_ranks: int) -> None:
        with self._change:
            refusal = None
            if num_ranks != self._num_ranks:
                refusal = f"rank {rank} was started as one of {num_ranks} ranks, rank 0 as one of {self._num_ranks}"
            elif rank in self._connections or not 0 < rank < num_ranks:
                refusal = f"two processes were started as rank {rank} of {num_ranks}"
            if refusal:
                connection.send(_REFUSED, refusal.encode())
                connection.close()
                return
            self._connections[rank] = connection
            threading.Thread(target=self._read, args=(rank, connection), daemon=True).start()
            self._change.notify_all()

    def _await_all(self) -> None:
        limit, expected = timeout(), self._num_ranks - 1
        with self._change:
            all_here = self._change.wait_for(lambda: len(self._connections) == expected, limit)
            found = list(self._connections.values())
        if all_here:
            for connection in found:
                with contextlib.suppress(OSError):  # a rank that is lost already; _read notices
                    connection.send(_READY)
            return
        self._leaving.set()
        self._stop_listening()
        reason = f"{len(found) + 1} of {expected + 1} ranks have connected to {self._place()} ({limit:g} s, {TIMEOUT})"
        for connection in found:
            with contextlib.suppress(OSError):
                connection.send(_REFUSED, reason.encode())
        raise PluginError(reason)

    def _join(self) -> None:
        """Connect to rank 0, which may start later than this rank."""
        limit = timeout()
        deadline = time.monotonic() + limit
        try:
            connected = connect_soon(self._host, self._port, limit)
        except (OSError, UnicodeError) as error:
            raise PluginError(f"no rank 0 at {self._place()}: {reason_of(error)} ({limit:g} s, {TIMEOUT})") from None
        connection = self._connections[0] = Connection(connected)
        try:
            connected.sendall(_HELLO.pack(_PROTOCOL, _RANK, self._rank, self._num_ranks))
            connected.settimeout(max(0.1, deadline - time.monotonic()) + _CONNECT_TIMEOUT)  # rank 0 tells it first
            kind, _, content = connection.receive()
            connected.settimeout(None)
        except socket.timeout:
            raise PluginError(f"not all ranks have connected to {self._place()} ({limit:g} s, {TIMEOUT})") from None
        except (OSError, EOFError):
            raise PluginError(f"rank 0 at {self._place()} closed the connection before all ranks had come") from None
        if kind == _REFUSED:
            raise PluginError(content.decode(errors="replace"))
        if kind == _LOST:
            raise PluginError(self._loss(*_LOSS.unpack(content)))
        if kind != _READY:
            raise PluginError(f"what listens on {self._place()} is not rank 0 of this run")
        threading.Thread(target=self._read, args=(0, connection), daemon=True).start()

    def _place(self) -> str:
        return f"{self._host}:{self._port}"

    # Exchanging

    def collect(self, name: str, content: bytes) -> List[bytes]:
        """On rank 0 the contents of all ranks, in order; an empty list on the others."""
        if self._rank > 0:
            self._send(0, name, content)
            return []
        return [content, *(self._receive(rank, name) for rank in range(1, self._num_ranks))]

    def spread(self, name: str, content: bytes = b"") -> bytes:
        """The content of rank 0, on every rank."""
        if self._rank > 0:
            return self._receive(0, name)
        for rank in range(1, self._num_ranks):
            self._send(rank, name, content)
        return content

    def _send(self, rank: int, name: str, content: bytes) -> None:
        try:
            self._connections[rank].send(_VALUES, content, zlib.crc32(name.encode()))
        except OSError:
            while True:  # until _end
                time.sleep(1)

    def _receive(self, rank: int, name: str) -> bytes:
        checksum, content = self._connections[rank].values.get()
        if checksum != zlib.crc32(name.encode()):
            raise RuntimeError(f"rank {rank} is not at {name}, where rank {self._rank} is")
        return content

    def tunnel(self) -> int:
        """Open a way to JAX's coordination service.

        Returns
        -------
        int
            The port, on the loopback interface, by which this rank reaches it.
        """
        if self._rank == 0:
            return self.service_port
        listener = socket.create_server((LOOPBACK, 0))
        threading.Thread(target=self._tunnel, args=(listener,), daemon=True).start()
        return int(listener.getsockname()[1])

    def _tunnel(self, listener: socket.socket) -> None:
        while True:
            connected, _ = listener.accept()
            with contextlib.suppress(OSError):
                service = connect_soon(self._host, self._port, _CONNECT_TIMEOUT)
                service.sendall(_HELLO.pack(_PROTOCOL, _TUNNEL, self._rank, self._num_ranks))
                connect_streams(connected, service, hangs_up=False)

    # Leaving

    def leave(self, status: int = 0) -> None:
        """Tell the others that this rank is about to end, and why; their ends are no failure from now on.

        Parameters
        ----------
        status : int
            Exit status.
        """
        self._leaving.set()
        if self._rank == 0:
            self._stop_listening()
            self._held.close()
        for connection in list(self._connections.values()):
            with contextlib.suppress(OSError):
                connection.send(_LEAVES, _LOSS.pack(self._rank, status), patience=1.0)

    def _read(self, rank: int, connection: Connection) -> None:
        """Read a rank's frames until the connection ends."""
        status = _UNKNOWN
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind, checksum, content = connection.receive()
                if kind == _VALUES:
                    connection.values.put((checksum, content))
                elif kind in (_LEAVES, _LOST):
                    rank, status = _LOSS.unpack(content)
                    if status:
                        break
        if status and not self._leaving.is_set():
            self._end(rank, status)

    def _end(self, rank: int, status: int) -> None:
        """End this process because a rank has ended, unless it ends by itself."""
        with self._ending:  # before others are told, whose ends follow from it
            if self._leaving.is_set():
                return
            for other, connection in list(self._connections.items() if self._rank == 0 else ()):
                if other != rank:
                    with contextlib.suppress(OSError):
                        connection.send(_LOST, _LOSS.pack(rank, status), patience=1.0)
            self.lost.set()
            patience = 0.0
            if status != _UNKNOWN:
                has_stopped = status == TIME_IS_UP or status > 128
                patience = _PATIENCE_AFTER_STOP if has_stopped else _PATIENCE_AFTER_FAILURE
            is_launched = LAUNCHER in os.environ
            if self._leaving.wait(max(patience, _LAUNCHERS_TIME) if is_launched else patience):
                return
            if is_launched:
                os._exit(HAS_LOST_ANOTHER)
            with contextlib.suppress(OSError):
                sys.stderr.write(f"gluonnlp-snli: error: rank {self._rank}: {self._loss(rank, status)}\n")
                sys.stderr.flush()
            os._exit(1)

    def _loss(self, rank: int, status: int) -> str:
        how = "was killed, or its machine cannot be reached"
        if status != _UNKNOWN:
            how = f"has ended with exit status {status}; its own output says why"
        return f"rank {rank} of {self._num_ranks} {how}"
