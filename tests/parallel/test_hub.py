"""Ranks meet at rank 0, exchange values exactly, and end when one of them is lost. Forked processes are the ranks."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time

import pytest

from gluonnlp_snli_plugin.errors import TIME_IS_UP, PluginError
from gluonnlp_snli_plugin.parallel import connection, hub
from gluonnlp_snli_plugin.parallel.cluster import TIMEOUT
from gluonnlp_snli_plugin.parallel.hub import Hub
from gluonnlp_snli_plugin.parallel.place import HAS_LOST_ANOTHER
from gluonnlp_snli_plugin.system.follow import LAUNCHER

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv(LAUNCHER, raising=False)
    monkeypatch.setenv(TIMEOUT, "600")
    monkeypatch.setattr(hub, "_PATIENCE_AFTER_FAILURE", 0.2)


@pytest.fixture
def ranks(port, tmp_path):
    """Runs a function in forked processes, with the hub of each; returns how each ended and what it said."""
    processes = []

    def start(act, num_ranks=2):
        first = len(processes)
        for rank in range(num_ranks):
            processes.append(os.fork())
            if processes[-1] == 0:
                os.dup2(os.open(str(tmp_path / f"said-{first + rank}"), os.O_CREAT | os.O_RDWR), 2)
                sys.stderr = os.fdopen(2, "w")
                try:
                    status = act(Hub("127.0.0.1", port, rank, num_ranks), rank) or 0
                except BaseException as error:
                    status = 99
                    print(repr(error), file=sys.stderr, flush=True)
                os._exit(status)
        ended = {}
        while len(ended) < num_ranks:
            for rank in range(num_ranks):
                process, status = os.waitpid(processes[first + rank], os.WNOHANG) if rank not in ended else (0, 0)
                if process:
                    processes[first + rank] = 0
                    ended[rank] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            time.sleep(0.01)
        said = [(tmp_path / f"said-{first + rank}").read_text() for rank in range(num_ranks)]
        return [ended[rank] for rank in range(num_ranks)], said

    yield start
    for process in filter(None, processes):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


# Exchanging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
def test_rank_0_collects_and_spreads(ranks, num_ranks):
    def act(hub, rank):
        found = hub.collect("numbers", bytes([rank]) * (1 + rank))
        assert found == ([bytes([i]) * (1 + i) for i in range(num_ranks)] if rank == 0 else [])
        assert hub.spread("sum", b"from rank 0" if rank == 0 else b"") == b"from rank 0"
        assert hub.spread("nothing") == b""
        hub.leave()

    assert ranks(act, num_ranks) == ([0] * num_ranks, [""] * num_ranks)


def test_large_values_pass(ranks):
    def act(hub, rank):
        content = bytes([7 + rank]) * (50 << 20)
        for _ in range(2):
            parts = hub.collect("all", content)
            assert hub.spread("all", parts[1] if rank == 0 else b"") == bytes([8]) * (50 << 20)
        hub.leave()

    assert ranks(act) == ([0, 0], ["", ""])


def test_ranks_that_are_not_at_the_same_point_say_so(ranks):
    def act(hub, rank):
        hub.collect(f"step-{rank}", b"")
        time.sleep(600)

    statuses, said = ranks(act)
    assert statuses[0] == 99 and "RuntimeError('rank 1 is not at step-0, where rank 0 is')" in said[0]


# A rank that is lost --------------------------------------------------------------------------------------------------


def _wait(hub):
    hub.spread("what never comes")


def _meet(hub):
    """All ranks have connected and know that the others have, which one learns before another."""
    hub.collect("all are here", b"")
    hub.spread("all are here", b"")


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_rank_that_is_killed_ends_the_others_which_name_it(ranks, victim):
    def act(hub, rank):
        _meet(hub)
        if rank == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        _wait(hub) if rank else time.sleep(600)

    begin = time.monotonic()
    statuses, said = ranks(act, 3)
    assert time.monotonic() - begin < 300
    for rank in range(3):
        line = f"gluonnlp-snli: error: rank {rank}: rank {victim} of 3 was killed, or its machine cannot be reached\n"
        assert (statuses[rank], said[rank]) == ((-9, "") if rank == victim else (1, line))


def test_a_rank_that_fails_ends_the_others_which_name_its_status(ranks):
    def act(hub, rank):
        _meet(hub)
        if rank == 1:
            hub.leave(3)
            return 3
        _wait(hub) if rank else time.sleep(600)

    statuses, said = ranks(act, 3)
    assert statuses == [1, 3, 1], said
    for rank in (0, 2):
        expected = f"error: rank {rank}: rank 1 of 3 has ended with exit status 3; its own output says why\n"
        assert said[rank].endswith(expected) and said[rank].count("\n") == 1


def test_a_rank_that_ends_because_another_has_is_not_named_by_rank_0_however_slow_that_is(ranks, monkeypatch):
    send = connection.Connection.send

    def send_and_wait_for_the_end(self, kind, *rest, **options):
        send(self, kind, *rest, **options)
        if kind == hub._LOST:
            # It has been told, and ends before this process does anything else.
            ended = select.poll()
            ended.register(self._socket, select.POLLRDHUP | select.POLLHUP)
            ended.poll()
            time.sleep(0.1)  # in which another thread of this process may notice it

    monkeypatch.setattr(connection.Connection, "send", send_and_wait_for_the_end)

    def act(hub, rank):
        _meet(hub)
        if rank == 1:
            hub.leave(3)
            return 3
        time.sleep(600)

    statuses, said = ranks(act, 3)
    assert statuses == [1, 3, 1], said
    assert said[0].endswith("rank 0: rank 1 of 3 has ended with exit status 3; its own output says why\n"), said


@pytest.mark.parametrize("status", [128 + signal.SIGTERM, TIME_IS_UP])
def test_ranks_that_stop_together_have_time_to(ranks, status):
    def act(hub, rank):
        time.sleep(0.3 * rank)
        hub.leave(status)
        return status

    assert ranks(act) == ([status] * 2, [""] * 2)


def test_a_rank_that_has_left_is_not_missed(ranks):
    def act(hub, rank):
        hub.collect("end", b"")
        hub.spread("end")
        hub.leave()
        time.sleep(0.2 * rank)

    assert ranks(act, 3) == ([0] * 3, [""] * 3)


def test_the_launcher_says_which_rank_is_lost(ranks, monkeypatch):
    monkeypatch.setenv(LAUNCHER, "1:1")
    monkeypatch.setattr(hub, "_LAUNCHERS_TIME", 0.3)

    def act(hub, rank):
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)

    assert ranks(act) == ([HAS_LOST_ANOTHER, -9], ["", ""])


def test_a_machine_that_falls_silent_is_lost_within_half_a_minute():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = connection.connect_soon(*listener.getsockname(), 5)
        connection.Connection(connected)
        level, options = socket.IPPROTO_TCP, (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, interval, count = (connected.getsockopt(level, option) for option in options)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle + interval * count <= 25
        assert connected.getsockopt(level, socket.TCP_USER_TIMEOUT) <= 25000  # of what was sent and not received
        connected.close()


# Meeting -------------------------------------------------------------------------------------------------------------


def test_rank_0_names_how_many_have_come(monkeypatch, port):
    monkeypatch.setenv(TIMEOUT, "0.3")
    with pytest.raises(PluginError, match=rf"^1 of 3 ranks have connected to localhost:{port} \(0\.3 s, {TIMEOUT}\)$"):
        Hub("localhost", port, 0, 3)
    connection.listen("localhost", port).close()  # the port is free again


def test_ranks_that_have_come_hear_how_many_are_missing(ranks, monkeypatch):
    original, await_all = Hub.__init__, Hub._await_all

    def init(self, host, port, rank, num_ranks):
        original(self, host, port, rank, 3)

    def await_one_and_lose_patience(self):
        with self._change:
            self._change.wait_for(lambda: self._connections)
        os.environ[TIMEOUT] = "0.1"  # of rank 0, a process of its own
        await_all(self)

    monkeypatch.setattr(Hub, "__init__", init)
    monkeypatch.setattr(Hub, "_await_all", await_one_and_lose_patience)
    statuses, said = ranks(lambda hub, rank: 0)
    assert statuses == [99, 99]
    assert all("PluginError('2 of 3 ranks have connected to 127.0.0.1:" in words for words in said)


def test_a_rank_names_where_there_is_no_rank_0(monkeypatch, port):
    monkeypatch.setenv(TIMEOUT, "0.3")
    with pytest.raises(PluginError, match=rf"^no rank 0 at 127\.0\.0\.1:{port}: Connection refused \(0\.3 s, "):
        Hub("127.0.0.1", port, 1, 2)


def test_a_host_that_does_not_exist_is_named_at_once(monkeypatch, port):
    monkeypatch.setenv(TIMEOUT, "1")  # where no server of names can be asked, the same question is asked again
    for rank in (0, 1):
        with pytest.raises(PluginError, match=f"nowhere.invalid:{port}: .*[Nn]ame"):
            Hub("nowhere.invalid", port, rank, 2)


def test_a_port_in_use_is_named(port):
    complaint = f"^cannot listen on 127.0.0.1:{port}: Address already in use$"
    with connection.listen("127.0.0.1", port), pytest.raises(PluginError, match=complaint):
        Hub("127.0.0.1", port, 0, 2)


def test_something_else_than_rank_0_is_named(monkeypatch, port):
    with connection.listen("127.0.0.1", port) as listener:

        def answer():
            connected, _ = listener.accept()
            connected.sendall(b"\x00" * 64)
            connected.recv(1)

        threading.Thread(target=answer, daemon=True).start()
        # A frame of kind 0 and length 0 would be rank 0's; HTTP is not.
        monkeypatch.setattr(hub, "_READY", 77)
        with pytest.raises(PluginError, match=f"^what listens on 127.0.0.1:{port} is not rank 0 of this run$"):
            Hub("127.0.0.1", port, 1, 2)


def test_a_rank_that_is_lost_before_this_one_has_learnt_that_all_are_here_is_named(port):
    with connection.listen("127.0.0.1", port) as listener:

        def answer():
            connected = connection.Connection(listener.accept()[0])
            connected.read(hub._HELLO.size)
            connected.send(hub._LOST, hub._LOSS.pack(2, 3))

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(PluginError, match="^rank 2 of 3 has ended with exit status 3; its own output says why$"):
            Hub("127.0.0.1", port, 1, 3)


def test_rank_0_does_not_fail_of_a_rank_that_is_gone_when_it_would_be_told_that_all_are_here(ranks, monkeypatch):
    send = connection.Connection.send

    def send_unless_gone(self, kind, *rest, **options):
        if kind == hub._READY:
            raise BrokenPipeError
        send(self, kind, *rest, **options)

    monkeypatch.setattr(connection.Connection, "send", send_unless_gone)
    statuses, _ = ranks(lambda hub, rank: 7)
    assert statuses == [7, 99]


@pytest.mark.parametrize(
    "rank, num_ranks, complaint",
    [
        (1, 2, "two processes were started as rank 1 of 2"),
        (1, 3, "rank 1 was started as one of 3 ranks, rank 0 as one of 2"),
    ],
)
def test_a_rank_that_cannot_be_one_of_the_run_is_refused(monkeypatch, port, rank, num_ranks, complaint):
    monkeypatch.setattr(Hub, "_end", lambda *_: None)
    hubs = []
    threads = [
        threading.Thread(target=lambda number=number: hubs.append(Hub("127.0.0.1", port, number, 2)))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(PluginError, match=f"^{complaint}$"):
        Hub("127.0.0.1", port, rank, num_ranks)
    for one in hubs:
        one.leave()


def test_a_stranger_at_the_port_is_ignored(ranks, port):
    def act(hub, rank):
        if rank == 1:
            for words in (b"GET / HTTP/1.0\r\n\r\n" + b"x" * 64, b""):
                with socket.create_connection(("127.0.0.1", port)) as connected, contextlib.suppress(OSError):
                    connected.sendall(words)  # a connection that is closed early fails here or there
                    connected.shutdown(socket.SHUT_WR)
                    assert connected.recv(1) == b""
        hub.collect("end", b"")
        hub.spread("end")
        hub.leave()

    assert ranks(act) == ([0, 0], ["", ""])


def test_a_rank_may_take_long_from_connecting_to_its_first_word(ranks, monkeypatch):
    monkeypatch.setattr(hub, "_CONNECT_TIMEOUT", 0.1)
    monkeypatch.setenv(TIMEOUT, "60")
    connect = connection.connect_soon

    def connect_and_pause(host, port, limit):
        connected = connect(host, port, limit)
        time.sleep(0.5)
        return connected

    monkeypatch.setattr(hub, "connect_soon", connect_and_pause)
    assert ranks(lambda hub, rank: hub.leave()) == ([0, 0], ["", ""])


# The way to JAX's coordination service --------------------------------------------------------------------------------


def test_a_tunnel_leads_to_the_service_and_never_hangs_up(ranks):
    def act(hub, rank):
        if rank == 0:
            with connection.listen("127.0.0.1", hub.service_port) as listener:
                hub.spread("ready", b"")
                service, _ = listener.accept()
            assert service.recv(100) == b"question"
            service.sendall(b"answer")
            service.close()
            hub.spread("closed", b"")
        else:
            hub.spread("ready")
            with socket.create_connection(("127.0.0.1", hub.tunnel())) as client:
                client.sendall(b"question")
                assert client.recv(100) == b"answer"
                hub.spread("closed")
                client.settimeout(0.5)
                with pytest.raises(socket.timeout):
                    client.recv(100)
        hub.collect("end", b"")
        hub.spread("end")
        hub.leave()

    assert ranks(act) == ([0, 0], ["", ""])
