"""GPUs are found, or a line says what is missing; JAX's own settings stay."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import PluginError, UsageError
from gluonnlp_snli_plugin.parallel import devices as parallel_devices
from gluonnlp_snli_plugin.parallel import place
from gluonnlp_snli_plugin.system import files

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")
from gluonnlp_snli_plugin.xla import setup  # noqa: E402
from gluonnlp_snli_plugin.xla.mesh import DeviceMesh  # noqa: E402

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (root@host)\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes a machine with a driver and GPUs, and a Python with plugins of JAX; returns its root folder."""

    def make(driver=OPEN, num_gpus=2, plugins=("jax_cuda12_plugin",)):
        monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: name in plugins or None)
        if driver:
            (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
            (tmp_path / "proc/driver/nvidia/version").write_text(driver)
        (tmp_path / "dev").mkdir()
        for number in range(num_gpus):
            (tmp_path / f"dev/nvidia{number}").touch()
        (tmp_path / "dev/nvidiactl").touch()
        return str(tmp_path)

    return make


@pytest.mark.parametrize("content, version", [(CLOSED, 535), (OPEN, 580), ("something else", None)])
def test_the_version_of_the_driver(machine, content, version):
    assert setup.driver_version(machine(content)) == version


def test_a_machine_that_has_all_is_taken(machine):
    setup.require_gpus([1, 0], machine(), {})


def test_a_container_that_shows_the_library_alone_is_taken(machine):
    setup.require_gpus([1, 0], machine(driver=None, num_gpus=0), {}, library="libc.so.6")


@pytest.mark.parametrize(
    "has, environment, complaint",
    [
        ({"driver": None, "num_gpus": 0}, {}, "gpu:0,gpu:1: this machine has no NVIDIA driver"),
        ({"plugins": ()}, {}, r"gpu:0,gpu:1: the installed JAX is for CPU only: pip install .*\[gpu\]"),
        ({"driver": CLOSED, "plugins": ("jax_cuda13_plugin",)}, {}, "version 535; jax_cuda13_plugin needs 580"),
        ({"driver": CLOSED.replace("535", "470")}, {}, "version 470; jax_cuda12_plugin needs 525"),
        ({"num_gpus": 1}, {}, r"there are 1 GPU\(s\), numbered from 0"),
        ({}, {"CUDA_VISIBLE_DEVICES": "1"}, r"there are 1 GPU\(s\) in CUDA_VISIBLE_DEVICES"),
        ({}, {"CUDA_VISIBLE_DEVICES": ""}, r"there are 0 GPU\(s\) in CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_is_missing_is_named(machine, has, environment, complaint):
    with pytest.raises(PluginError, match=complaint):
        setup.require_gpus([0, 1], machine(**has), environment)


@pytest.mark.parametrize(
    "message, reason",
    [
        ("INTERNAL: CUDA error: : CUDA_ERROR_DEVICE_UNAVAILABLE: device is busy", "another process has the GPU"),
        ("FAILED_PRECONDITION: CUDA driver version is insufficient for CUDA runtime version", "driver is too old"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 60 bytes", "not enough free memory"),
        ("operation cuInit(0) failed: CUDA_ERROR_NO_DEVICE\nmore", "no GPU that CUDA can use"),
        ("something\nelse", "something"),
    ],
)
def test_messages_of_jax_become_a_reason(message, reason):
    assert reason in setup.reason_of(message) and "\n" not in setup.reason_of(message)


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia"), reason="this is about machines without a GPU")
@pytest.mark.parametrize("command", ["finetune --sample --output-dir {}/o", "predict {}", "evaluate {} --file x"])
def test_a_gpu_that_is_not_there_is_a_line(command, tmp_path, capsys):
    assert (
        main([*command.format(tmp_path).split(), "--gpus", "0", *(["--file", "x"] if "predict" in command else [])])
        == 1
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "gpu:0: this machine has no NVIDIA driver" in line


def test_jax_that_is_not_installed_is_a_line(monkeypatch):
    monkeypatch.setattr(place.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"computing through XLA on gpu:0 needs JAX: pip install '.*\[gpu\]'"):
        parallel_devices.parse_devices(gpus="0").configure()


def test_more_devices_than_jax_has_are_refused():
    with pytest.raises(UsageError, match="already in use in this process, without cpu:4, cpu:5, cpu:6, cpu:7, cpu:8"):
        DeviceMesh([mx.cpu(number) for number in range(9)])


@pytest.mark.parametrize(
    "numbers, visible, local, found",
    [
        ([0], [0], "a", "a"),
        ([3], [3], "a", "a"),
        ([3, 1], [3, 1], "ab", "ba"),  # in JAX, the GPU of the smaller number is the first
        ([1], [0, 1], "ab", "b"),
        ([2], [], "abc", "c"),  # the program itself has used JAX before, with all GPUs
    ],
)
def test_gpus_are_found_by_their_numbers_among_those_that_jax_has(numbers, visible, local, found):
    assert setup.chosen([mx.gpu(number) for number in numbers], local, visible) == list(found)


def test_a_gpu_that_is_named_too_late_is_refused():
    with pytest.raises(UsageError, match="without gpu:1: name all devices at first"):
        setup.chosen([mx.gpu(1)], "a", [0])


class Volta:
    device_kind, compute_capability = "Tesla V100", "7.0"


@pytest.mark.parametrize("dtype, instead", [("bfloat16", "float16"), ("tfloat32", "float32")])
def test_an_older_gpu_has_no_bfloat16(dtype, instead):
    there = DeviceMesh([mx.cpu()])
    there.devices, there.kind = [Volta()], Volta.device_kind
    with pytest.raises(UsageError, match=f"--dtype {dtype}: Tesla V100 does not have it; use --dtype {instead}"):
        there.require(dtype)
    there.require("float16")


def test_rows_are_divided_and_come_back():
    several = DeviceMesh([mx.cpu(number) for number in range(4)])
    rows = np.arange(8, dtype=np.int32)
    divided = several.divide({"rows": rows})["rows"]
    assert [shard.data.tolist() for shard in divided.addressable_shards] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    np.testing.assert_array_equal(several.own_rows(divided), rows)
    whole = several.replicate(rows)
    rows[:] = 0  # what is on the devices is a copy
    assert [shard.data.tolist() for shard in whole.addressable_shards] == [list(range(8))] * 4


CONFIGURED = """
import os, sys, mxnet as mx
from gluonnlp_snli_plugin.xla.mesh import DeviceMesh
from gluonnlp_snli_plugin.xla.setup import configure
configure([mx.cpu(0), mx.cpu(1)])
import jax
print(len(DeviceMesh([mx.cpu(0), mx.cpu(1)])), jax.config.jax_compilation_cache_dir, jax.default_backend())
"""


def test_a_process_has_the_devices_it_asks_for_and_a_cache_of_programs(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    said = subprocess.run([sys.executable, "-c", CONFIGURED], env=environment, capture_output=True, text=True)
    number, cache, platform = said.stdout.split()
    assert (number, platform) == ("2", "cpu"), said.stderr
    assert cache.startswith(f"{tmp_path}/gluonnlp_snli_plugin/xla/cpu-")


def test_a_program_in_the_cache_is_whole_whenever_another_process_reads_it(tmp_path, monkeypatch):
    from jax._src.lru_cache import LRUCache

    setup.configure([mx.cpu()])
    cache, read = LRUCache(str(tmp_path), max_size=-1), []
    publish = files.publish
    monkeypatch.setattr(files, "publish", lambda *paths: (read.append(cache.get("key")), publish(*paths)))
    cache.put("key", b"a program")
    assert read == [None] and cache.get("key") == b"a program"
    assert [path.name for path in tmp_path.iterdir()] == ["key-cache"]
