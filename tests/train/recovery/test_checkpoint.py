"""Checkpoints, written past the kernel's cache where the file system can do that."""

import errno
import os
import tempfile

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.train.recovery.checkpoint import Checkpoints


@pytest.fixture(params=["disk", "memory", "no O_DIRECT"])
def folder(request, tmp_path, monkeypatch):
    """An empty folder on file systems that differ in whether they can."""
    if request.param == "no O_DIRECT":
        original = os.open

        def without(path, flags, *mode, **more):
            if flags & os.O_DIRECT:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
            return original(path, flags, *mode, **more)

        monkeypatch.setattr("gluonnlp_snli_plugin.train.recovery.checkpoint.os.open", without)
    if request.param != "memory":
        yield tmp_path
        return
    if not os.path.isdir("/dev/shm"):
        pytest.skip("there is no file system in memory at /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        yield memory


@pytest.mark.parametrize("size", [1, 1000, 1024, (1 << 21) - 64, 1 << 21, (1 << 21) + 777, 5 << 20])
def test_what_is_written_is_what_is_read(folder, size):
    checkpoints = Checkpoints(os.path.join(folder, "checkpoints"), keep=2)
    array = mx.nd.random.uniform(shape=size)
    for update in (1, 2, 3):
        array += 1
        checkpoints.write(update, {"a": array, "update": mx.nd.array([update], dtype="int64")}, {"text": "é"})
        expected = array.asnumpy()
    checkpoints.wait()
    found = Checkpoints(os.path.join(folder, "checkpoints"), keep=2).newest()
    assert found.update == 3 and found.state == {"text": "é"} and found.arrays["update"].tolist() == [3]
    np.testing.assert_array_equal(found.arrays["a"], expected)
    assert sorted(os.listdir(os.path.join(folder, "checkpoints"))) == ["000000002", "000000003"]


def test_a_checkpoint_that_cannot_be_removed_is_one_line(tmp_path):
    (tmp_path / "000000001.new").write_text("not a folder")
    with pytest.raises(PluginError, match=f"^cannot write to {tmp_path}/000000001.new: Not a directory$"):
        Checkpoints(tmp_path, keep=1).tidy()
