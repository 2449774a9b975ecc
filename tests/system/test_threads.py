"""A net computes with as many threads as this process has cores; importing the package changes nothing."""

import contextlib
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.system import threads

# What a process may use -----------------------------------------------------------------------------------------------


def _write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _mount(top, folder, type_, options="rw"):
    return f"30 24 0:27 {top} {folder} rw,nosuid shared:9 - {type_} none {options}\n"


V1 = _mount("/", "/sys/fs/cgroup/memory", "cgroup", "rw,memory") + _mount(
    "/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"
)
V1_MEMBER = "5:memory:/kubepods/pod7/c1\n4:cpu,cpuacct:/kubepods/pod7/c1\n"
V1_FOLDER = "sys/fs/cgroup/cpu,cpuacct/"
V2 = _mount("/", "/sys/fs/cgroup", "cgroup2")


def _v1(group, quota, period=100000):
    return {
        f"{V1_FOLDER}{group}/cpu.cfs_{name}_us": f"{value}\n" for name, value in (("quota", quota), ("period", period))
    }


LIMITS = {
    "version 2, a container's own group": ("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    "version 2, the least of nested groups": (
        "0::/user.slice/run.scope/inner\n",
        V2,
        {
            "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user.slice/run.scope/cpu.max": "60000 20000\n",
            "sys/fs/cgroup/user.slice/run.scope/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/other/cpu.max": "1000 100000\n",
        },
        1.5,
    ),
    "version 2, no limit": ("0::/a\n", V2, {"sys/fs/cgroup/a/cpu.max": "max 100000\n"}, math.inf),
    "version 2, no controller": ("0::/a\n", V2, {"sys/fs/cgroup/a/cgroup.procs": "1\n"}, math.inf),
    "version 1, the least of nested groups": (
        V1_MEMBER,
        V1,
        {**_v1("kubepods", -1), **_v1("kubepods/pod7", 250000), **_v1("kubepods/pod7/c1", 50000, 10000)},
        2.5,
    ),
    "version 1, no limit": (V1_MEMBER, V1, _v1("kubepods/pod7/c1", -1), math.inf),
    "version 1, a container that sees its group as the top": (
        "4:cpu,cpuacct:/docker/0123\n",
        _mount("/docker/0123", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
        _v1("", 300000),
        3,
    ),
    "a group above the top that a container sees": (
        "0::/../../other.slice\n",
        V2,
        {"sys/fs/cgroup/cpu.max": "100000 100000\n"},
        1,
    ),
    "both versions, where version 1 has the controller": (
        "4:cpu,cpuacct:/a\n0::/a\n",
        V1 + _mount("/", "/sys/fs/cgroup/unified", "cgroup2"),
        {**_v1("a", 120000), "sys/fs/cgroup/unified/a/cgroup.procs": "1\n"},
        1.2,
    ),
    "a folder with a space in its name": (
        "0::/\n",
        _mount("/", "/my\\040cgroup", "cgroup2"),
        {"my cgroup/cpu.max": "7 2\n"},
        3.5,
    ),
    "the controller's sets are another controller": (
        "3:cpuset:/a\n",
        _mount("/", "/sys/fs/cgroup/cpuset", "cgroup", "rw,cpuset"),
        {"sys/fs/cgroup/cpuset/a/cpu.cfs_quota_us": "1\n", "sys/fs/cgroup/cpuset/a/cpu.cfs_period_us": "2\n"},
        math.inf,
    ),
    "a limit that cannot be read": ("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "soon\n"}, math.inf),
}


@pytest.mark.parametrize("case", LIMITS)
def test_the_quota_is_the_least_of_all_control_groups_above_a_process(tmp_path, case):
    membership, mounts, files, expected = LIMITS[case]
    _write(tmp_path, {"proc/self/cgroup": membership, "proc/self/mountinfo": mounts, **files})
    assert threads.cpu_quota(tmp_path) == pytest.approx(expected)


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert threads.cpu_quota(tmp_path) == math.inf


@pytest.mark.parametrize("quota, expected", [(0.01, 1), (1.0, 1), (1.5, 2), (math.inf, None)])
def test_a_part_of_a_core_counts_as_one(monkeypatch, quota, expected):
    monkeypatch.setattr(threads, "cpu_quota", lambda: math.inf)
    cores = threads.cores()
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    assert threads.cores() == min(cores, expected or cores)


def test_the_cores_are_those_this_process_may_use():
    processors = os.sched_getaffinity(0)
    assert 1 <= threads.cores() <= len(processors)
    try:
        os.sched_setaffinity(0, {min(processors)})
        assert threads.cores() == 1
    finally:
        os.sched_setaffinity(0, processors)


@contextlib.contextmanager
def _control_group(processors):
    """A real control group with a limit: its folder."""
    for top, limits in (
        ("/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": f"{int(100000 * processors)}"}),
        ("/sys/fs/cgroup", {"cpu.max": f"{int(100000 * processors)} 100000"}),
    ):
        group = Path(top, f"gluonnlp-snli-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            for name, value in limits.items():
                (group / name).write_text(value)
        except OSError:
            group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control groups can be made here")


def test_a_process_in_a_real_control_group_finds_its_limit(without_mxnet):
    code = "import os; from gluonnlp_snli_plugin.system import threads; print(threads.cpu_quota(), threads.cores())"
    with _control_group(0.5) as group:
        enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
        command = [sys.executable, "-c", without_mxnet + enter + code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.5", "1"]


# How many threads there are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said, number", [("3", 3), ("64", 64), ("0", None), ("", None), ("many", None)])
def test_the_user_says_how_many_or_there_is_one_for_each_core(monkeypatch, said, number):
    monkeypatch.setenv(threads.VARIABLE, said)
    assert threads.number() == (number or threads.cores())


_COUNT = """
import os
environment = dict(os.environ)
import {first}
import gluonnlp_snli_plugin, mxnet as mx
from gluonnlp_snli_plugin.system import threads
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier

assert os.environ == environment

def count():
    mx.nd.FullyConnected(mx.nd.ones((256, 256)), mx.nd.ones((256, 256)), num_hidden=256, no_bias=True).wait_to_read()
    return len(os.listdir("/proc/self/task"))

def fork():  # which starts MXNet's threads again
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)

count()
fork()
alone = count()
threads.cores = lambda: 5
threads.use_cores([mx.cpu(), mx.gpu()])
print(count() - alone)
threads.use_cores([mx.cpu()])
print(count() - alone)
fork()
print(count() - alone)
"""


@pytest.mark.parametrize("first", ["mxnet", "gluonnlp_snli_plugin"])
def test_importing_changes_nothing_and_a_net_uses_all_cores_after_a_fork_too(first):
    environment = {name: value for name, value in os.environ.items() if name != threads.VARIABLE}
    code = _COUNT.format(first=first)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    by_itself = max(1, len(os.sched_getaffinity(0)) // 2)  # what MXNet takes
    assert done.stdout.split() == [str(5 - by_itself)] * 3


FORK = """
import os
import mxnet as mx
from gluonnlp_snli_plugin.system import threads
for _ in range(50):
    threads.use_cores([mx.cpu(0), mx.cpu(1)])
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_process_may_fork_at_once():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True)
