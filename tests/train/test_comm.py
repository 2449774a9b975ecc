"""Devices are named as users name them, and share a batch."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.data.batches import Batch
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.train.comm import parse_devices


def test_the_cpu_is_the_default():
    devices = parse_devices()
    assert devices.contexts == [mx.cpu(0)] and not devices.is_gpu and str(devices) == "cpu:0"


def test_several_devices():
    assert parse_devices(devices="cpu:0, cpu:1").contexts == [mx.cpu(0), mx.cpu(1)]


@pytest.mark.parametrize("devices", ["tpu:0", "cpu:x", "cpu:0;cpu:1", "cpu:0,", "cpu:-1"])
def test_what_is_no_device_is_named(devices):
    with pytest.raises(UsageError, match="no device"):
        parse_devices(devices=devices)


def test_a_device_named_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        parse_devices(devices="cpu:0,cpu")


def test_cpu_and_gpu_do_not_mix():
    with pytest.raises(UsageError, match="cannot share"):
        parse_devices(devices="cpu:0,gpu:0")


def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"gpu:99: MXNet sees \d+ GPU"):
        parse_devices(gpus="99")


@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_each_device_gets_its_share_of_the_batch(size):
    index = np.arange(size)
    table = np.arange(size * 4, dtype=np.int32).reshape(size, 4)
    batch = Batch(table, table % 2, index.astype(np.float32), index.astype(np.int32), index, size)
    parts = parse_devices(devices="cpu:0,cpu:1").split(batch)
    assert [part[0].context for part in parts] == [mx.cpu(0), mx.cpu(1)]
    assert abs(len(parts[0][3]) - len(parts[1][3])) <= 1
    for i, whole in enumerate(batch[:4]):
        together = np.concatenate([part[i].asnumpy() for part in parts])
        assert together.dtype == whole.dtype and (together == whole).all()
