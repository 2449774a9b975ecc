"""Processes end with the launcher that started them, however late they begin."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.system import follow

_FOREVER = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


def _soon(happens):
    deadline = time.monotonic() + 600
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happens()


def test_a_process_is_known_by_its_number_and_its_start():
    process = subprocess.Popen(["sleep", "600"])
    identity = follow.identity(process.pid)
    assert identity.startswith(f"{process.pid}:") and follow.identity(process.pid) == identity
    process.kill()
    assert _soon(lambda: not follow.identity(process.pid))  # nobody has waited for it yet
    process.wait()
    assert not follow.identity(process.pid)


def test_a_process_that_follows_its_parent_and_all_that_it_forks_die_with_it():
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            if os.fork() == 0:
                follow.follow_parent()
                if os.fork() == 0 and os.fork() == 0:
                    os.write(writing, b"x")
            time.sleep(600)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(reading, 1) == b""  # all who held the other end are gone
    os.close(reading)


def test_whoever_is_forked_by_a_process_that_is_gone_ends_at_once():
    reading, writing = os.pipe()
    follower = os.fork()
    if follower == 0:
        try:
            follow.follow_parent()
            os.getppid = lambda: 1  # its parent has ended before it could ask for the signal
            if os.fork() == 0:
                os.write(writing, b"alive")
                os._exit(0)
            os.wait()
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(follower, 0)
    assert os.read(reading, 5) == b""
    os.close(reading)


def _follow(launcher, command, **kwargs):
    environment = {**os.environ, follow.LAUNCHER: launcher}
    return subprocess.Popen([sys.executable, follow.__file__, *command], env=environment, **kwargs)


def test_a_program_runs_in_the_place_of_the_process_that_follows():
    code = "import os, sys; print(os.getppid(), sys.argv[1:])"
    process = _follow(follow.identity(os.getpid()), [sys.executable, "-c", code, "two words"], stdout=-1, text=True)
    assert process.communicate()[0] == f"{os.getpid()} ['two words']\n"


@pytest.mark.parametrize("launcher", ["2147483647:1", f"{os.getpid()}:1"], ids=["nobody", "another of that number"])
def test_a_process_whose_launcher_is_gone_before_it_begins_ends_at_once(launcher):
    process = _follow(launcher, _FOREVER, stdout=subprocess.PIPE)
    assert process.communicate()[0] == b"" and process.returncode == 1


def test_a_process_behind_a_shell_that_lives_on_dies_with_the_launcher():
    launcher = subprocess.Popen(["sleep", "600"])
    code = f"import sys, time; sys.path.insert(0, {str(Path(follow.__file__).parent)!r}); import follow; "
    code += f"follow.follow_launcher({follow.identity(launcher.pid)!r}); print('here', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"here\n"
    launcher.kill()  # and not waited for: it is a zombie
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    launcher.wait()
