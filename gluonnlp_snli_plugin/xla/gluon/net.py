"""A net of a script that computes through XLA: its programs, its calls, and their gradients."""

import itertools
import operator
import weakref
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import jax
import mxnet as mx
import numpy as np

from ...errors import PluginError
from ...model.backbone import parts_of
from ..lengths import rounded_up
from .arrays import TRANSFERS
from .nets import XLANet
from .outputs import LargeOutput, Scores
from .places import Place
from .training import added

if TYPE_CHECKING:
    from .calls import Calls

_NUMBERS = itertools.count()  # of nets


class _Shape(NamedTuple):
    """How many rows, tokens of each, and masked positions of each a call has, or the program for it."""

    rows: int
    length: int
    masks: int

    def size_of(self, output: int, is_large: Sequence[bool], gives_tokens: bool) -> Tuple[int, ...]:
        """The sizes of an output along the axes that vary: rows, and tokens or masked positions."""
        if not is_large[output]:
            return (self.rows,)
        if output == 0:
            return (self.rows, self.length) if gives_tokens else (self.rows,)
        return (self.rows, self.masks)


class Net:
    """A net of a script on one of its places.

    Parameters
    ----------
    block : Block
    xla : XLANet
        The block as a function.
    place : Place
    calls : Calls
    """

    def __init__(self, block: mx.gluon.Block, xla: XLANet, place: Place, calls: "Calls") -> None:
        self.place, self.calls, self.xla = place, calls, xla
        self.is_half, self.dtype = False, place.dtype
        self._block, self._parts = weakref.ref(block), parts_of(block)
        self._id = next(_NUMBERS)
        self._rows: Dict[bool, List[int]] = {False: [], True: []}  # of programs, without and with recording
        self._name = type(block).__name__
        self._pull: Any = None  # what computes gradients from the arrays that a recorded call keeps for that

        def answers(weights: Any, inputs: Any, key: Any) -> Any:
            return xla.outputs(weights, inputs, key)

        def recorded(trained: Any, others: Any, inputs: Any, key: Any) -> Any:
            outputs, pull = jax.vjp(lambda trained: xla.outputs({**others, **trained}, inputs, key), trained)
            kept, self._pull = jax.tree.flatten(pull)
            return outputs, kept

        self._answers = jax.jit(answers, out_shardings=place.mesh.replicated)
        self._recorded = jax.jit(recorded, out_shardings=place.mesh.replicated)

    def __call__(self, *arguments: Any) -> Any:
        """What the block returns for the same arguments."""
        self.calls.has_computed = True
        is_recording = mx.autograd.is_recording()
        key = self.calls.next_key(self.place.context) if mx.autograd.is_training() else None
        named = zip(self.xla.arguments, arguments)
        arrays = {name: array.asnumpy() for name, array in named if isinstance(array, mx.nd.NDArray)}
        rows, length = arrays["input_ids"].shape
        shape = _Shape(rows, length, arrays["masked_position"].shape[1] if "masked_position" in arrays else 0)
        if self.xla.needs_masks and not shape.masks:
            raise PluginError(f"{self._name} decodes masked tokens, but is not told their positions")
        if shape.length > self.xla.end:
            raise PluginError(f"{self._name} has positions for {self.xla.end} tokens, but a batch has {shape.length}")
        with self.calls.lock:  # a parameter is on several places, on which threads compute at once
            self._finish_initialization(arguments)
            weights = {name: self.place.adopt(p).values for name, p in self.xla.parameters.items()}
        filled = self._filled(shape, is_recording)
        inputs = TRANSFERS.send(_inputs(arrays, shape, filled), self.place.mesh.divide)
        what = f"{self._name} for {filled.rows} rows of {filled.length} tokens"
        if not is_recording:
            found = self._run(("answers", key is None, filled), what, self._answers, weights, inputs, key)
            return self._as_returned(self._hosted(found, shape), found, shape)
        trained = {name: weights.pop(name) for name, p in self.xla.parameters.items() if p.grad_req != "null"}
        kind = (key is None, tuple(sorted(trained)), filled)
        self._compile_recorded(kind, what, trained, weights, inputs, key)
        if not shape.masks:
            self._compile_ahead(kind, trained, weights, inputs, key)
        found, kept = self.place.programs((self._id, "recorded", *kind), trained, weights, inputs, key)
        call = Call(self, kind, found, kept, shape)
        return self._as_returned(self.calls.record(call), found, shape, call)

    def consists_of(self, parts: List[Any]) -> bool:
        """Whether the block still has the layers and parameters that it had."""
        return len(parts) == len(self._parts) and all(map(operator.is_, parts, self._parts))

    def _compile_recorded(self, kind: Tuple[Any, ...], what: str, *arguments: Any) -> None:
        """Begin to compile the program of a recorded call, and that of its gradient."""
        if (self._id, "recorded", *kind) in self.place.programs:
            return
        arguments = self._described(arguments)
        outputs, kept = self._recorded.eval_shape(*arguments)
        pull, sharding = self._pull, self.place.mesh.replicated
        gradients = jax.jit(lambda kept, given: jax.tree.unflatten(pull, kept)(given)[0], out_shardings=sharding)
        self._compile(("recorded", *kind), f"the training pass of {what}", self._recorded, *arguments)
        self._compile(("gradients", *kind), f"the gradient of {what}", gradients, kept, outputs)

    def _compile_ahead(self, kind: Tuple[Any, ...], trained: Any, weights: Any, inputs: Any, key: Any) -> None:
        """Begin to compile the programs for the lengths that are expected after this one."""
        *same, filled = kind
        for length in self.calls.lengths:
            other = filled._replace(length=min(rounded_up(length), self.xla.end))
            if (self._id, "recorded", *same, other) not in self.place.programs:
                arrays = _inputs({}, _Shape(0, 0, 0), other)
                what = f"{self._name} for {other.rows} rows of {other.length} tokens"
                self._compile_recorded((*same, other), what, trained, weights, arrays, key)

    def _finish_initialization(self, arguments: Sequence[Any]) -> None:
        block: Any = self._block()
        deferred = [p for p in self.xla.parameters.values() if p._deferred_init]
        if deferred:
            block._deferred_infer_shape(*arguments)
            for parameter in deferred:
                parameter._finish_deferred_init()

    def _filled(self, shape: _Shape, is_recording: bool) -> _Shape:
        """The shape of the program for a call: of few lengths, and of as many rows as a call had before."""
        known, expected = self._rows[is_recording], self.calls.rows if is_recording else 0
        rows = min((number for number in known if number >= shape.rows), default=max(shape.rows, expected))
        if rows not in known:
            known.append(rows)
        masks = rounded_up(shape.masks) if shape.masks else 0
        return _Shape(rows, min(rounded_up(shape.length), self.xla.end), masks)

    def _described(self, arguments: Any) -> Any:
        """The shapes, dtypes and device of arrays."""
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=self.place.mesh.replicated), arguments
        )

    def _compile(self, key: Tuple[Any, ...], what: str, function: Any, *arguments: Any) -> None:
        self.place.programs.compile((self._id, *key), what, function, *self._described(arguments))

    def _run(self, key: Tuple[Any, ...], what: str, function: Any, *arguments: Any) -> Any:
        self._compile(key, what, function, *arguments)
        return self.place.programs((self._id, *key), *arguments)

    def _hosted(self, found: Sequence[Any], shape: _Shape) -> List[mx.nd.NDArray]:
        """The small outputs on the host."""
        with self.place.programs.enough_memory():
            small = [values for values, is_large in zip(found, self.xla.is_large) if not is_large]
            return [mx.nd.array(TRANSFERS.fetch(values)[: shape.rows], self.place.context) for values in small]

    def _as_returned(
        self,
        hosted: List[mx.nd.NDArray],
        found: Sequence[Any],
        shape: _Shape,
        call: Optional["Call"] = None,
    ) -> Any:
        """The outputs in their order, the large ones on the device."""
        outputs: List[mx.nd.NDArray] = []
        for number, values in enumerate(found):
            if not self.xla.is_large[number]:
                outputs.append(hosted.pop(0))
                continue
            sizes = shape.size_of(number, self.xla.is_large, self.xla.gives_tokens)
            large = LargeOutput(self.place, values, (*sizes, *values.shape[len(sizes) :]))
            if call is not None:
                large.token, call.large[number] = hosted[-1], large
            outputs.append(Scores(large))
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def add_gradients(self, call: "Call", gradients: List[np.ndarray], written: Set[int]) -> None:
        """Add the gradients of a call to those of the parameters, or put them in the place of an earlier pass's.

        Parameters
        ----------
        call : Call
        gradients : list of ndarray
            Of the loss with respect to the small outputs.
        written : set of int
            The gradients that belong to the current pass; those written here are added.
        """
        given: List[Any] = []
        for number, values in enumerate(call.outputs):
            if self.xla.is_large[number]:
                given.append(call.large[number].gradient())
            else:
                padded = np.zeros(values.shape, np.float32)
                padded[: call.shape.rows] = gradients.pop(0)
                given.append(TRANSFERS.send(padded, self.place.mesh.replicate))
        with self.place.programs.enough_memory():
            found = self.place.programs((self._id, "gradients", *call.kind), call.kept, tuple(given))
        sums, more = {}, {}
        for name, values in found.items():
            parameter = self.xla.parameters[name]
            data, gradient = (self.place.of(arrays, parameter) for arrays in (parameter._data, parameter._grad))
            data._fresh_grad = True
            if parameter.grad_req == "add" or id(gradient) in written:
                sums[name], more[name] = gradient.values, values
            else:
                gradient.values = values
            written.add(id(gradient))
        if sums:
            for name, values in added(sums, more).items():
                parameter = self.xla.parameters[name]
                self.place.of(parameter._grad, parameter).values = values


class Call(mx.autograd.Function):
    """One call of a net, in the graph of MXNet's autograd: a function of nothing but a tape of one number.

    Its last output stands for all the large ones, which stay on the device.
    """

    def __init__(self, net: Net, kind: Tuple[Any, ...], outputs: Sequence[Any], kept: Any, shape: _Shape) -> None:
        super().__init__()
        self.net, self.kind, self.outputs, self.kept, self.shape = net, kind, list(outputs), kept, shape
        self.large: Dict[int, LargeOutput] = {}

    def forward(self, tape: mx.nd.NDArray) -> Any:
        small = self.net._hosted(self.outputs, self.shape)
        return [*small, tape.copy()] if any(self.net.xla.is_large) else small

    def release(self) -> None:
        """Keep no arrays any more: Python, which has cycles of ctypes' here, might free this object much later."""
        for large in self.large.values():
            large.release()
        self.large, self.outputs, self.kept = {}, [], None

    def backward(self, *gradients: mx.nd.NDArray) -> mx.nd.NDArray:
        number = len(self.net.xla.is_large) - sum(self.net.xla.is_large)
        self.net.calls.receive(self, [gradient.asnumpy() for gradient in gradients[:number]])
        return mx.nd.zeros(1, self.net.place.context)


def _inputs(arrays: Dict[str, np.ndarray], shape: _Shape, filled: _Shape) -> Dict[str, np.ndarray]:
    """The inputs of a net in a larger shape: more tokens are padding, more rows have no meaning."""
    whole = filled.rows, filled.length
    inputs: Dict[str, np.ndarray] = {name: np.zeros(whole, np.int32) for name in ("input_ids", "segment_ids")}
    inputs["valid_length"] = np.ones(filled.rows, np.int32)
    inputs["valid_length"][: shape.rows] = arrays.get("valid_length", np.float32(shape.length)).reshape(-1)
    for name in ("input_ids", "segment_ids"):
        if name in arrays:
            inputs[name][: shape.rows, : shape.length] = arrays[name]
    if shape.masks:
        inputs["masked_position"] = np.zeros((filled.rows, filled.masks), np.int32)
        inputs["masked_position"][: shape.rows, : shape.masks] = arrays["masked_position"]
    return inputs
