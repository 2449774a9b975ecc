"""Processes of a run are found, ended, and none of them is left."""

import ctypes
import os
import signal
import subprocess

import pytest

from gluonnlp_snli_plugin.parallel import processes

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
os.execvp("sleep", ["sleep", "600"])
"""


def test_descendants_are_children_and_theirs():
    with processes.no_process_left():
        child = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
        grandchild = int(child.stdout.readline())
        found = processes.descendants()
        assert {child.pid, grandchild} <= found and os.getpid() not in found and os.getppid() not in found
    child.stdout.close()


def test_no_process_is_left_not_even_an_orphan_of_another_session(start_python, runs, soon):
    with processes.no_process_left():
        starter = start_python(_DAEMON, stdout=subprocess.PIPE)
        daemon = int(starter.stdout.readline())
        starter.wait()
        assert soon(lambda: processes.parents()[daemon] == os.getpid())
        assert runs(daemon) and os.getsid(daemon) != os.getsid(0)
    starter.stdout.close()
    assert not runs(daemon)
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)


def test_no_process_is_left_by_what_fails(runs):
    with pytest.raises(KeyError), processes.no_process_left():
        process = subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; echo; sleep 600 & wait"], stdout=subprocess.PIPE)
        process.stdout.readline()
        raise KeyError
    process.stdout.close()
    assert not runs(process.pid)


def test_no_process_is_left_that_starts_while_others_are_ended(start_python, runs, monkeypatch):
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
        process = start_python(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        monkeypatch.setattr(processes, "descendants", look_before_one_starts)
    assert started and not runs(started[0])
    process.stdin.close()
    process.stdout.close()


def test_who_was_there_before_stays_and_orphans_are_nobodys_again(runs):
    before = subprocess.Popen(["sleep", "600"])
    try:
        with processes.no_process_left():
            subprocess.Popen(["sleep", "600"])
        assert runs(before.pid)
        is_subreaper = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(37, ctypes.byref(is_subreaper))
        assert is_subreaper.value == 0
    finally:
        before.kill()
        before.wait()


def test_who_does_not_end_when_asked_is_made_to(monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    process = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], stdout=-1)
    process.stdout.readline()
    processes.end([process])
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
