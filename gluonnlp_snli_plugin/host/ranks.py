"""Makes a script that knows of one process work on several ranks.

What it calls in GluonNLP and MXNet does the work: ``get_task`` hands each rank its shard, ``FixedBucketSampler`` makes
the same number of batches on all ranks, ``Trainer`` averages gradients, and what is written is written by rank 0. A
script that communicates by itself, through a distributed ``kv.create`` or ``horovod.mxnet.init``, is left to do so.
"""

import builtins
import functools
import hashlib
import io
import logging
import os
import sys
import warnings
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from gluonnlp.data import classification, sampler

from .. import registry
from ..errors import PluginError, UsageError
from ..parallel import backends, horovod, parameter_server
from ..parallel.place import is_on_first_machine, known_rank
from ..parallel.ranks import SEED_STEP, Ranks
from .script import Script

_log = logging.getLogger("gluonnlp_snli_plugin")


class RankedScript:
    """A script on one of several ranks.

    Parameters
    ----------
    script : Script
    backend : {'dist_sync', 'horovod'}
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
        self._script = script
        self._backend = backend
        self._changes = changes
        self._has_gpu = has_gpu
        self._joined: Any = joined
        self._gpus = gpus
        self._is_joining = False
        self._communicates = False  # whether the script does so by itself
        self._store: Any = None  # the distributed one that the script has made
        self._trainers: List[mx.gluon.Trainer] = []
        self._num_pairs: Optional[int] = None  # of this rank's shard
        self._is_first = (self._ranks.rank if known_rank() is None else known_rank()) == 0
        self._saved: Dict[str, str] = {}  # where to load again what the script has saved
        self._copies = copies
        self._stdout = sys.stdout
        # Communication by the script itself.
        self._replace(mx.kv, "create", self._create_store)
        if backend == "horovod":
            self._replace(horovod.import_horovod(), "init", self._init_horovod)
        # Each rank its pairs, the same number of steps, the same weights.
        for module in (classification, nlp.data):
            self._replace(module, "get_task", self._get_task)
        self._replace(sampler.FixedBucketSampler, "__init__", self._init_sampler)
        self._replace(mx.gluon.Trainer, "__init__", self._init_trainer)
        self._replace(mx.gluon.Trainer, "_allreduce_grads", self._allreduce)
        self._replace(mx.gluon.Parameter, "_finish_deferred_init", self._finish_deferred_init)
        self._replace(mx.random, "seed", self._seed)
        # Rank 0 writes.
        self._replace(mx.ndarray, "load", self._load)
        self._replace(mx.ndarray, "save", self._save)
        if not self._is_first:
            self._replace(mx.symbol.Symbol, "save", self._skip)
            self._replace(mx.gluon.Trainer, "save_states", self._skip)
            self._replace(logging.FileHandler, "__init__", self._open_log)
            for module in (builtins, io):
                self._replace(module, "open", self._open)
            self._be_quiet()

    def _replace(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        original = vars(owner)[name]

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        self._changes.set_attribute(owner, name, replacement)

    @property
    def _ranks(self) -> Ranks:
        """The ranks, joined on first use: the script itself may have to be the first to join."""
        if self._joined is None:
            self._is_joining = True
            self._joined = backends.join_ranks(self._backend)
            self._is_joining = False
        return self._joined

    # Communication by the script itself

    def _create_store(self, original: Callable[..., Any], name: str = "local") -> Any:
        if self._is_joining or not name.startswith("dist"):
            return original(name)
        self._leave_alone()
        # A process can have one only, and may have had to make it to learn which rank it is.
        self._store = self._joined.store if self._joined else parameter_server.create_store(name, original)
        return self._store

    def _init_horovod(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._is_joining:
            self._leave_alone()
            if not self._has_gpu:  # GluonNLP's script names the GPU of its rank without asking whether there is one
                self._changes.set_attribute(mx, "gpu", lambda device_id=0: mx.cpu())
        return original(*args, **kwargs)

    def _leave_alone(self) -> None:
        self._communicates = True
        if not self._is_first:
            sys.stdout, self._stdout = self._stdout, sys.stdout
            logging.disable(logging.NOTSET)

    # Each rank its pairs, the same number of steps, the same weights

    def _get_task(self, original: Callable[..., Any], name: str) -> Any:
        task = original(name)
        if self._communicates:
            return task
        dataset_train, metrics_get = task.dataset_train, task.metrics.get

        def get() -> Tuple[Any, List[float]]:
            names, values = metrics_get()
            mean = self._ranks.gather(np.asarray(values, np.float64)).mean(axis=0)
            return names, mean.tolist()

        def shard() -> Tuple[str, Any]:
            segment, rows = dataset_train()
            return segment, self._shard(rows)

        task.dataset_train, task.metrics.get = shard, get
        return task

    def _shard(self, rows: Any) -> mx.gluon.data.SimpleDataset:
        """Every n-th row in the order of length: shards alike in number and lengths, their rows in the given order."""
        ranks = self._ranks
        if len(rows) < ranks.num_ranks:
            raise UsageError(f"{len(rows)} training pairs cannot be divided among {ranks.num_ranks} ranks")
        rows = [rows[i] for i in range(len(rows))]
        lengths = [sum(len(field) for field in row if isinstance(field, str)) for row in rows]
        order = np.argsort(lengths, kind="stable")
        surplus = -len(order) % ranks.num_ranks
        order = np.concatenate([order, order[-1 - surplus : -1] if surplus else order[:0]])  # a few serve two ranks
        mine = np.sort(order[ranks.rank :: ranks.num_ranks])
        self._num_pairs = len(mine)
        return mx.gluon.data.SimpleDataset([rows[i] for i in mine])

    def _init_sampler(
        self, original: Callable[..., Any], instance: Any, lengths: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Sort the pairs of a shard into buckets by the longest of its like on any rank.

        All ranks then have the same buckets, make the same number of batches, and are at pairs of like length at the
        same time, so that none waits for another.
        """
        local = np.asarray(lengths)
        if not self._communicates and local.ndim == 1 and len(local) == self._num_pairs:
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
        if self._communicates:
            # GluonNLP 0.10's run_pretraining.py makes a distributed store and forgets to give it to its Trainer.
            kvstore = self._store if self._store is not None and kvstore == "device" else kvstore
            original(trainer, params, optimizer, optimizer_params, kvstore=kvstore, **kwargs)
            self._trainers.append(trainer)
            return
        kwargs["update_on_kvstore"] = False
        original(trainer, params, optimizer, optimizer_params, kvstore=kvstore, **kwargs)
        if not self._trainers and self._num_pairs is None and self._is_first:
            _log.warning("%s reads its training data by itself: each rank sees all of it", self._script.path)
        self._trainers.append(trainer)
        self._share(parameter for parameter in trainer._params if parameter._data is not None)

    def _allreduce(self, original: Callable[..., Any], trainer: mx.gluon.Trainer) -> None:
        original(trainer)
        if not self._communicates:
            trained = [parameter for parameter in trainer._params if parameter.grad_req != "null"]
            gradients = [parameter.list_grad() for parameter in trained]
            if self._gpus:
                gradients = [copies for copies in gradients if not isinstance(copies[0], self._gpus.array_type)]
            self._ranks.average(gradients, name=f"trainer-{self._trainers.index(trainer)}")

    def _finish_deferred_init(self, original: Callable[..., Any], parameter: mx.gluon.Parameter) -> None:
        was_deferred = bool(parameter._deferred_init)
        original(parameter)
        if was_deferred and not self._communicates and self._trainers:
            self._share([parameter])

    def _share(self, parameters: Iterable[mx.gluon.Parameter]) -> None:
        with mx.autograd.pause():
            self._ranks.share(parameters)

    def _seed(self, original: Callable[..., Any], seed_state: Any, *args: Any, **kwargs: Any) -> Any:
        """Other dropout masks on each rank."""
        if not self._communicates and isinstance(seed_state, int):
            seed_state += SEED_STEP * (known_rank() or 0)
        return original(seed_state, *args, **kwargs)

    # Rank 0 writes

    def _be_quiet(self) -> None:
        self._stdout, sys.stdout = sys.stdout, builtins.open(os.devnull, "w")  # noqa: SIM115
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")

    def _skip(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if self._communicates else None

    def _save(self, original: Callable[..., Any], fname: Any, data: Any) -> Any:
        if self._communicates:
            return original(fname, data)
        path = os.path.abspath(fname)
        self._saved[path] = path
        if self._is_first:
            return original(fname, data)
        if not is_on_first_machine():
            self._saved[path] = os.path.join(self._copies, str(len(self._saved)))
            original(self._saved[path], data)
        return None

    def _load(self, original: Callable[..., Any], fname: Any) -> Any:
        if self._communicates or os.path.abspath(fname) not in self._saved:
            return original(fname)
        self._ranks.wait()  # until rank 0 has written it
        return original(self._saved[os.path.abspath(fname)])

    def _open_log(self, original: Callable[..., Any], handler: Any, filename: str, *args: Any, **kwargs: Any) -> None:
        original(handler, filename if self._communicates else os.devnull, *args, **kwargs)

    def _open(self, original: Callable[..., Any], file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(2).f_code.co_filename  # beyond this function and the one that stands for open
        if not self._communicates and set(mode) & set("wax+") and self._is_own(caller):
            file = os.devnull
            mode = mode.replace("x", "w")
        return original(file, mode, *args, **kwargs)

    def _is_own(self, filename: str) -> bool:
        """Whether a line of code is the script's own or of a module beside it."""
        filename = os.path.abspath(filename)
        return filename.startswith(os.path.join(self._script.folder, "")) and "site-packages" not in filename

    # After the script

    def finish(self) -> None:
        """Make sure that the ranks have trained together.

        Raises
        ------
        PluginError
            If the script has trained nothing, or the weights differ between the ranks.
        """
        if self._communicates:
            if self._store is not None:
                parameter_server.free(self._store)
            return
        if not self._trainers and not self._script.has_exited:
            raise PluginError(f"{self._script.path} makes no gluon.Trainer: there is nothing to train on several ranks")
        if self._trainers:
            self._compare_weights()
        if self._joined:
            self._joined.close()

    def _compare_weights(self) -> None:
        fingerprint = hashlib.sha256()
        for trainer in self._trainers:
            for parameter in trainer._params:
                if parameter._data is not None:
                    fingerprint.update(parameter.list_data()[0].asnumpy().tobytes())
        fingerprints = self._ranks.gather(np.frombuffer(fingerprint.digest(), np.uint8))
        if (fingerprints != fingerprints[0]).any():
            raise PluginError("after training the weights differ between the ranks")
