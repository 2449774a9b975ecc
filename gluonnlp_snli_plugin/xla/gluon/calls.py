"""What the nets of a script have been asked, as MXNet's autograd sees it."""

import collections
import contextlib
import logging
import threading
import weakref
from typing import Deque, Dict, Iterator, List, Optional, Set, Tuple

import mxnet as mx
import numpy as np

from ...model.backbone import parts_of
from ..dropout import key_of
from ..precision import PRECISIONS
from .net import Call, Net
from .nets import is_computed_as_a_whole, xla_net
from .places import Place

_log = logging.getLogger("gluonnlp_snli_plugin")
_FLOAT16 = {"float16", np.float16, np.dtype(np.float16)}  # as a parameter may name it


class Calls:
    """The nets of a script, and their calls whose gradients are to be computed.

    Parameters
    ----------
    places : dict of Context to Place
    """

    def __init__(self, places: Dict[mx.Context, Place]) -> None:
        self.places = places
        self.has_computed = False  #: whether a net has been asked anything
        self.lengths: List[int] = []  #: of the longest pairs that batches are expected to have, the likeliest first
        self.rows = 0  #: that most batches to train on are expected to have
        self._nets: weakref.WeakKeyDictionary[mx.gluon.Block, Dict[mx.Context, Net]] = weakref.WeakKeyDictionary()
        self.lock = threading.RLock()  # scripts compute on several places from several threads
        self._arrived: Deque[Tuple[Call, List[np.ndarray]]] = collections.deque()
        self.seed(0)
        self._tapes = {context: mx.nd.zeros(1, context) for context in places}
        for tape in self._tapes.values():
            tape.attach_grad()

    def seed(self, number: int) -> None:
        """Begin the dropout masks again; they depend on the seed and the number of calls since."""
        self._seed = number & 0xFFFFFFFF
        self._number: Dict[mx.Context, int] = collections.Counter()

    def next_key(self, context: mx.Context) -> np.ndarray:
        """The key of a call, of its number among those on the same place: threads call in any order."""
        self._number[context] += 1
        return key_of(self._seed, self._number[context], context.device_id)

    def net_of(self, block: mx.gluon.Block, context: mx.Context) -> Optional[Net]:
        """The net that computes a block as a whole; None if there is none."""
        if not is_computed_as_a_whole(block):
            return None
        nets, place, parts = self._nets.setdefault(block, {}), self.places[context], parts_of(block)
        net = nets.get(context)
        is_same = net is not None and net.consists_of(parts)
        parameters = net.xla.parameters if net is not None and is_same else block.collect_params()
        is_half = any(parameter.dtype in _FLOAT16 for parameter in parameters.values())
        is_half |= net is not None and net.is_half  # its parameters have become float32
        dtype = place.half_precision if is_half else place.dtype
        if net is None or net.dtype != dtype or not is_same:
            net = nets[context] = Net(block, xla_net(block, PRECISIONS[dtype]), place, self)
            net.is_half, net.dtype = is_half, dtype
            name = type(block).__name__
            _log.info("%s on %s computes through XLA on %s, in %s", name, context, place.mesh.kind, dtype)
        return net

    @contextlib.contextmanager
    def one_pass(self, retains: bool = False) -> Iterator[None]:
        """Around a ``backward`` of MXNet's: compute the gradients of all calls that it passes through.

        It comes to them on a thread of its own, and only leaves there what the gradient of a call's outputs is.

        Parameters
        ----------
        retains : bool, default False
            Whether the same calls may be differentiated once more.
        """
        with self.lock:
            self._arrived.clear()  # what is left of a pass that failed
            yield
            for tape in self._tapes.values():
                tape.grad.wait_to_read()
            written: Set[int] = set()
            while self._arrived:
                call, gradients = self._arrived.popleft()
                call.net.add_gradients(call, gradients, written)
                if not retains:
                    call.release()

    def record(self, call: Call) -> List[mx.nd.NDArray]:
        outputs = call(self._tapes[call.net.place.context])
        return outputs if isinstance(outputs, list) else [outputs]

    def receive(self, call: Call, gradients: List[np.ndarray]) -> None:
        self._arrived.append((call, gradients))
