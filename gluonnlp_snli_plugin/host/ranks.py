"""Makes a script that knows of one process work on several ranks.

What it calls in GluonNLP and MXNet does the work: ``get_task`` hands each rank its shard, ``FixedBucketSampler`` makes
the same number of batches on all ranks, ``Trainer`` averages gradients, and rank 0 writes (:mod:`.output`). A script
that communicates by itself (:mod:`.communication`) is left to do so.
"""

import hashlib
import logging
import os
from typing import Any, Callable, Iterable, List, Optional, Tuple, Union

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from gluonnlp.data import classification, sampler

from .. import registry
from ..errors import PluginError, UsageError
from ..parallel.place import known_rank
from ..parallel.ranks import SEED_STEP, Ranks
from .communication import Communication, RankStore
from .output import OutputOfRankZero
from .script import Script

_log = logging.getLogger("gluonnlp_snli_plugin")


class RankedScript:
    """A script on one of several ranks.

    Parameters
    ----------
    script : Script
    backend : {'dist_sync', 'horovod', 'jax'}
    changes : registry.Changes
        What the script finds changed; undoes it.
    has_gpu : bool
        Whether the ranks were given GPUs.
    copies : Path
        A temporary folder for what this rank saves and loads again, where it does not see rank 0's files.
    joined : Ranks, optional
        The ranks, if they have been joined.
    gpus : ScriptOnGPUs, optional
        Where XLA computes; reduces the gradients that are on devices.
    """

    def __init__(
        self,
        script: Script,
        backend: str,
        changes: registry.Changes,
        has_gpu: bool,
        copies: Union[str, "os.PathLike[str]"],
        joined: Optional[Ranks] = None,
        gpus: Any = None,
    ) -> None:
        self._script, self._gpus = script, gpus
        self._trainers: List[mx.gluon.Trainer] = []
        self._num_pairs: Optional[int] = None  # of this rank's shard
        self._communication = Communication(backend, changes, has_gpu, joined)
        self._is_first = (self._ranks.rank if known_rank() is None else known_rank()) == 0
        output = OutputOfRankZero(script.folder, self._is_first, changes, copies, lambda: self._ranks.wait())
        self._communication.when_by_script += [output.release, self._add_up]
        # Each rank its pairs, the same number of steps, the same weights.
        for module in (classification, nlp.data):
            changes.wrap(module, "get_task", self._get_task)
        changes.wrap(sampler.FixedBucketSampler, "__init__", self._init_sampler)
        changes.wrap(mx.gluon.Trainer, "__init__", self._init_trainer)
        changes.wrap(mx.gluon.Trainer, "_allreduce_grads", self._allreduce)
        changes.wrap(mx.gluon.Parameter, "_finish_deferred_init", self._finish_deferred_init)
        changes.wrap(mx.random, "seed", self._seed)

    @property
    def _ranks(self) -> Ranks:
        return self._communication.ranks

    @property
    def _is_alone(self) -> bool:
        """Whether the script knows of one process: it may not divide its data, or communicate, by itself."""
        return not self._communication.is_by_script

    def _add_up(self) -> None:
        """Add up gradients over the ranks, as a distributed store does."""
        if self._gpus:
            self._gpus.averages = False

    # Each rank its pairs, the same number of steps, the same weights

    def _get_task(self, original: Callable[..., Any], name: str) -> Any:
        task = original(name)
        if not self._is_alone:
            return task
        dataset_train, metrics_get = task.dataset_train, task.metrics.get

        def get() -> Tuple[Any, List[float]]:
            names, values = metrics_get()
            mean = self._ranks.gather(np.asarray(values, np.float64)).mean(axis=0)
            return names, mean.tolist()

        def own() -> Tuple[str, Any]:
            segment, rows = dataset_train()
            rows = shard(rows, self._ranks)
            self._num_pairs = len(rows)
            return segment, rows

        task.dataset_train, task.metrics.get = own, get
        return task

    def _init_sampler(
        self, original: Callable[..., Any], instance: Any, lengths: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Sort the pairs of a shard into buckets by the longest of its like on any rank.

        All ranks then have the same buckets, make the same number of batches, and are at pairs of like length at the
        same time, so that none waits for another.
        """
        local = np.asarray(lengths)
        if self._is_alone and local.ndim == 1 and len(local) == self._num_pairs:
            order = np.argsort(local, kind="stable")
            common = np.empty_like(local)
            common[order] = self._ranks.gather(local[order]).max(axis=0)
            lengths = common.tolist()
        original(instance, lengths, *args, **kwargs)

    def _init_trainer(
        self,
        original: Callable[..., Any],
        trainer: mx.gluon.Trainer,
        params: Any,
        optimizer: Any,
        optimizer_params: Any = None,
        kvstore: Any = "device",
        **kwargs: Any,
    ) -> None:
        if isinstance(kvstore, str) and kvstore.startswith("dist"):
            kvstore = mx.kv.create(kvstore)
        if self._communication.reduces:
            kvstore = "device" if isinstance(kvstore, RankStore) else kvstore
            kwargs["update_on_kvstore"] = False
        elif kvstore == "device" and self._communication.store is not None:
            # GluonNLP 0.10's run_pretraining.py makes a distributed store and forgets to give it to its Trainer.
            kvstore = self._communication.store
        original(trainer, params, optimizer, optimizer_params, kvstore=kvstore, **kwargs)
        if self._is_alone and not self._trainers and self._num_pairs is None and self._is_first:
            _log.warning("%s reads its training data by itself: each rank sees all of it", self._script.path)
        self._trainers.append(trainer)
        if self._communication.reduces:
            self._share(parameter for parameter in trainer._params if parameter._data is not None)

    def _allreduce(self, original: Callable[..., Any], trainer: mx.gluon.Trainer) -> None:
        original(trainer)
        if self._communication.reduces:
            gradients = [parameter.list_grad() for parameter in trainer._params if parameter.grad_req != "null"]
            if self._gpus:
                gradients = [copies for copies in gradients if not isinstance(copies[0], self._gpus.array_type)]
            self._ranks.reduce(gradients, f"trainer-{self._trainers.index(trainer)}", averages=self._is_alone)

    def _finish_deferred_init(self, original: Callable[..., Any], parameter: mx.gluon.Parameter) -> None:
        was_deferred = bool(parameter._deferred_init)
        original(parameter)
        if was_deferred and self._communication.reduces and self._trainers:
            self._share([parameter])

    def _share(self, parameters: Iterable[mx.gluon.Parameter]) -> None:
        with mx.autograd.pause():
            self._ranks.share(parameters)

    def _seed(self, original: Callable[..., Any], seed_state: Any, *args: Any, **kwargs: Any) -> Any:
        """Other dropout masks on each rank."""
        if self._is_alone and isinstance(seed_state, int):
            seed_state += SEED_STEP * (known_rank() or 0)
        return original(seed_state, *args, **kwargs)

    # After the script

    def fail(self) -> None:
        """After an error in the script: end this process, silently, if that follows from the loss of another rank."""
        self._communication.fail()

    def finish(self) -> None:
        """Make sure that the ranks have trained together.

        Raises
        ------
        PluginError
            If the script has trained nothing, or the weights differ between the ranks.
        """
        if self._is_alone and not self._trainers and not self._script.has_exited:
            raise PluginError(f"{self._script.path} makes no gluon.Trainer: there is nothing to train on several ranks")
        if self._trainers and self._communication.reduces:
            self._compare_weights()
        self._communication.close()

    def _compare_weights(self) -> None:
        fingerprint = hashlib.sha256()
        for trainer in self._trainers:
            for parameter in trainer._params:
                if parameter._data is not None:
                    fingerprint.update(parameter.list_data()[0].asnumpy().tobytes())
        fingerprints = self._ranks.gather(np.frombuffer(fingerprint.digest(), np.uint8))
        if (fingerprints != fingerprints[0]).any():
            raise PluginError("after training the weights differ between the ranks")


def shard(rows: Any, ranks: Ranks) -> mx.gluon.data.SimpleDataset:
    """Every n-th row in the order of length: shards alike in number and lengths, their rows in the given order.

    Raises
    ------
    UsageError
        If there are fewer rows than ranks.
    """
    if len(rows) < ranks.num_ranks:
        raise UsageError(f"{len(rows)} training pairs cannot be divided among {ranks.num_ranks} ranks")
    rows = [rows[i] for i in range(len(rows))]
    lengths = [sum(len(field) for field in row if isinstance(field, str)) for row in rows]
    order = np.argsort(lengths, kind="stable")
    surplus = -len(order) % ranks.num_ranks
    order = np.concatenate([order, order[-1 - surplus : -1] if surplus else order[:0]])  # a few serve two ranks
    mine = np.sort(order[ranks.rank :: ranks.num_ranks])
    return mx.gluon.data.SimpleDataset([rows[i] for i in mine])
