"""Connections are limited in number and in time, and clients that behave are answered all the same."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import threading
import time
import types

import pytest

pytest.importorskip("uvicorn")

import uvicorn

from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.serve import connections, server
from gluonnlp_snli_plugin.serve.connections import Server, Sparing, possible_connections
from gluonnlp_snli_plugin.serve.request import Limits

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
REQUEST = HEAD + b"Content-Length: 1\r\n\r\n1"


class App:
    """Answers with as many bytes as it is told, once it may."""

    def __init__(self):
        self.size, self.waiting, self.answered = 2, 0, 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    async def __call__(self, scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        self.waiting += 1
        while not self.may_answer.is_set():
            await asyncio.sleep(0.01)
        self.waiting -= 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % self.size)]})
        self.answered += 1
        await send({"type": "http.response.body", "body": b"x" * self.size})


@pytest.fixture
def serve():
    """Serves an :class:`App` in a thread: the port, and the application."""
    with contextlib.ExitStack() as stack:

        def run(max_connections):
            app, bound = App(), stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, timeout_keep_alive=60)
            server = Server(config, bound, max_connections)
            app.connections = server._open
            thread = threading.Thread(target=server.run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            return bound.getsockname()[1], app

        yield run


@pytest.fixture
def connect():
    with contextlib.ExitStack() as stack:

        def run(port, content=b""):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=600))
            connection.sendall(content)
            return connection

        yield run


def _is_answered(connection):
    return connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def _is_closed(connection):
    return _read(connection) >= 0  # it comes to an end


@pytest.mark.parametrize("begin", [b"", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"], ids=["idle", "head", "body"])
def test_those_who_ask_nothing_make_room_for_those_who_ask(serve, connect, caplog, begin):
    port, _ = serve(8)
    first = connect(port, REQUEST)
    assert _is_answered(first)
    silent = [connect(port, begin) for _ in range(100)]
    for _ in range(5):
        assert _is_answered(connect(port, REQUEST))
    assert _is_closed(first) and all(map(_is_closed, silent[:90]))
    assert len(caplog.records) <= 3


def test_requests_that_are_answered_are_not_broken_off(serve, connect):
    port, app = serve(4)
    app.may_answer.clear()
    busy = [connect(port, REQUEST) for _ in range(4)]
    while app.waiting < 4:
        time.sleep(0.01)
    another = connect(port, REQUEST)  # waits for its turn
    app.may_answer.set()
    assert all(map(_is_answered, [*busy, another]))


def test_a_head_that_does_not_come_to_its_end_is_given_up_however_it_trickles(serve, connect, monkeypatch):
    port, _ = serve(9)
    answered = connect(port, REQUEST)
    assert _is_answered(answered)
    silent, trickling = connect(port), connect(port, HEAD)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with contextlib.suppress(ConnectionError):
        while True:
            trickling.sendall(b"x")
            time.sleep(0.05)
    assert _is_closed(silent) and _is_closed(answered)


def test_an_answer_that_nobody_reads_is_given_up(serve, connect, monkeypatch):
    port, app = serve(9)
    app.size = 50_000_000
    slow, silent = connect(port, REQUEST), connect(port, REQUEST)
    while app.answered < 2:
        time.sleep(0.01)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    time.sleep(0.3)  # longer than a head may take
    assert _read(slow) > app.size
    monkeypatch.setattr(connections, "_UNREAD_SECONDS", 0.1)
    while app.connections:
        time.sleep(0.01)
    assert _read(silent) < app.size


def _read(connection):
    size = 0
    with contextlib.suppress(ConnectionError):
        for block in iter(lambda: connection.recv(1 << 20), b""):
            size += len(block)
    return size


def test_a_signal_that_comes_as_soon_as_the_service_says_where_it_is_stops_it(caplog):
    told, events = signal.getsignal(signal.SIGTERM), []

    class Hasty(logging.Filter):
        def filter(self, record):
            if "is served at" in record.getMessage():
                os.kill(os.getpid(), signal.SIGTERM)
            return True

    async def app(scope, receive, send):
        for _ in range(2):
            events.append((await receive())["type"])
            await send({"type": f"{events[-1]}.complete"})

    caplog.set_level(logging.INFO, "gluonnlp_snli_plugin")
    caplog.handler.addFilter(Hasty())
    limits = Limits(connections=9, waiting=9, seconds=30, pairs=9, explained_pairs=9, characters=9, body_bytes=9)
    guard = threading.Timer(600, os.kill, [os.getpid(), signal.SIGINT])
    guard.start()
    try:
        server.run(app, server.bind("127.0.0.1", 0), limits, "a model")
    except KeyboardInterrupt:
        pytest.fail("the signal was lost")
    finally:
        guard.cancel()
    assert events == ["lifespan.startup", "lifespan.shutdown"] and signal.getsignal(signal.SIGTERM) is told


def test_the_limit_on_open_files_leaves_room_for_so_many(monkeypatch, caplog):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    assert possible_connections(500) == 500 and not caplog.records
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert possible_connections(500) == 500
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, 1 << 20))
    with pytest.raises(PluginError, match="ulimit -n is 8"):
        possible_connections(500)


def test_a_line_of_log_is_not_repeated_without_bound(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr(connections, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(Sparing())
    log = logging.Logger("sparing")
    log.addHandler(handler)

    def say(what):
        log.warning("%s: it is 100%% so", what)

    for i in range(1000):
        say(i)
    log.warning("another")
    now[0] = 61
    say("later")
    assert lines == [
        *(f"{i}: it is 100% so" for i in range(3)),
        "another",
        "later: it is 100% so (997 more times since the last such line)",
    ]
