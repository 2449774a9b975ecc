"""The engine of a run: the net on its devices, the gradients, their reduction over devices and ranks, the updates.

The loop, the data, the schedule, the checkpoints and the output are the same whichever engine computes.
"""

from typing import Any, Callable, Dict, List, Mapping, Protocol, Tuple

import mxnet as mx
import numpy as np

from ..data.encoding import EncodedPairs
from ..errors import CheckpointError
from ..model.inference import for_evaluation, logits
from ..native import accelerate, use_bfloat16
from ..parallel.devices import Devices
from ..parallel.ranks import Ranks
from ..system import threads
from .optimizer import Optimizer
from .settings.config import RunConfig
from .update_batches import Group


class Engine(Protocol):
    """Computes the updates of a net, and its logits between them.

    Its state is divided into arrays and numbers, because a checkpoint holds them in different files; all else that a
    checkpoint holds is :class:`.job.Stateful`.
    """

    operators: str  #: which operators compute, as ``config.json`` records it

    @property
    def num_updates_done(self) -> int:
        """How many updates have been made."""

    @property
    def next_learning_rate(self) -> float:
        """The learning rate of the next update."""

    def step(self, group: Group) -> None:
        """Make one update from the batches of a group; does not wait for the devices."""

    def require_sound_gradients(self) -> None:
        """Raise a PluginError if the last gradients were not finite."""

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        """The logits of pairs by the net as it is; float32, shape (pairs, classes), the same on all ranks."""

    def state(self) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """Everything that the next updates depend on.

        Returns
        -------
        arrays : dict of str to array
            ``weight/NAME``, and for each trained parameter ``mean/NAME`` and ``variance/NAME``.
        numbers : dict
            In a form that JSON can hold.
        """

    def load_state(self, arrays: Mapping[str, np.ndarray], numbers: Dict[str, Any], place: str) -> None:
        """Continue from a :meth:`state`.

        Raises
        ------
        CheckpointError
            If the state is of another net; names `place`.
        """


class MXNetEngine:
    """Computes with MXNet on CPU devices, by this package's C++ operators where they fit; an :class:`Engine`.

    Parameters
    ----------
    net : HybridBlock
        Changed in place: accelerated and hybridized.
    losses : callable
        ``losses(update, batch, group)`` gives the losses of a batch, one on each device; summed over a group and the
        ranks, they are a mean. Called while gradients are recorded.
    config : RunConfig
    num_updates : int
        Of the whole run.
    devices : Devices
    ranks : Ranks
    """

    def __init__(
        self,
        net: mx.gluon.HybridBlock,
        losses: Callable[..., List[mx.nd.NDArray]],
        config: RunConfig,
        num_updates: int,
        devices: Devices,
        ranks: Ranks,
    ) -> None:
        self._net, self._losses, self._seed, self._devices, self._ranks = net, losses, config.seed, devices, ranks
        threads.use_cores(devices.contexts)
        if config.dtype == "bfloat16":
            use_bfloat16(net)
            is_native = True
        else:
            is_native = not config.no_native and accelerate(net)
        self.operators = "C++" if is_native else "MXNet"
        net.hybridize(static_alloc=True)
        self.optimizer = Optimizer(net, config, num_updates, ranks)
        self._evaluated = for_evaluation(net)

    @property
    def num_updates_done(self) -> int:
        return self.optimizer.num_updates_done

    @property
    def next_learning_rate(self) -> float:
        return self.optimizer.next_learning_rate

    def step(self, group: Group) -> None:
        update = self.num_updates_done + 1
        mx.random.seed(_seed(self._seed, self._ranks.rank, update - 1))
        for batch in group.batches:
            with mx.autograd.record():
                losses = self._losses(update, batch, group)
                self.optimizer.backward(losses)
        self.optimizer.update()

    def reserve_memory(self, losses: Callable[[], List[mx.nd.NDArray]]) -> None:
        """Have MXNet allocate the memory that training needs, by the losses of the longest batch; drop its gradients.

        Otherwise each batch that is longer than all before it allocates new memory and wastes part of the old: memory
        grows for thousands of updates.
        """
        with mx.autograd.record():
            mx.autograd.backward(losses())
        self.optimizer.forget_gradients()

    def require_sound_gradients(self) -> None:
        self.optimizer.require_sound_gradients()

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        ranks = self._ranks
        shared = logits(self._evaluated, encoded, self._devices.contexts, rank=ranks.rank, num_ranks=ranks.num_ranks)
        return ranks.add_up("scores", shared)  # each rank has those of its share, and zeros

    def state(self) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        arrays, numbers = self.optimizer.state()
        arrays.update((f"weight/{name}", parameter.list_data()[0]) for name, parameter in self._parameters())
        return arrays, numbers

    def load_state(self, arrays: Mapping[str, np.ndarray], numbers: Dict[str, Any], place: str) -> None:
        for name, parameter in self._parameters():
            array = arrays[f"weight/{name}"]
            if array.shape != parameter.shape:
                raise CheckpointError(f"{place}: {name} is {array.shape}, not {parameter.shape}")
            for data in parameter.list_data():
                data[:] = array
        self.optimizer.load_state(arrays, numbers)

    def _parameters(self) -> Any:
        return self._net._collect_params_with_prefix().items()


def _seed(*numbers: int) -> int:
    """A seed for MXNet: dropout masks depend on (seed, rank, update), not on what this process has done before."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) >> 1
