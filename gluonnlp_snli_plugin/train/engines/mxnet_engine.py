"""Computes a run with MXNet, on CPU."""

from typing import Any, Dict, Iterable, Mapping, Tuple

import mxnet as mx
import numpy as np

from ...data.encoding import EncodedPairs
from ...errors import CheckpointError
from ...model.inference import for_evaluation, logits
from ...native import accelerate, use_bfloat16
from ...parallel.devices import Devices
from ...parallel.ranks import Ranks
from ...system import threads
from ..progress import Meter
from ..settings.config import RunConfig
from ..update_batches import Group
from .objectives import Objective
from .optimizer import Optimizer


class MXNetEngine:
    """Computes with MXNet on CPU devices, by this package's C++ operators where they fit; an :class:`.engine.Engine`.

    Parameters
    ----------
    net : HybridBlock
        Changed in place: accelerated and hybridized.
    objective : Objective
    config : RunConfig
    num_updates : int
        Of the whole run.
    devices : Devices
    ranks : Ranks
    meter : Meter
    longest : Batch or None
        A batch that takes as much memory as any.
    """

    def __init__(
        self,
        net: mx.gluon.HybridBlock,
        objective: Objective,
        config: RunConfig,
        num_updates: int,
        devices: Devices,
        ranks: Ranks,
        meter: Meter,
        longest: Any = None,
    ) -> None:
        self._net, self._objective, self._seed, self._devices = net, objective, config.seed, devices
        self._ranks, self._meter = ranks, meter
        threads.use_cores(devices.contexts)
        if config.dtype == "bfloat16":
            use_bfloat16(net)
            is_native = True
        else:
            is_native = not config.no_native and accelerate(net)
        self.operators = "C++" if is_native else "MXNet"
        net.hybridize(static_alloc=True)
        self._optimizer = Optimizer(net, config, num_updates, ranks)
        self._evaluated = for_evaluation(net)
        if longest is not None:
            self._reserve_memory(longest)

    @property
    def num_updates_done(self) -> int:
        return self._optimizer.schedule.num_updates_done

    @property
    def next_learning_rate(self) -> float:
        return self._optimizer.schedule.next_learning_rate

    @property
    def decay(self) -> float:
        return self._optimizer.schedule.decay

    def step(self, group: Group) -> None:
        update = self.num_updates_done + 1
        mx.random.seed(_seed(self._seed, self._ranks.rank, update - 1))
        # The gradients of the ranks are averaged.
        totals = {count: total / self._ranks.num_ranks for count, total in group.totals(self._objective.terms).items()}
        for batch in group.batches:
            with mx.autograd.record():
                losses = []
                for part, ctx in self._devices.split(batch):
                    figures = self._objective.figures(self._net, part, ctx)
                    terms = [figures[term] / totals[count] for term, count in self._objective.terms.items()]
                    losses.append(sum(terms[1:], terms[0]))
                    self._meter.add(update, part.index, **figures)
                self._optimizer.backward(losses)
        self._optimizer.update()

    def _reserve_memory(self, longest: Any) -> None:
        """Make MXNet allocate the memory for training: compute the longest batch, and drop its gradients.

        Otherwise each batch that is longer than all before it allocates new memory and wastes part of the old: memory
        grows for thousands of updates.
        """
        with mx.autograd.record():
            found = [self._objective.figures(self._net, part, ctx) for part, ctx in self._devices.split(longest)]
            mx.autograd.backward([figures[term] for figures in found for term in self._objective.terms])
        self._optimizer.forget_gradients()

    def require_sound_gradients(self) -> None:
        self._optimizer.require_sound_gradients()

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        ranks = self._ranks
        shared = logits(self._evaluated, encoded, self._devices.contexts, rank=ranks.rank, num_ranks=ranks.num_ranks)
        return ranks.add_up("scores", shared)  # each rank has those of its share, and zeros

    def sums(self, batches: Iterable[Any]) -> Dict[str, float]:
        total: Dict[str, float] = {}
        contexts = self._devices.contexts
        for i, batch in enumerate(batches):
            for name, value in self._objective.figures(self._evaluated, batch, contexts[i % len(contexts)]).items():
                total[name] = total.get(name, 0.0) + float(
                    value.asscalar() if isinstance(value, mx.nd.NDArray) else value
                )
        return total

    def update_net(self) -> None:
        """Do nothing: the net is what the updates change."""

    def state(self) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        arrays, numbers = self._optimizer.state()
        arrays.update((f"weight/{name}", parameter.list_data()[0]) for name, parameter in self._parameters())
        return arrays, numbers

    def load_state(self, arrays: Mapping[str, np.ndarray], numbers: Dict[str, Any], place: str) -> None:
        for name, parameter in self._parameters():
            array = arrays[f"weight/{name}"]
            if array.shape != parameter.shape:
                raise CheckpointError(f"{place}: {name} is {array.shape}, not {parameter.shape}")
            for data in parameter.list_data():
                data[:] = array
        self._optimizer.load_state(arrays, numbers)

    def _parameters(self) -> Any:
        return self._net._collect_params_with_prefix().items()

    def close(self) -> Dict[str, float]:
        return {}


def _seed(*numbers: int) -> int:
    """A seed for MXNet: dropout masks depend on (seed, rank, update), not on what this process has done before."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) >> 1
