"""How the ranks of a script communicate: through this package, or as the script itself asks MXNet or Horovod to."""

import contextlib
from typing import Any, Callable, List, Optional

import mxnet as mx

from .. import registry
from ..errors import PluginError
from ..parallel import backends, horovod, parameter_server
from ..parallel.ranks import Ranks


class Communication:
    """What a script gets for a distributed ``mx.kv.create`` and for ``horovod.mxnet.init``.

    Parameters
    ----------
    backend : {'dist_sync', 'horovod', 'jax'}
    changes : registry.Changes
        Undoes it.
    has_gpu : bool
        Whether the ranks were given GPUs.
    joined : Ranks, optional
        The ranks, if they have been joined.

    Attributes
    ----------
    is_by_script : bool
        Whether the script has asked for it: it knows its rank then, and divides its data by itself.
    store : KVStore or RankStore or None
        The distributed store that the script has made.
    when_by_script : list of callable
        Called as soon as the script asks.
    """

    def __init__(self, backend: str, changes: registry.Changes, has_gpu: bool, joined: Optional[Ranks] = None) -> None:
        self._backend, self._changes, self._has_gpu = backend, changes, has_gpu
        self._joined: Any = joined
        self._is_joining = False
        self.is_by_script = False
        self.store: Any = None
        self.when_by_script: List[Callable[[], None]] = []
        changes.wrap(mx.kv, "create", self._create_store)
        if backend == "horovod":
            changes.wrap(horovod.import_horovod(), "init", self._init_horovod)
        else:
            with contextlib.suppress(PluginError):  # it is not installed
                changes.wrap(horovod.import_horovod(), "init", self._refuse_horovod)

    @property
    def ranks(self) -> Ranks:
        """The ranks, joined on first use: the script itself may have to be the first to join."""
        if self._joined is None:
            self._is_joining = True
            self._joined = backends.join_ranks(self._backend)
            self._is_joining = False
        return self._joined

    @property
    def reduces(self) -> bool:
        """Whether gradients are reduced here, and not by MXNet's own distributed store or by Horovod."""
        return not self.is_by_script or isinstance(self.store, RankStore)

    def fail(self) -> None:
        """After an error in the script: end this process, silently, if that follows from the loss of another rank."""
        if self._joined:
            self._joined.end_if_one_is_lost()

    def close(self) -> None:
        """Leave the other ranks at the end of a successful run."""
        if self.reduces:
            if self._joined:
                self._joined.close()
        elif self.store is not None:
            parameter_server.free(self.store)

    def _create_store(self, original: Callable[..., Any], name: str = "local") -> Any:
        if self._is_joining or not name.startswith("dist"):
            return original(name)
        if self.store is None:
            if self._backend == "jax":
                self.store = RankStore(name, self.ranks)
            else:
                # A process can have one only, and may have had to make it to learn which rank it is.
                self.store = self._joined.store if self._joined else parameter_server.create_store(name, original)
            self._leave_to_script()
        return self.store

    def _init_horovod(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._is_joining:
            self._leave_to_script()
            if not self._has_gpu:  # GluonNLP's script names the GPU of its rank without asking whether there is one
                self._changes.set_attribute(mx, "gpu", lambda device_id=0: mx.cpu())
        return original(*args, **kwargs)

    def _refuse_horovod(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        raise PluginError(
            f"the script calls horovod.mxnet.init, but its ranks communicate by --comm {self._backend}: let it use a "
            "distributed store, as with --comm_backend dist_sync_device"
        )

    def _leave_to_script(self) -> None:
        self.is_by_script = True
        for function in self.when_by_script:
            function()


class RankStore:
    """What ``mx.kv.create`` gives a script whose ranks communicate through JAX.

    A ``gluon.Trainer`` adds up gradients over the ranks without it; the script needs it to divide its data.

    Attributes
    ----------
    type : str
    rank, num_workers : int
    """

    def __init__(self, name: str, ranks: Ranks) -> None:
        if "async" in name:
            raise PluginError(f"mx.kv.create({name!r}): with --comm jax all ranks update together: use 'dist_sync'")
        self.type, self.rank, self.num_workers, self._ranks = name, ranks.rank, ranks.num_ranks, ranks

    def barrier(self) -> None:
        """Wait until all ranks have called this."""
        self._ranks.wait()

    _barrier = barrier  # as MXNet's stores call it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise PluginError(f"the script uses {name} of its {self.type} store: with --comm jax, only gluon.Trainer may")
