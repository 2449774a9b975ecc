"""As many OpenMP threads as there are cores, unless somebody has said otherwise."""

import os
import subprocess
import sys

import pytest

from gluonnlp_snli_plugin import threads

SHOW = "import os; {}; import gluonnlp_snli_plugin; print(os.environ.get('OMP_NUM_THREADS'))"


def threads_of_a_new_process(before="pass", **variables):
    environment = {name: value for name, value in os.environ.items() if name != threads.VARIABLE}
    command = [sys.executable, "-c", SHOW.format(before)]
    done = subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_there_are_as_many_threads_as_cores():
    assert threads_of_a_new_process() == str(threads.cores())


def test_what_the_user_says_stays():
    assert threads_of_a_new_process(OMP_NUM_THREADS="3") == "3"


def test_the_cores_are_those_this_process_may_use():
    assert 1 <= threads.cores() <= len(os.sched_getaffinity(0))
    first = min(os.sched_getaffinity(0))
    assert threads_of_a_new_process(f"os.sched_setaffinity(0, {{{first}}})") == "1"


@pytest.mark.parametrize("said, passed_on", [("5", True), (None, False)])
def test_other_processes_inherit_what_the_user_said_not_what_was_chosen(monkeypatch, said, passed_on):
    monkeypatch.setattr(threads, "_choice", None)
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    if said:
        monkeypatch.setenv(threads.VARIABLE, said)
    threads.choose()
    assert os.environ[threads.VARIABLE] == (said or str(threads.cores()))
    assert (threads.VARIABLE in threads.environment_without_choice()) == passed_on


THREADS = """
import os
import mxnet as mx
from gluonnlp_snli_plugin.native import operators

def threads():
    mx.nd.FullyConnected(mx.nd.ones((256, 256)), mx.nd.ones((256, 256)), num_hidden=256, no_bias=True).wait_to_read()
    return len(os.listdir("/proc/self/task"))

operators.are_available()
alone = threads()
operators.layer_norm(mx.nd.ones((4, 4)), mx.nd.ones(4), mx.nd.ones(4)).wait_to_read()
print(threads() - alone)
"""


@pytest.mark.skipif(threads.cores() < 2, reason="there is one core")
def test_all_cores_compute_where_mxnet_was_imported_first(native_operators):
    environment = {name: value for name, value in os.environ.items() if name != threads.VARIABLE}
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads.cores() - max(1, len(os.sched_getaffinity(0)) // 2)
