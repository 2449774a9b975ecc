"""Ranks are started, followed and ended. Small programs stand in for ranks."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from gluonnlp_snli_plugin.errors import PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.parallel import horovod_run, launch, processes
from gluonnlp_snli_plugin.parallel.place import HAS_LOST_ANOTHER, HAS_SAID_WHY, RANK
from gluonnlp_snli_plugin.system import threads

# What is said --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, words",
    [
        (1, "failed with exit status 1"),
        (255, "failed with exit status 255"),
        (-9, "was killed by signal 9 (SIGKILL)"),
        (-11, "was killed by signal 11 (SIGSEGV)"),
    ],
)
def test_an_end_is_told_in_words(status, words):
    assert launch._how(status) == words


@pytest.mark.parametrize("status", [193, 254, 255])
def test_a_status_that_is_no_signal_is_itself(status):
    assert launch._how(horovod_run.signed(status)) == f"failed with exit status {status}"


def test_a_signal_without_a_name_has_a_number():
    assert launch._how(-35).startswith("was killed by signal 35")


# Ports ---------------------------------------------------------------------------------------------------------------


def test_a_port_is_found_where_none_is_asked_for():
    with launch._hold_port(None) as held:
        port = held.getsockname()[1]
    assert port > 0
    with launch._hold_port(port) as held:
        assert held.getsockname()[1] == port


def test_a_port_that_is_held_is_for_those_who_are_told_its_number(port):
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)) as listener, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = listener.accept()
        assert accepted.getpeername() == client.getsockname()
        accepted.close()


def test_a_port_in_use_is_named(port):
    with pytest.raises(UsageError, match=f"^--port {port}: Address already in use; give another") as refused:
        launch._hold_port(port)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("port", [65536, -1, 10**20])
def test_what_is_no_port_is_named(port):
    with pytest.raises(UsageError, match=f"^--port {port}: ") as refused:
        launch._hold_port(port)
    assert "\n" not in str(refused.value)


# Signals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_to_the_ranks_and_a_second_one_ends_all(tmp_path, number):
    before = signal.getsignal(number)
    code = f"import signal, sys, time\nsignal.signal({int(number)}, lambda *_: sys.exit(0))\n"
    code += "print('ready', flush=True)\nwhile True: time.sleep(0.1)"  # a signal just before a sleep waits for its end
    rank = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with rank, launch._Signals() as signals:
        rank.stdout.readline()
        signals.followed = launch._Processes([rank], [], tmp_path)
        os.kill(os.getpid(), number)
        assert rank.wait(timeout=600) == 0 and signals.number == number
        with pytest.raises(Stopped, match="interrupted") as stopped:
            os.kill(os.getpid(), number)
        assert stopped.value.status == 128 + number
    assert signal.getsignal(number) is before


# Ranks that are children of this process -----------------------------------------------------------------------------


@pytest.fixture
def follow(start_python, tmp_path):
    """Starts programs as the ranks and helpers of a run."""

    def start(ranks, helpers=()):
        return launch._Processes(list(map(start_python, ranks)), list(map(start_python, helpers)), tmp_path)

    return start


_SLEEP = "import time; time.sleep(600)"


def test_ranks_that_succeed_are_no_failure(follow, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 600)
    followed = follow(["", "import time; time.sleep(0.2)"], ["import time; time.sleep(0.4)"] * 2)
    assert followed.wait() is None
    followed.stop()
    assert [helper.returncode for helper in followed._helpers] == [0, 0]


def test_helpers_that_do_not_end_by_themselves_are_ended(follow, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    followed = follow([""], [_SLEEP])
    assert followed.wait() is None
    followed.stop()
    assert followed._helpers[0].returncode in (-signal.SIGTERM, -signal.SIGKILL)  # the latter where it takes its time


def test_the_rank_that_failed_is_named_and_heard_and_the_others_are_ended(follow, hurry, tmp_path):
    (tmp_path / "rank-1").write_bytes(b"what went wrong \xff\n")
    followed = follow([_SLEEP, "raise SystemExit(3)"], [_SLEEP])
    failure = followed.wait()
    assert (failure.rank, failure.status, failure.output) == (1, 3, "what went wrong \ufffd\n")
    followed.stop()
    assert {process.returncode for process in (followed._ranks[0], *followed._helpers)} == {-signal.SIGTERM}


def test_a_rank_that_was_killed_is_a_failure(follow, hurry):
    followed = follow(["import os; os.kill(os.getpid(), 9)"])
    failure = followed.wait()
    assert (failure.rank, failure.status, failure.output) == (0, -9, "")
    followed.stop()


def test_of_ranks_that_fail_together_the_first_is_named(follow, monkeypatch):
    monkeypatch.setattr(launch, "_GRACE", 600)
    followed = follow(["import time; time.sleep(0.4); raise SystemExit(4)", "raise SystemExit(5)"])
    assert (followed.wait().rank, [rank.returncode for rank in followed._ranks]) == (0, [4, 5])
    followed.stop()


def test_the_rank_that_failed_is_named_and_not_one_that_has_lost_it_whichever_ends_first(follow, monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "_GRACE", 0.1)
    monkeypatch.setattr(processes, "PATIENCE", 600)
    (tmp_path / "rank-1").write_text("why")
    lost = f"raise SystemExit({HAS_LOST_ANOTHER})"
    os.mkfifo(tmp_path / "fifo")
    followed = follow([lost, f"open({str(tmp_path / 'fifo')!r}).read(); raise SystemExit(3)"])
    followed._ranks[0].wait()
    threading.Timer(0.5, (tmp_path / "fifo").write_text, [""]).start()  # later than ranks that fail together may
    failure = followed.wait()
    assert (failure.rank, failure.status, failure.output) == (1, 3, "why")
    followed.stop()


def test_ranks_that_have_all_lost_another_say_so():
    assert launch._how(HAS_LOST_ANOTHER) == "has lost the connection to another"


@pytest.mark.parametrize("said, reason", [("one\nthe last line\n\n", "the last line"), ("", "it said nothing")])
def test_a_helper_that_fails_is_named_with_its_last_line(follow, hurry, tmp_path, said, reason):
    (tmp_path / "server").write_text(said)
    followed = follow([_SLEEP], [_SLEEP, "raise SystemExit(7)"])
    with pytest.raises(PluginError, match=f"^the parameter server's server failed with exit status 7: {reason}$"):
        followed.wait()
    followed.stop()


# A whole launch ------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(monkeypatch, hurry):
    """Launches a program in place of the command; each rank gets it with its own number as ``rank``."""
    for name in ("OMP_NUM_THREADS", "NPROC", "DMLC_ROLE", RANK):
        monkeypatch.delenv(name, raising=False)

    def run(code, *arguments, num_ranks=2, port=None, backend="dist_sync"):
        as_rank = "import os, sys, time\nif os.environ.get('DMLC_ROLE', 'worker') != 'worker': sys.exit()\n"
        as_rank += f"rank = int(os.environ['{RANK}'])\n"
        monkeypatch.setattr(launch, "_COMMAND", [sys.executable, "-c", as_rank + code])
        return launch.launch(list(map(str, arguments)), num_ranks, backend, port)

    return run


_TELL = """
import json
with open(f"{sys.argv[1]}/{rank}", "w") as file:
    json.dump([sys.argv[2:], dict(os.environ)], file)
"""


def test_every_rank_gets_the_command_and_its_place(start, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 7)
    with launch._hold_port(None) as held:
        port = held.getsockname()[1]
    assert start(_TELL, tmp_path, "--flag", "two words", num_ranks=3, port=port) == 0
    told = [json.loads((tmp_path / str(rank)).read_text()) for rank in range(3)]
    assert [arguments for arguments, _ in told] == [["--flag", "two words"]] * 3
    for rank, (_, environment) in enumerate(told):
        assert environment["DMLC_ROLE"] == "worker" and environment[RANK] == str(rank)
        assert (environment["DMLC_NUM_WORKER"], environment["DMLC_NUM_SERVER"]) == ("3", "1")
        assert (environment["DMLC_PS_ROOT_URI"], environment["DMLC_PS_ROOT_PORT"]) == ("127.0.0.1", str(port))
        assert environment["OMP_NUM_THREADS"] == "2"


def test_ranks_of_jax_get_its_variables(start, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "require_jax", lambda what: None)
    monkeypatch.setattr(threads, "cores", lambda: 7)
    with launch._hold_port(None) as held:
        port = held.getsockname()[1]
    assert start(_TELL, tmp_path, "--flag", num_ranks=3, port=port, backend="jax") == 0
    told = [json.loads((tmp_path / str(rank)).read_text()) for rank in range(3)]
    assert [arguments for arguments, _ in told] == [["--flag"]] * 3
    for rank, (_, environment) in enumerate(told):
        assert environment[RANK] == environment["JAX_PROCESS_ID"] == str(rank)
        assert (environment["JAX_COORDINATOR_ADDRESS"], environment["JAX_NUM_PROCESSES"]) == (f"127.0.0.1:{port}", "3")
        assert environment["NPROC"] == "2" and "DMLC_ROLE" not in environment


def test_a_rank_of_jax_that_fails_ends_the_run_and_is_heard(start, capfd, monkeypatch):
    monkeypatch.setattr(launch, "require_jax", lambda what: None)
    with pytest.raises(PluginError, match="^rank 1 of 2 failed with exit status 3; the run has been stopped$"):
        start("if rank == 1: print('why', file=sys.stderr); sys.exit(3)\ntime.sleep(600)", backend="jax")
    assert capfd.readouterr() == ("", "why\n")


def test_the_user_says_how_many_threads_there_are(start, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert start(_TELL, tmp_path) == 0
    assert json.loads((tmp_path / "1").read_text())[1]["OMP_NUM_THREADS"] == "5"


def test_rank_0_is_heard_and_the_others_are_not(start, capfd):
    assert start("print('out', rank); print('err', rank, file=sys.stderr)") == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_ends_the_run_and_is_heard(start, capfd, rank):
    with pytest.raises(PluginError, match=f"^rank {rank} of 2 failed with exit status 3; the run has been stopped$"):
        start(f"if rank == {rank}: print('why', file=sys.stderr); sys.exit(3)\ntime.sleep(600)")
    assert capfd.readouterr() == ("", "why\n")


@pytest.mark.parametrize("status, own", [(2, 2), (HAS_SAID_WHY, 1)])
def test_a_rank_that_has_said_why_says_it_all(start, capfd, status, own):
    assert start(f"if rank == 1: print('why', file=sys.stderr); sys.exit({status})\ntime.sleep(600)") == own
    assert capfd.readouterr() == ("", "why\n")


def test_a_rank_that_was_killed_is_named_with_the_signal(start):
    with pytest.raises(PluginError, match=r"^rank 1 of 2 was killed by signal 9 \(SIGKILL\); "):
        start("if rank == 1: os.kill(os.getpid(), 9)\ntime.sleep(600)")


def test_nothing_is_left_of_a_run(start, runs, tmp_path):
    before = processes.descendants()
    with pytest.raises(PluginError, match="rank 1"):
        start(
            "import subprocess\n"
            "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
            "open(f'{sys.argv[1]}/new-{rank}', 'w').write(str(child.pid))\n"
            "os.rename(f'{sys.argv[1]}/new-{rank}', f'{sys.argv[1]}/{rank}')\n"
            "while not os.path.exists(f'{sys.argv[1]}/0'): time.sleep(0.02)\n"
            "if rank == 1: os._exit(1)\n"
            "time.sleep(600)\n",
            tmp_path,
        )
    assert not any(runs(int((tmp_path / rank).read_text())) for rank in "01")
    assert processes.descendants() <= before


def test_a_run_that_cannot_start_says_so(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(UsageError, match="Address already in use"):
            start("", port=other.getsockname()[1])


def test_a_run_without_a_place_for_temporary_files_says_so(start, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(PluginError, match="^cannot write to the system's folder for temporary files"):
        start("")


def test_a_rank_is_alive_until_it_leaves(tmp_path, monkeypatch):
    monkeypatch.setenv(processes.ALIVE, str(tmp_path))
    with contextlib.suppress(KeyError), launch.alive(1):
        assert (tmp_path / "alive-1").read_text() == str(os.getpid())
        raise KeyError
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv(processes.ALIVE)
    with launch.alive(1):
        assert not list(tmp_path.iterdir())
