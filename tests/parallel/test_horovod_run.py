"""What horovodrun says of the ranks that it started is shown as that of this program's own launcher."""

import os
import signal
import subprocess
import sys

import pytest

from gluonnlp_snli_plugin.errors import PluginError, UsageError
from gluonnlp_snli_plugin.parallel import horovod_run, launch, processes

_SLEEP = "import time; time.sleep(600)"
_VERDICT = (
    "RuntimeError: Horovod detected that one or more processes exited with non-zero status, thus causing the job to be "
    "terminated. The first process to do so was:\nProcess name: {}\nExit code: {}\n"
)


@pytest.mark.parametrize("status, signed", [(0, 0), (1, 1), (120, 120), (128, 128), (137, -9), (143, -15)])
def test_a_shells_status_for_a_signal_is_known(status, signed):
    assert horovod_run.signed(status) == signed


@pytest.fixture
def horovodrun(start_python, tmp_path):
    """A program that says lines and ends with a status, as ``horovodrun`` would."""
    started = []

    def start(said, status=0):
        said = said if isinstance(said, bytes) else said.encode()
        code = f"import sys; sys.stdout.buffer.write({said!r}); sys.exit({status})"
        started.append(
            horovod_run.HorovodRun(start_python(code, stdout=subprocess.PIPE, stderr=subprocess.STDOUT), tmp_path)
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


def test_horovodrun_is_ended_with_its_run(start_python, hurry, tmp_path):
    run = horovod_run.HorovodRun(start_python(_SLEEP, stdout=subprocess.PIPE), tmp_path)
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


def test_horovod_finds_its_port_by_itself():
    with pytest.raises(UsageError, match="--port is for --comm dist_sync and jax;"):
        launch.launch([], 2, "horovod", 9000)


def test_without_horovodrun_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(horovod_run, "import_horovod", lambda: None)
    monkeypatch.setattr(horovod_run.shutil, "which", lambda name, path=None: None)
    with pytest.raises(PluginError, match="no program horovodrun"):
        launch.launch([], 2, "horovod")


def test_a_rank_that_is_gone_is_missed_where_horovodrun_does_not_notice(start_python, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    gone = start_python("")
    gone.wait()
    (tmp_path / "alive-1").write_text(str(gone.pid))
    (tmp_path / "alive-0").write_text(str(os.getpid()))
    run = horovod_run.HorovodRun(start_python(_SLEEP, stdout=subprocess.PIPE), tmp_path)
    try:
        failure = run.wait()
    finally:
        run.stop()
    assert (failure.rank, failure.status) == (1, None)
    assert launch._how(failure.status) == "died"
