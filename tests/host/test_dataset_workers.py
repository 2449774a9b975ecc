"""A dataset of GluonNLP's DatasetLoader is there when a busy process receives the reference to it."""

import contextlib
import multiprocessing
import pickle

import mxnet as mx
import pytest
from gluonnlp.data import datasetloader

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.host import dataset_workers


@pytest.fixture
def make():
    """Makes a dataset as a worker does; returns the reference as it is sent."""
    changes = registry.Changes()
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(multiprocessing.Manager())
        stack.callback(changes.undo)
        stack.callback(datasetloader._initialize_dataset_worker, None)
        dataset_workers.keep_datasets(changes)
        datasetloader._initialize_dataset_worker(manager)

        def make(number):
            def dataset(urls):
                return mx.gluon.data.ArrayDataset([number, number])

            return pickle.dumps(datasetloader._dataset_worker_fn([], dataset, lambda dataset: [])[0])

        yield make


def test_a_reference_that_is_received_late_is_good(make):
    sent = [make(number) for number in range(4)]
    assert [int(pickle.loads(reference)[0][0]) for reference in sent] == [0, 1, 2, 3]


def test_old_datasets_are_forgotten(make, monkeypatch):
    old = make(0)
    monkeypatch.setattr(dataset_workers, "_LONG_ENOUGH", 0.0)
    make(1)
    with pytest.raises(multiprocessing.managers.RemoteError, match="KeyError"):
        pickle.loads(old)
