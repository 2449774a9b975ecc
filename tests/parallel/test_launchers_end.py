"""No process outlives a launcher that is killed."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.parallel import horovod_run, launch

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


@pytest.fixture
def marked(runs, tmp_path):
    """The processes of a test that have not ended."""

    def find():
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"MARKER={tmp_path}" in path.read_text(errors="replace").split("\0") and runs(path.parent.name):
                    found.add(int(path.parent.name))
        return found

    return find


@pytest.fixture
def launcher(marked, monkeypatch, tmp_path):
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
    for process in marked():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


# Seconds: before a rank runs Python, while it starts, while it imports MXNet.
_MOMENTS = [0.005, 0.02, 0.05, 0.3, 1.0] + [step / 20 for step in range(60) if os.environ.get("KILLS")]


@pytest.mark.parametrize("backend", ["dist_sync", "horovod"])
def test_no_process_outlives_a_launcher_that_is_killed_at_whatever_moment(launcher, marked, soon, backend):
    for moment in _MOMENTS:
        process = launcher(backend)
        time.sleep(moment)
        assert moment < 1.0 or soon(lambda: len(marked()) >= 4)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        looks_without = 0  # one look may miss a process that is about to become the program that is marked
        deadline = time.monotonic() + 300
        while looks_without < 5:
            assert time.monotonic() < deadline, f"processes are left of a launcher that was killed after {moment} s"
            looks_without = 0 if marked() else looks_without + 1
            time.sleep(0.05)
