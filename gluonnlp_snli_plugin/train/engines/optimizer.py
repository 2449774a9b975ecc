"""From gradients to new weights: learning rate, clipping, update; by default as GluonNLP's fine-tuning script does."""

import math
from typing import Any, Dict, List, Mapping, Optional, Tuple

import gluonnlp as nlp
import mxnet as mx
import numpy as np

from ...errors import PluginError
from ...native import is_accelerated
from ...native.adam import Adam
from ...parallel.ranks import ALONE, Ranks
from ..settings.config import RunConfig

EPSILON = {"bertadam": 1e-6, "adam": 1e-8}
_MOMENTS = ("mean", "variance")


def learning_rate(update: int, num_updates: int, lr: float, warmup_ratio: float, schedule: str = "linear") -> float:
    """Learning rate of an update: a linear rise, then a linear fall to zero or none.

    Parameters
    ----------
    update : int
        Number of the update, from 0.
    num_updates : int
        Updates of the whole run.
    lr : float
        The highest rate.
    warmup_ratio : float
        Share of the updates in which the rate rises, in [0, 1). As in GluonNLP's script, the first rate is then 0.
    schedule : {'linear', 'constant'}, default 'linear'
        What comes after the rise.

    Returns
    -------
    float
    """
    warmup = int(num_updates * warmup_ratio)
    if update < warmup:
        return lr * update / warmup
    if schedule == "constant":
        return lr
    return lr * (num_updates - update) / (num_updates - warmup)


class Schedule:
    """How far a run is, and what follows from that.

    Parameters
    ----------
    config : RunConfig
    num_updates : int
        Of the whole run.

    Attributes
    ----------
    num_updates_done : int
    decay : float
        What all updates so far, by weight decay alone, have left of a word embedding without gradient.
    """

    def __init__(self, config: RunConfig, num_updates: int) -> None:
        self._config, self._num_updates = config, num_updates
        self.num_updates_done = 0
        self.decay = 1.0

    @property
    def next_learning_rate(self) -> float:
        config = self._config
        return learning_rate(self.num_updates_done, self._num_updates, config.lr, config.warmup_ratio, config.schedule)

    @property
    def corrected_learning_rate(self) -> float:
        """The same, with the correction of the moments' bias that MXNet's ``Adam`` has and ``BERTAdam`` has not."""
        if self._config.optimizer == "bertadam":
            return self.next_learning_rate
        number = self.num_updates_done + 1
        return self.next_learning_rate * math.sqrt(1 - 0.999**number) / (1 - 0.9**number)

    def advance(self) -> None:
        """One more update is done."""
        if self._config.optimizer == "bertadam":
            self.decay *= 1 - self.next_learning_rate * self._config.weight_decay
        self.num_updates_done += 1

    def state(self) -> Dict[str, Any]:
        """In a form that JSON can hold."""
        return {"updates": self.num_updates_done, "decay": self.decay}

    def load_state(self, numbers: Dict[str, Any]) -> None:
        self.num_updates_done, self.decay = numbers["updates"], numbers["decay"]


def without_decay(net: mx.gluon.HybridBlock) -> List[mx.gluon.Parameter]:
    """The parameters that weight decay is not applied to, as in GluonNLP's scripts."""
    return list(net.collect_params(".*beta|.*gamma|.*bias").values())


def require_finite(norm: float, update: int) -> None:
    """Raise a PluginError if the norm of the gradients of an update is not a finite number."""
    if not math.isfinite(norm):
        raise PluginError(
            f"the loss of update {update} is finite, its gradient is {norm}: try a lower --lr or a longer warm-up "
            "(--warmup-ratio)"
        )


class Optimizer:
    """Updates the parameters of a net from the gradients on all its devices.

    A net whose layers use the C++ operators is updated by them too, any other one by MXNet's ``Trainer``.

    Parameters
    ----------
    net : HybridBlock
    config : RunConfig
    num_updates : int
    ranks : Ranks, default ALONE
        Whose gradients are averaged.

    Attributes
    ----------
    schedule : Schedule
    """

    def __init__(self, net: mx.gluon.HybridBlock, config: RunConfig, num_updates: int, ranks: Ranks = ALONE) -> None:
        parameters = net.collect_params()
        for parameter in without_decay(net):
            parameter.wd_mult = 0.0
        epsilon = EPSILON[config.optimizer]
        settings = {"learning_rate": config.lr, "wd": config.weight_decay, "epsilon": epsilon}
        self._trainer = mx.gluon.Trainer(parameters, config.optimizer, settings, update_on_kvstore=False)
        self._parameters = [parameter for parameter in parameters.values() if parameter.grad_req != "null"]
        names = {id(parameter): name for name, parameter in net._collect_params_with_prefix().items()}
        self._names = [names[id(parameter)] for parameter in self._parameters]
        self._accumulates = config.accumulate > 1
        if self._accumulates:
            for parameter in self._parameters:
                parameter.grad_req = "add"
        self._native: Optional[Adam] = None
        if is_accelerated(net):
            self._native = Adam(self._parameters, config.optimizer, epsilon, config.weight_decay, config.clip)
        self._config = config
        self._ranks = ranks
        self.schedule = Schedule(config, num_updates)

    def require_sound_gradients(self) -> None:
        """Raise a PluginError if the last gradients were not finite: the C++ operators silently make no update then."""
        if self._native:
            require_finite(self._native.norm_and_factor[0].asscalar(), self.schedule.num_updates_done)

    def backward(self, losses: List[mx.nd.NDArray]) -> None:
        """Compute gradients; call it once for each batch, inside ``autograd.record``.

        Parameters
        ----------
        losses : list of NDArray
            One on each device; their sum is the loss.
        """
        mx.autograd.backward(losses)

    def update(self) -> None:
        """Add up the gradients of all devices, average them over the ranks, clip them and make one update."""
        learning_rate = self.schedule.next_learning_rate
        self._trainer.allreduce_grads()
        self._ranks.reduce([parameter.list_grad() for parameter in self._parameters])
        if self._native:
            self._native.update(learning_rate)
        else:
            if self._config.clip:
                nlp.utils.clip_grad_global_norm(self._parameters, self._config.clip, check_isfinite=False)
            self._trainer.set_learning_rate(learning_rate)
            self._trainer.update(1)
        self.forget_gradients()
        self.schedule.advance()

    def forget_gradients(self) -> None:
        """Set them to zero where those of several batches are added up; otherwise the next ones replace them."""
        if self._accumulates:
            for parameter in self._parameters:
                parameter.zero_grad()

    def state(self) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """What the next updates depend on, besides the parameters.

        Returns
        -------
        arrays : dict of str to NDArray
        numbers : dict
            In a form that JSON can hold.
        """
        moments = self._moments(0)
        arrays = {f"{kind}/{name}": array for name, pair in moments.items() for kind, array in zip(_MOMENTS, pair)}
        return arrays, self.schedule.state()

    def load_state(self, arrays: Mapping[str, np.ndarray], numbers: Dict[str, Any]) -> None:
        """Continue from a :meth:`state`, the arrays given as ndarrays."""
        self.schedule.load_state(numbers)
        done = self.schedule.num_updates_done
        if self._native:
            self._native.num_updates = done
        self._trainer._optimizer.begin_num_update = self._trainer._optimizer.num_update = done
        for device in range(len(self._parameters[0].list_data())):
            for name, pair in self._moments(device).items():
                for kind, array in zip(_MOMENTS, pair):
                    array[:] = arrays[f"{kind}/{name}"]

    def _moments(self, device: int) -> Dict[str, Any]:
        """Mean and variance of each parameter's gradients on a device, by name."""
        if self._native:
            return dict(zip(self._names, zip(*self._native.moments[device])))
        updater = self._trainer._updaters[device]
        found = {}
        for name, parameter in zip(self._names, self._parameters):
            i = self._trainer._param2idx[parameter.name]
            if i not in updater.states:  # MXNet makes it in the first update
                weight = parameter.list_data()[device]
                updater.states[i] = self._trainer._optimizer.create_state_multi_precision(i, weight)
                updater.states_synced[i] = True
            found[name] = updater.states[i]
        return found
