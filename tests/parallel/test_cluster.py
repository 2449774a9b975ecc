"""What a cluster's launcher sets is checked and made what MXNet understands, and no process waits for ever."""

import os
import socket
import subprocess
import sys
import time

import pytest

from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.parallel import cluster
from gluonnlp_snli_plugin.system.follow import LAUNCHER


@pytest.fixture
def variables(monkeypatch, port):
    """Sets the variables of a cluster of two ranks and a server, as others give them."""
    for name in list(os.environ):
        if name.startswith("DMLC_") or name in (LAUNCHER, cluster.TIMEOUT):
            monkeypatch.delenv(name)

    def set_variables(**more):
        values = {"URI": "localhost", "PORT": str(port)}
        values = {f"DMLC_PS_ROOT_{name}": value for name, value in values.items()}
        for name, value in {**values, "DMLC_NUM_WORKER": "2", "DMLC_NUM_SERVER": "1", **more}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.parametrize("role", ["scheduler", "server", "worker"])
def test_names_become_addresses(variables, role):
    variables(DMLC_NODE_HOST="localhost" if role == "server" else None)
    cluster._check(role)
    assert os.environ["DMLC_PS_ROOT_URI"] == "127.0.0.1"
    assert os.environ.get("DMLC_NODE_HOST") == (None if role == "scheduler" else "127.0.0.1")
    assert cluster._place() == f"localhost:{os.environ['DMLC_PS_ROOT_PORT']} (127.0.0.1)"
    cluster._check(role)  # twice is as once


def test_a_machine_of_several_addresses_has_the_one_by_which_it_reaches_the_scheduler(variables):
    variables(DMLC_PS_ROOT_URI="127.0.0.7")
    cluster._check("worker")
    assert os.environ["DMLC_NODE_HOST"] == "127.0.0.1"


@pytest.mark.parametrize("port, left", [("9100", None), ("9101", "9101")])
def test_the_port_of_the_scheduler_is_left_to_it(variables, monkeypatch, port, left):
    monkeypatch.setenv("PORT", port)
    variables(DMLC_PS_ROOT_PORT="9100")
    cluster._check("server")
    assert os.environ.get("PORT") == left


def test_an_interface_that_the_user_names_is_left_to_mxnet(variables):
    variables(DMLC_INTERFACE="lo")
    cluster._check("worker")
    assert "DMLC_NODE_HOST" not in os.environ


@pytest.mark.parametrize(
    "more, complaint",
    [
        ({"DMLC_PS_ROOT_URI": "nowhere.invalid"}, "DMLC_PS_ROOT_URI is 'nowhere.invalid': .*; MXNet needs an IPv4"),
        ({"DMLC_PS_ROOT_URI": "a" * 64}, "DMLC_PS_ROOT_URI is 'a{64}': .*; MXNet needs an IPv4"),
        ({"DMLC_PS_ROOT_URI": None, "DMLC_NUM_SERVER": ""}, "DMLC_PS_ROOT_URI, DMLC_NUM_SERVER must be set"),
        ({"DMLC_PS_ROOT_PORT": "http"}, "DMLC_PS_ROOT_PORT is 'http'; it must be a number from 1 to 65535"),
        ({"DMLC_PS_ROOT_PORT": "65536"}, "DMLC_PS_ROOT_PORT is '65536'; it must be a number from 1 to 65535"),
        ({"DMLC_NUM_WORKER": "0"}, "DMLC_NUM_WORKER is '0'; it must be a number from 1"),
        ({"DMLC_INTERFACE": "eth99"}, "DMLC_INTERFACE is 'eth99'; this machine has .*lo"),
        ({cluster.TIMEOUT: "soon"}, f"{cluster.TIMEOUT} is 'soon'; it must be a number of seconds"),
        ({cluster.TIMEOUT: "0"}, f"{cluster.TIMEOUT} is '0'; it must be a number of seconds"),
    ],
)
def test_what_mxnet_would_fail_of_is_named(variables, more, complaint):
    variables(**more)
    with pytest.raises(PluginError, match=f"^{complaint}") as refused:
        cluster.join()
    assert "\n" not in str(refused.value)


def test_a_role_that_there_is_not_is_named(variables):
    variables()
    with pytest.raises(PluginError, match="DMLC_ROLE is 'master'; it must be scheduler, server, worker"):
        cluster._check("master")


def test_a_scheduler_says_why_it_cannot_listen(variables):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        variables(DMLC_PS_ROOT_PORT=str(other.getsockname()[1]))
        with pytest.raises(PluginError, match=r"cannot listen on localhost:\d+ \(127.0.0.1\): Address already in use"):
            cluster._check("scheduler")
    variables(DMLC_PS_ROOT_URI="192.0.2.1")  # of the documentation's, nobody's
    if subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True).stdout.count("192.0.2.1/"):
        pytest.skip("an address of this machine")
    with pytest.raises(PluginError, match=r"cannot listen on 192.0.2.1:\d+: Cannot assign requested address"):
        cluster._check("scheduler")


def test_connections_that_others_have_opened_are_counted():
    before = cluster._num_connections()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        for number in range(before + 3):
            other = socket.create_connection(listening.getsockname())
            accepted, _ = listening.accept()
            assert cluster._num_connections() == max(before, number + 1)
            accepted.detach()
            other.detach()


_SERVES = "import gluonnlp_snli_plugin"
_TRAINS = """
import gluonnlp_snli_plugin
from gluonnlp_snli_plugin.parallel.parameter_server import ParameterServer
ranks = ParameterServer()
input()
ranks.close()
"""


def _start(role, code, **kwargs):
    environment = {**os.environ, "DMLC_ROLE": role}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, **kwargs)


def _soon(happens):
    deadline = time.monotonic() + 600
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.05)
    return happens()


def test_processes_whose_others_never_come_say_so_and_end(variables):
    variables(**{cluster.TIMEOUT: "1"})
    place = f"localhost:{os.environ['DMLC_PS_ROOT_PORT']} (127.0.0.1)"
    said = {
        "scheduler": f"0 of 3 workers and servers have connected to {place}",
        "worker": f"no scheduler at {place}: Connection refused",
    }
    for role, reason in said.items():
        process = _start(role, _SERVES if role == "scheduler" else _TRAINS)
        _, errors = process.communicate()
        assert errors == f"gluonnlp-snli: error: {role}: {reason} (1 s, {cluster.TIMEOUT})\n"
        assert process.returncode == 1


class _Leaving:
    """Never happens; writes to a file descriptor once the watch has looked at the connections."""

    def __init__(self, descriptor):
        self._descriptor, self._waits = descriptor, 0

    def wait(self, seconds):
        self._waits += 1
        if self._waits == 2:
            os.write(self._descriptor, b"seen ")
        time.sleep(seconds)


def test_a_process_that_loses_another_says_so_and_ends(variables):
    variables()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    others = [socket.create_connection(listening.getsockname()) for _ in range(cluster._expected("server"))]
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.dup2(writing, 2)
            sys.stderr = os.fdopen(2, "w")
            accepted = [listening.accept()[0] for _ in others]
            for other in others:
                other.close()
            assert len(accepted) == 4
            cluster._watch("server", 1.0, _Leaving(writing))
        finally:
            os._exit(99)
    os.close(writing)
    assert os.read(reading, 5) == b"seen "
    others[0].shutdown(socket.SHUT_RDWR)
    _, status = os.waitpid(process, 0)
    for opened in (listening, *others):
        opened.close()
    with os.fdopen(reading) as errors:
        reason = "server: lost the connection to 1 of 3 other processes"
        assert errors.read() == f"gluonnlp-snli: error: {reason} (1 s, {cluster.TIMEOUT})\n"
    assert os.WEXITSTATUS(status) == 1


@pytest.mark.slow
def test_processes_that_have_met_have_the_connections_that_are_watched(variables):
    variables()
    roles = ["scheduler", "server", "worker", "worker"]
    processes = [_start(role, _TRAINS if role == "worker" else _SERVES, stdin=subprocess.PIPE) for role in roles]

    def connections():
        return [cluster._num_connections(str(process.pid)) for process in processes if process.poll() is None]

    assert _soon(lambda: connections() == list(map(cluster._expected, roles))), connections()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 4
    assert [process.stderr.read() for process in processes] == [""] * 4
    for process in processes:
        process.stderr.close()
