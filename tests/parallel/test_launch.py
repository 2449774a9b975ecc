"""Ranks are started, followed and ended; nothing they started is left. Small programs stand in for ranks."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.errors import PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.parallel import horovod_run, launch, processes
from gluonnlp_snli_plugin.parallel.place import HAS_SAID_WHY, RANK
from gluonnlp_snli_plugin.system import threads

# Starts a process that belongs to nobody: of a session of its own, the child of a process that has ended.
_DAEMON = """
import os
if os.fork():
    os._exit(0)
os.setsid()
daemon = os.fork()
if daemon:
    print(daemon, flush=True)
    os._exit(0)
os.close(1)
os.execvp("sleep", ["sleep", "60"])
"""


def _python(code, **kwargs):
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **kwargs)


def _runs(process):
    """Whether there is a process of that number that has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _soon(happens):
    deadline = time.monotonic() + 600
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happens()


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(launch, "_GRACE", 0.3)
    monkeypatch.setattr(processes, "PATIENCE", 2.0)


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


@pytest.mark.parametrize("status, signed", [(0, 0), (1, 1), (120, 120), (128, 128), (137, -9), (143, -15)])
def test_a_shells_status_for_a_signal_is_known(status, signed):
    assert horovod_run.signed(status) == signed


@pytest.mark.parametrize("status", [193, 254, 255])
def test_a_status_that_is_no_signal_is_itself(status):
    assert launch._how(horovod_run.signed(status)) == f"failed with exit status {status}"


def test_a_signal_without_a_name_has_a_number():
    assert launch._how(-35).startswith("was killed by signal 35")


# Ports ---------------------------------------------------------------------------------------------------------------


def test_a_port_is_found_where_none_is_asked_for():
    port = launch._free_port(None)
    assert port > 0 and launch._free_port(port) == port


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"^--port {port}: Address already in use; give another") as refused:
            launch._free_port(port)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("port", [65536, -1, 10**20])
def test_what_is_no_port_is_named(port):
    with pytest.raises(UsageError, match=f"^--port {port}: ") as refused:
        launch._free_port(port)
    assert "\n" not in str(refused.value)


# Processes -----------------------------------------------------------------------------------------------------------


def test_descendants_are_children_and_theirs():
    with processes.no_process_left():
        child = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
        grandchild = int(child.stdout.readline())
        found = processes.descendants()
        assert {child.pid, grandchild} <= found and os.getpid() not in found and os.getppid() not in found
    child.stdout.close()


def test_no_process_is_left_not_even_an_orphan_of_another_session():
    with processes.no_process_left():
        starter = _python(_DAEMON, stdout=subprocess.PIPE)
        daemon = int(starter.stdout.readline())
        starter.wait()
        assert _soon(lambda: processes.parents()[daemon] == os.getpid())
        assert _runs(daemon) and os.getsid(daemon) != os.getsid(0)
    starter.stdout.close()
    assert not _runs(daemon)
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)


def test_no_process_is_left_by_what_fails():
    with pytest.raises(KeyError), processes.no_process_left():
        process = subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; echo; sleep 60 & wait"], stdout=subprocess.PIPE)
        process.stdout.readline()
        raise KeyError
    process.stdout.close()
    assert not _runs(process.pid)


def test_no_process_is_left_that_starts_while_others_are_ended(monkeypatch):
    started = []
    look = processes.descendants

    def look_before_one_starts():
        found = look()
        if process.pid in found and not started:
            process.stdin.write(b"\n")
            process.stdin.flush()
            started.append(int(process.stdout.readline()))
        return found

    with processes.no_process_left():
        code = "import subprocess; input(); print(subprocess.Popen(['sleep', '3600']).pid, flush=True); input()"
        process = _python(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        monkeypatch.setattr(processes, "descendants", look_before_one_starts)
    assert started and not _runs(started[0])
    process.stdin.close()
    process.stdout.close()


def test_who_was_there_before_stays_and_orphans_are_nobodys_again():
    before = subprocess.Popen(["sleep", "60"])
    try:
        with processes.no_process_left():
            subprocess.Popen(["sleep", "60"])
        assert _runs(before.pid)
        is_subreaper = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(37, ctypes.byref(is_subreaper))
        assert is_subreaper.value == 0
    finally:
        before.kill()
        before.wait()


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


def test_who_does_not_end_when_asked_is_made_to(monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    process = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], stdout=-1)
    process.stdout.readline()
    processes.end([process])
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL


# Ranks that are children of this process -----------------------------------------------------------------------------


def _follow(folder, ranks, helpers=()):
    return launch._Processes([_python(code) for code in ranks], [_python(code) for code in helpers], folder)


_SLEEP = "import time; time.sleep(60)"


def test_ranks_that_succeed_are_no_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "PATIENCE", 600)
    followed = _follow(tmp_path, ["", "import time; time.sleep(0.2)"], ["import time; time.sleep(0.4)"] * 2)
    assert followed.wait() is None
    followed.stop()
    assert [helper.returncode for helper in followed._helpers] == [0, 0]


def test_helpers_that_do_not_end_by_themselves_are_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    followed = _follow(tmp_path, [""], [_SLEEP])
    assert followed.wait() is None
    followed.stop()
    assert followed._helpers[0].returncode in (-signal.SIGTERM, -signal.SIGKILL)  # the latter where it takes its time


def test_the_rank_that_failed_is_named_and_heard_and_the_others_are_ended(hurry, tmp_path):
    (tmp_path / "rank-1").write_bytes(b"what went wrong \xff\n")
    followed = _follow(tmp_path, [_SLEEP, "raise SystemExit(3)"], [_SLEEP])
    failure = followed.wait()
    assert (failure.rank, failure.status, failure.output) == (1, 3, "what went wrong \ufffd\n")
    followed.stop()
    assert {process.returncode for process in (followed._ranks[0], *followed._helpers)} == {-signal.SIGTERM}


def test_a_rank_that_was_killed_is_a_failure(hurry, tmp_path):
    followed = _follow(tmp_path, ["import os; os.kill(os.getpid(), 9)"])
    failure = followed.wait()
    assert (failure.rank, failure.status, failure.output) == (0, -9, "")
    followed.stop()


def test_of_ranks_that_fail_together_the_first_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "_GRACE", 600)
    followed = _follow(tmp_path, ["import time; time.sleep(0.4); raise SystemExit(4)", "raise SystemExit(5)"])
    assert (followed.wait().rank, [rank.returncode for rank in followed._ranks]) == (0, [4, 5])
    followed.stop()


@pytest.mark.parametrize("said, reason", [("one\nthe last line\n\n", "the last line"), ("", "it said nothing")])
def test_a_helper_that_fails_is_named_with_its_last_line(hurry, tmp_path, said, reason):
    (tmp_path / "server").write_text(said)
    followed = _follow(tmp_path, [_SLEEP], [_SLEEP, "raise SystemExit(7)"])
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
    port = launch._free_port(None)
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
    port = launch._free_port(None)
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
        start("if rank == 1: print('why', file=sys.stderr); sys.exit(3)\ntime.sleep(60)", backend="jax")
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
        start(f"if rank == {rank}: print('why', file=sys.stderr); sys.exit(3)\ntime.sleep(60)")
    assert capfd.readouterr() == ("", "why\n")


@pytest.mark.parametrize("status, own", [(2, 2), (HAS_SAID_WHY, 1)])
def test_a_rank_that_has_said_why_says_it_all(start, capfd, status, own):
    assert start(f"if rank == 1: print('why', file=sys.stderr); sys.exit({status})\ntime.sleep(60)") == own
    assert capfd.readouterr() == ("", "why\n")


def test_a_rank_that_was_killed_is_named_with_the_signal(start):
    with pytest.raises(PluginError, match=r"^rank 1 of 2 was killed by signal 9 \(SIGKILL\); "):
        start("if rank == 1: os.kill(os.getpid(), 9)\ntime.sleep(60)")


def test_nothing_is_left_of_a_run(start, tmp_path):
    before = processes.descendants()
    with pytest.raises(PluginError, match="rank 1"):
        start(
            "import subprocess\n"
            "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
            "open(f'{sys.argv[1]}/new-{rank}', 'w').write(str(child.pid))\n"
            "os.rename(f'{sys.argv[1]}/new-{rank}', f'{sys.argv[1]}/{rank}')\n"
            "while not os.path.exists(f'{sys.argv[1]}/0'): time.sleep(0.02)\n"
            "if rank == 1: os._exit(1)\n"
            "time.sleep(60)\n",
            tmp_path,
        )
    assert not any(_runs(int((tmp_path / rank).read_text())) for rank in "01")
    assert processes.descendants() <= before


def test_a_run_that_cannot_start_says_so(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(UsageError, match="Address already in use"):
            start("", port=other.getsockname()[1])


# horovodrun ----------------------------------------------------------------------------------------------------------

_VERDICT = (
    "RuntimeError: Horovod detected that one or more processes exited with non-zero status, thus causing the job to be "
    "terminated. The first process to do so was:\nProcess name: {}\nExit code: {}\n"
)


@pytest.fixture
def horovodrun(tmp_path):
    """A program that says lines and ends with a status, as ``horovodrun`` would."""
    started = []

    def start(said, status=0):
        said = said if isinstance(said, bytes) else said.encode()
        code = f"import sys; sys.stdout.buffer.write({said!r}); sys.exit({status})"
        started.append(
            horovod_run.HorovodRun(_python(code, stdout=subprocess.PIPE, stderr=subprocess.STDOUT), tmp_path)
        )
        return started[-1]

    yield start
    for run in started:
        run.stop()


def test_rank_0_of_horovod_is_heard_on_its_own_streams(horovodrun, capsys):
    run = horovodrun("[0]<stdout>:one\n[1]<stdout>:two\n[0]<stderr>:three\n[10]<stderr>:four\nits own words\n")
    assert run.wait() is None
    assert capsys.readouterr() == ("one\n", "three\n")


def test_what_rank_0_of_horovod_writes_is_not_touched(horovodrun, capfdbinary):
    lines = b"\xff\xfe\n  [1]<stdout>:not a rank's\n\n50%|###   |\rdone\n"
    said = b"".join(b"[0]<stdout>:" + line for line in lines.splitlines(True) if line.endswith(b"\n"))
    assert horovodrun(said).wait() is None
    assert capfdbinary.readouterr().out == b"".join(line for line in lines.splitlines(True) if line.endswith(b"\n"))


def test_a_rank_of_horovod_that_fails_is_named_and_heard(horovodrun, capsys):
    said = "[0]<stdout>:one\n[1]<stderr>:why\n[2]<stderr>:not me\n[1]<stdout>:and more\n[1]<stderr>:Terminated\n"
    failure = horovodrun(said + _VERDICT.format(1, 3), 1).wait()
    assert (failure.rank, failure.status, failure.output) == (1, 3, "why\n")
    assert capsys.readouterr() == ("one\n", "")


def test_ranks_of_horovod_that_fail_together_are_heard_once(horovodrun, capsys):
    said = "[1]<stderr>:Traceback\n[0]<stderr>:Traceback\n[0]<stderr>:ValueError\n[1]<stderr>:ValueError\n"
    failure = horovodrun(said + _VERDICT.format(1, 1), 1).wait()
    assert (failure.rank, failure.status, failure.output) == (0, 1, "")
    assert capsys.readouterr().err == "Traceback\nValueError\n"


@pytest.mark.parametrize("status, expected", [(137, -9), (3, 3)])
def test_a_rank_of_horovod_that_says_nothing_is_named(horovodrun, status, expected):
    failure = horovodrun("[0]<stderr>:as usual\n" + _VERDICT.format(1, status), 1).wait()
    assert (failure.rank, failure.status, failure.output) == (1, expected, "")


def test_rank_0_of_horovod_that_fails_has_been_heard(horovodrun, capsys):
    failure = horovodrun("[0]<stderr>:why\n[1]<stderr>:not me\n" + _VERDICT.format(0, 2), 1).wait()
    assert (failure.rank, failure.status, failure.output) == (0, 2, "")
    assert capsys.readouterr().err == "why\n"


@pytest.mark.parametrize("code, status", [(137, -9), (-9, -9), (120, 120)])
def test_a_rank_of_horovod_that_was_killed_is_told_by_its_signal(horovodrun, code, status):
    assert horovodrun(_VERDICT.format(12, code), 1).wait().status == status


@pytest.mark.parametrize(
    "said, reason", [("[0]<stdout>:one\nno slots\n\n", "no slots"), ("", "it said nothing"), ("\xe9\n", "\xe9")]
)
def test_horovodrun_that_fails_itself_is_quoted(horovodrun, said, reason):
    with pytest.raises(PluginError, match=f"^horovodrun failed: {reason}$"):
        horovodrun(said, 1).wait()


def test_horovodrun_is_ended_with_its_run(hurry, tmp_path):
    run = horovod_run.HorovodRun(_python(_SLEEP, stdout=subprocess.PIPE), tmp_path)
    run.stop()
    assert run._process.returncode == -signal.SIGTERM


def test_horovodrun_gets_the_command(monkeypatch, tmp_path, capsys):
    program = tmp_path / "horovodrun"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('[0]<stdout>:' + repr(sys.argv[1:]))\n")
    program.chmod(0o755)
    monkeypatch.setattr(horovod_run, "import_horovod", lambda: None)
    monkeypatch.setattr(
        horovod_run.shutil, "which", lambda name, path=None: str(program) if name == program.name else None
    )
    assert launch.launch(["run", "two words"], 3, "horovod") == 0
    command = [*launch._COMMAND, "run", "two words"]
    assert capsys.readouterr().out == f"{['--gloo', '-np', '3', *command]!r}\n"


# The launcher's end ---------------------------------------------------------------------------------------------------

# As far as processes are concerned: each rank is the child of a shell, the child of a process of a session of its own,
# which does not end with its parent.
_HOROVODRUN = """
import os, subprocess, sys, time
for rank in range(int(sys.argv[3])):
    if os.fork() == 0:
        os.setsid()
        os._exit(subprocess.call(["sh", "-c", '"$@"; exit $?', "sh", *sys.argv[4:]]))
time.sleep(3600)
"""


def _marked(marker):
    """The processes that carry a marker and have not ended."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"MARKER={marker}" in path.read_text(errors="replace").split("\0") and _runs(path.parent.name):
                found.add(int(path.parent.name))
    return found


@pytest.fixture
def launcher(monkeypatch, tmp_path):
    """Forks a launcher of endless ranks, which are whole programs of ours; returns its process number."""
    monkeypatch.setenv("MARKER", str(tmp_path))
    program = tmp_path / "horovodrun"
    program.write_text(f"#!{sys.executable}\n{_HOROVODRUN}")
    program.chmod(0o755)
    monkeypatch.setattr(horovod_run, "import_horovod", lambda: None)
    monkeypatch.setattr(
        horovod_run.shutil, "which", lambda name, path=None: str(program) if name == program.name else None
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(3600)\n")

    def fork(backend):
        process = os.fork()
        if process == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                launch.launch(["run", "--comm", backend, "endless.py"], 2, backend)
            finally:
                os._exit(1)
        return process

    yield fork
    for process in _marked(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


# Seconds: before a rank runs Python, while it starts, while it imports MXNet.
_MOMENTS = [0.005, 0.02, 0.05, 0.3, 1.0] + [step / 20 for step in range(60) if os.environ.get("KILLS")]


@pytest.mark.parametrize("backend", ["dist_sync", "horovod"])
def test_no_process_outlives_a_launcher_that_is_killed_at_whatever_moment(launcher, tmp_path, backend):
    for moment in _MOMENTS:
        process = launcher(backend)
        time.sleep(moment)
        assert moment < 1.0 or _soon(lambda: len(_marked(tmp_path)) >= 4)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        looks_without = 0  # one look may miss a process that is about to become the program that is marked
        deadline = time.monotonic() + 300
        while looks_without < 5:
            assert time.monotonic() < deadline, f"processes are left of a launcher that was killed after {moment} s"
            looks_without = 0 if _marked(tmp_path) else looks_without + 1
            time.sleep(0.05)


def test_horovod_finds_its_port_by_itself():
    with pytest.raises(UsageError, match="--port is for --comm dist_sync and jax;"):
        launch.launch([], 2, "horovod", 9000)


def test_without_horovodrun_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(horovod_run, "import_horovod", lambda: None)
    monkeypatch.setattr(horovod_run.shutil, "which", lambda name, path=None: None)
    with pytest.raises(PluginError, match="no program horovodrun"):
        launch.launch([], 2, "horovod")


def test_a_rank_that_is_gone_is_missed_where_horovodrun_does_not_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    gone = _python("")
    gone.wait()
    (tmp_path / "alive-1").write_text(str(gone.pid))
    (tmp_path / "alive-0").write_text(str(os.getpid()))
    run = horovod_run.HorovodRun(_python(_SLEEP, stdout=subprocess.PIPE), tmp_path)
    try:
        failure = run.wait()
    finally:
        run.stop()
    assert (failure.rank, failure.status) == (1, None)
    assert launch._how(failure.status) == "died"


def test_a_rank_is_alive_until_it_leaves(tmp_path, monkeypatch):
    monkeypatch.setenv(processes.ALIVE, str(tmp_path))
    with contextlib.suppress(KeyError), launch.alive(1):
        assert (tmp_path / "alive-1").read_text() == str(os.getpid())
        raise KeyError
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv(processes.ALIVE)
    with launch.alive(1):
        assert not list(tmp_path.iterdir())
