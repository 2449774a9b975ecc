"""What a script gets that asks MXNet or Horovod to connect its ranks, where these communicate through JAX."""

import contextlib
import importlib.util
import sys

import mxnet as mx
import pytest

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.host.communication import Communication
from gluonnlp_snli_plugin.parallel.ranks import Ranks


class _SecondOfThree(Ranks):
    """A rank that counts how often it has waited for the others."""

    rank, num_ranks, waited = 1, 3, 0

    def wait(self):
        self.waited += 1


@pytest.fixture
def communication():
    changes = registry.Changes()
    with contextlib.ExitStack() as stack:
        stack.callback(changes.undo)
        yield Communication("jax", changes, has_gpu=False, joined=_SecondOfThree())


@pytest.mark.parametrize("name", ["dist_sync", "dist_device_sync", "dist_sync_device"])
def test_a_distributed_store_knows_the_ranks(communication, name):
    told = []
    communication.when_by_script.append(lambda: told.append(communication.is_by_script))
    store = mx.kv.create(name)
    assert (store.type, store.rank, store.num_workers) == (name, 1, 3)
    assert told == [True] and communication.reduces
    assert mx.kv.create(name) is store and told == [True]
    store.barrier()
    store._barrier()
    assert communication.ranks.waited == 2


def test_another_store_is_mxnets_own(communication):
    assert isinstance(mx.kv.create("device"), mx.kv.KVStore)
    assert not communication.is_by_script


@pytest.mark.parametrize("use", ["init", "push", "pull", "pushpull", "set_optimizer", "save_optimizer_states"])
def test_what_else_a_distributed_store_does_is_refused(communication, use):
    store = mx.kv.create("dist_sync")
    with pytest.raises(PluginError, match=f"^the script uses {use} of its dist_sync store: .* only gluon.Trainer may$"):
        getattr(store, use)(0, mx.nd.zeros(1))


def test_a_store_that_updates_asynchronously_is_refused(communication):
    with pytest.raises(PluginError, match="dist_async.*all ranks update together: use 'dist_sync'"):
        mx.kv.create("dist_async")


@pytest.fixture
def horovod(tmp_path, monkeypatch):
    """The module ``horovod.mxnet``; a stand-in with the function that matters, where Horovod is not installed."""
    if importlib.util.find_spec("horovod"):
        yield importlib.import_module("horovod.mxnet")
        return
    (tmp_path / "horovod" / "mxnet").mkdir(parents=True)
    (tmp_path / "horovod" / "__init__.py").touch()
    (tmp_path / "horovod" / "mxnet" / "__init__.py").write_text("def init():\n    return 'connected'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("horovod.mxnet")
    for name in ("horovod", "horovod.mxnet"):
        del sys.modules[name]


@pytest.mark.parametrize("backend", ["jax", "dist_sync"])
def test_horovod_is_refused_where_it_did_not_start_the_ranks(horovod, backend):
    init, changes = horovod.init, registry.Changes()
    try:
        Communication(backend, changes, has_gpu=False, joined=_SecondOfThree())
        with pytest.raises(PluginError, match=f"--comm {backend}: let it use a distributed store"):
            horovod.init()
    finally:
        changes.undo()
    assert horovod.init is init
