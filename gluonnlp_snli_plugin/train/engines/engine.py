"""The protocol of engines: the net on its devices, the gradients, their reduction over devices and ranks, the updates.

The loop, the data, the schedule, the checkpoints and the output are the same whichever engine computes.
"""

from typing import Any, Dict, Iterable, List, Mapping, Protocol, Tuple

import mxnet as mx
import numpy as np

from ...data.encoding import EncodedPairs
from ..update_batches import Group


class Engine(Protocol):
    """Computes the updates of a net, and its logits and losses between them.

    Its state is divided into arrays and numbers, because a checkpoint holds them in different files; all else that a
    checkpoint holds is :class:`.job.Stateful`.
    """

    operators: str  #: what computes, as ``config.json`` records it

    @property
    def num_updates_done(self) -> int:
        """How many updates have been made."""

    @property
    def next_learning_rate(self) -> float:
        """The learning rate of the next update."""

    @property
    def decay(self) -> float:
        """What weight decay alone has left of a word embedding without gradient: a factor."""

    def step(self, group: Group) -> None:
        """Make one update from the batches of a group, and count it in the meter; does not wait for the devices."""

    def require_sound_gradients(self) -> None:
        """Raise a PluginError if the last gradients were not finite."""

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        """The logits of pairs by the net as it is; float32, shape (pairs, classes), the same on all ranks."""

    def sums(self, batches: Iterable[Any]) -> Dict[str, float]:
        """The figures of batches by the net as it is, without dropout, added up; those of this rank's share."""

    def update_net(self) -> None:
        """Copy the updated parameters into the net."""

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
        """Continue from a :meth:`state`, of this engine or another.

        Raises
        ------
        CheckpointError
            If the state is of another net; names `place`.
        """

    def close(self) -> Dict[str, float]:
        """Stop the work in the background; returns figures for ``summary.json``."""


def names_of(net: mx.gluon.Block) -> List[Tuple[mx.gluon.Parameter, List[str]]]:
    """The parameters of a net, each with its names in files, of which a shared one has several."""
    found: Dict[int, Tuple[mx.gluon.Parameter, List[str]]] = {}
    for name, parameter in net._collect_params_with_prefix().items():
        found.setdefault(id(parameter), (parameter, []))[1].append(name)
    return list(found.values())
