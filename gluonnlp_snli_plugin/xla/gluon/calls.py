"""What the nets of a script have been asked, as MXNet's autograd sees it."""

import collections
import weakref
from typing import Deque, Dict, List, Optional, Set, Tuple

import mxnet as mx
import numpy as np

from ..dropout import key_of
from ..precision import PRECISIONS
from .net import Call, Net
from .nets import is_computed_as_a_whole, xla_net
from .places import Place


class Calls:
    """All that the nets of a script have been asked, and the gradients that are still to be computed.

    MXNet's ``backward`` comes to a net on a thread of its own, at any time. It only leaves there what the gradient of
    the net's outputs is; the rest is done by the script's thread as soon as somebody looks at a gradient.

    Parameters
    ----------
    places : dict of Context to Place
    """

    def __init__(self, places: Dict[mx.Context, Place]) -> None:
        self.places = places
        self.has_computed = False  #: whether a net has been asked anything
        self.lengths: List[int] = []  #: of the longest pairs that batches are expected to have, the likeliest first
        self._nets: weakref.WeakKeyDictionary[mx.gluon.Block, Dict[mx.Context, Net]] = weakref.WeakKeyDictionary()
        self._arrived: Deque[Tuple[Call, List[np.ndarray]]] = collections.deque()
        self._awaits = False  # whether a pass has begun whose gradients are not computed yet
        self._retains = False
        self._written: Set[int] = set()  # the gradients that this pass has written
        self._seed, self._number = 0, 0
        self._tapes = {context: mx.nd.zeros(1, context) for context in places}
        for tape in self._tapes.values():
            tape.attach_grad()

    def seed(self, number: int) -> None:
        """Begin the dropout masks anew; they depend on the seed and the number of calls since."""
        self._seed, self._number = number & 0xFFFFFFFF, 0

    def next_key(self) -> np.ndarray:
        self._number += 1
        return key_of(self._seed, self._number)

    def net_of(self, block: mx.gluon.Block, context: mx.Context) -> Optional[Net]:
        """The net that computes a block as a whole; None if there is none."""
        if not is_computed_as_a_whole(block):
            return None
        nets = self._nets.setdefault(block, {})
        if context not in nets:
            place = self.places[context]
            is_half = any(np.dtype(p.dtype) == np.float16 for p in block.collect_params().values())
            xla = xla_net(block, PRECISIONS[place.half_precision if is_half else place.dtype])
            nets[context] = Net(block, xla, place, self)
        return nets[context]

    def begin_pass(self, retains: bool = False) -> None:
        """A ``backward`` of MXNet's begins; `retains` is whether the same calls may be differentiated once more."""
        self.settle()
        self._retains = retains
        self._written.clear()
        self._awaits = True

    def record(self, call: Call) -> List[mx.nd.NDArray]:
        outputs = call(self._tapes[call.net.place.context])
        return outputs if isinstance(outputs, list) else [outputs]

    def receive(self, call: Call, gradients: List[np.ndarray]) -> None:
        self._arrived.append((call, gradients))

    def settle(self) -> None:
        """Compute the gradients of what ``backward`` has passed through."""
        if not self._awaits:
            return
        self._awaits = False
        for tape in self._tapes.values():
            tape.grad.wait_to_read()
        while self._arrived:
            call, gradients = self._arrived.popleft()
            call.net.add_gradients(call, gradients, self._written)
            if not self._retains:
                call.release()
