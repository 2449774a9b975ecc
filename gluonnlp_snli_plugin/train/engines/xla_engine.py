"""Computes a run through XLA: one program an update, with its state on the devices."""

import functools
import time
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

import jax
import jax.numpy as jnp
import mxnet as mx
import numpy as np

from ...data.encoding import EncodedPairs
from ...errors import CheckpointError
from ...parallel.devices import Devices
from ...parallel.ranks import Ranks
from ...xla import update
from ...xla.dropout import key_of
from ...xla.inference import Inference
from ...xla.lengths import choose_lengths, fitting
from ...xla.mesh import DeviceMesh
from ...xla.precision import PRECISIONS
from ...xla.programs import Programs
from ..progress import Meter
from ..settings.config import RunConfig
from ..update_batches import Group
from .engine import names_of
from .objectives import Objective
from .optimizer import EPSILON, Schedule, require_finite, without_decay

_PAIRS_EVALUATED = 256  # in a batch


class XLAEngine:
    """Computes through XLA; an :class:`.engine.Engine`.

    All batches have one of a few shapes, for each of which a program is compiled: they are filled up with padding, and
    with pairs of weight 0. The dropout masks are the same on any number of devices.

    Parameters
    ----------
    net : HybridBlock
        On CPU; its parameters are copied.
    objective : Objective
    config : RunConfig
    num_updates : int
        Of the whole run.
    devices : Devices
    ranks : Ranks
    meter : Meter
    batches : LengthBucketBatches or PretrainingBatches
        To train on.
    tell : callable
        Shows a line of text.
    evaluated : EncodedPairs or None
        The pairs that :meth:`logits` is asked about.
    begin : float
        When the run began, by ``time.perf_counter()``.
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
        batches: Any,
        tell: Callable[[str], None],
        evaluated: Optional[EncodedPairs],
        begin: float,
    ) -> None:
        self._net, self._objective, self._config, self._ranks, self._meter = net, objective, config, ranks, meter
        self._begin, self._seconds_to_first_update = begin, 0.0
        self._mesh = DeviceMesh(devices.places)
        self._mesh.require(config.dtype)
        ranks.connect(self._mesh.every)
        self.operators = f"XLA, {self._mesh.kind}"
        self._parameters = {names[0]: (parameter, names) for parameter, names in names_of(net)}
        no_decay = without_decay(net)
        trained = [name for name, (parameter, _) in self._parameters.items() if parameter.grad_req != "null"]
        self._rule = update.Rule(
            is_adamw=config.optimizer == "bertadam",
            epsilon=EPSILON[config.optimizer],
            clip=config.clip,
            weight_decay={
                name: 0.0 if self._parameters[name][0] in no_decay else config.weight_decay for name in trained
            },
            scales_loss=PRECISIONS[config.dtype].scales_loss,
        )
        self._schedule = Schedule(config, num_updates)
        weights = {name: parameter.list_data()[0].asnumpy() for name, (parameter, _) in self._parameters.items()}
        self._state = self._mesh.replicate(update.new_state(weights, self._rule))
        self._norm: Any = np.float32(0)
        self._xla_net = objective.xla_net(config.dtype, config.remat)
        lengths = batches.lengths()
        self._lengths = choose_lengths(lengths, batches.end)
        self._programs = Programs(tell, self._mesh.memory, functools.partial(advice, config))
        self._define()
        self._inference: Optional[Inference] = None
        if evaluated is not None:
            rows = min(_PAIRS_EVALUATED, -(-len(evaluated) // ranks.num_ranks))
            longest = -np.sort(-evaluated.valid_length)[:: rows * ranks.num_ranks]
            few = choose_lengths(longest, int(longest[0]), most=2)  # answers are fast to compute, slow to compile
            self._inference = Inference(self._xla_net, self._mesh, self._programs, [rows], few)
        tell(f"compiling for pairs filled up to {', '.join(map(str, self._lengths))} tokens")
        self._compile_ahead(lengths, evaluated)

    def _define(self) -> None:
        """The functions that are compiled, most of them for each shape."""
        num_ranks, net, rule, terms = self._mesh.num_ranks, self._xla_net, self._rule, self._objective.terms

        def figures(weights: Any, inputs: Any) -> Any:
            return _divided(net.figures(weights, inputs), num_ranks)

        def gradients(state: Any, inputs: Any, totals: Any, key: Any) -> Any:
            def loss(trained: Any) -> Any:
                found = net.figures({**state["weight"], **trained}, inputs, key)
                return state["scale"] * sum(found[term] / totals[count] for term, count in terms.items()), found

            found, own = jax.grad(loss, has_aux=True)({name: state["weight"][name] for name in rule.weight_decay})
            return found, _divided(own, num_ranks)

        def more_gradients(sums: Any, state: Any, inputs: Any, totals: Any, key: Any) -> Any:
            found, own = gradients(state, inputs, totals, key)
            return jax.tree.map(jnp.add, sums, found), own

        def finish(state: Any, sums: Any, learning_rate: Any) -> Any:
            return update.update(state, sums, learning_rate, rule)

        def step(state: Any, inputs: Any, totals: Any, key: Any, learning_rate: Any) -> Any:
            found, own = gradients(state, inputs, totals, key)
            return (*finish(state, found, learning_rate), own)

        def jitted(function: Callable[..., Any], *donated: int) -> Any:
            return jax.jit(function, donate_argnums=donated, out_shardings=self._mesh.replicated)

        self._functions = {
            "step": jitted(step, 0),
            "gradients": jitted(gradients),
            "more gradients": jitted(more_gradients, 0),
            "finish": jitted(finish, 0),
            "figures": jitted(figures),
        }

    @property
    def num_updates_done(self) -> int:
        return self._schedule.num_updates_done

    @property
    def next_learning_rate(self) -> float:
        return self._schedule.next_learning_rate

    @property
    def decay(self) -> float:
        return self._schedule.decay

    def step(self, group: Group) -> None:
        number = self.num_updates_done + 1
        totals = {count: np.float32(total) for count, total in group.totals(self._objective.terms).items()}
        keys = [key_of(self._config.seed, number, i) for i in range(len(group.batches))]
        rate = np.float32(self._schedule.corrected_learning_rate)
        if len(keys) == 1:
            found = self._run("step", group.batches[0], (self._state,), (totals, keys[0], rate))
            self._state, self._norm, figures = found
            self._count(number, group.batches[0], figures)
        else:
            sums: Tuple[Any, ...] = ()
            for batch, key in zip(group.batches, keys):
                name = "more gradients" if sums else "gradients"
                gradients, figures = self._run(name, batch, (*sums, self._state), (totals, key))
                sums = (gradients,)
                self._count(number, batch, figures)
            arguments = (self._state, *sums, rate)
            self._programs.compile("finish", "the update", self._functions["finish"], *arguments)
            self._state, self._norm = self._programs("finish", *arguments)
        self._schedule.advance()
        if not self._seconds_to_first_update:
            with self._programs.enough_memory():
                jax.block_until_ready(self._norm)
            self._seconds_to_first_update = time.perf_counter() - self._begin

    def _run(self, name: str, batch: Any, before: Tuple[Any, ...], after: Tuple[Any, ...] = ()) -> Any:
        """Run the function of that name on a batch, with arguments before and after it."""
        rows, length = self._rows(batch.num_pairs), fitting(self._lengths, batch.longest)
        self._compile(name, rows, length, before, after)
        inputs = self._mesh.divide(self._xla_net.inputs(batch, rows, length))
        return self._programs((name, rows, length), *before, inputs, *after)

    def _compile(self, name: str, rows: int, length: int, before: Tuple[Any, ...], after: Tuple[Any, ...]) -> None:
        if (name, rows, length) in self._programs:
            return
        what = f"{_WORDS[name]} {rows * self._mesh.num_ranks} pairs of {length} tokens"
        shapes = self._mesh.shapes(self._xla_net.blank(rows, length))
        self._programs.compile((name, rows, length), what, self._functions[name], *before, shapes, *after)

    def _compile_ahead(self, lengths: np.ndarray, evaluated: Optional[EncodedPairs]) -> None:
        """Begin to compile what the run is known to need, in the order in which it does; `lengths` are the batches'."""
        if self._config.accumulate == 1:
            totals = dict.fromkeys(self._objective.terms.values(), np.float32(0))
            for length in dict.fromkeys(fitting(self._lengths, length) for length in lengths):
                self._compile("step", self._rows(0), length, (self._state,), (totals, key_of(0), np.float32(0)))
        if self._inference and evaluated is not None:
            self._inference.compile_for(self._state["weight"], evaluated, self._ranks.num_ranks)

    def _rows(self, num_pairs: int) -> int:
        """How many rows of a batch this process has; `num_pairs` are those of all."""
        num_rows = max(self._config.batch_size, -(-num_pairs // self._ranks.num_ranks))
        return -(-num_rows // len(self._mesh)) * len(self._mesh)

    def _count(self, number: int, batch: Any, figures: Dict[str, Any]) -> None:
        self._meter.add(number, batch.index, **figures, **self._objective.counts(batch))

    def require_sound_gradients(self) -> None:
        if not self._rule.scales_loss:  # where an overflow is a matter of course, and makes no update
            require_finite(float(self._norm), self.num_updates_done)

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        assert self._inference is not None
        ranks = self._ranks
        shared = self._inference.logits(self._state["weight"], encoded, ranks.rank, ranks.num_ranks)
        return ranks.add_up("scores", shared)  # each rank has those of its share, and zeros

    def sums(self, batches: Iterable[Any]) -> Dict[str, float]:
        found = []
        for batch in batches:
            found.append({**self._run("figures", batch, (self._state["weight"],)), **self._objective.counts(batch)})
        return {name: sum(float(one[name]) for one in found) for name in (found[0] if found else ())}

    def update_net(self) -> None:
        for name, (parameter, _) in self._parameters.items():
            parameter.set_data(mx.nd.array(np.asarray(self._state["weight"][name])))

    def state(self) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        arrays: Dict[str, Any] = {}
        for name, (_, names) in self._parameters.items():
            arrays.update((f"weight/{other}", self._state["weight"][name]) for other in names)
            for kind in ("mean", "variance"):
                if name in self._state[kind]:
                    arrays[f"{kind}/{names[-1]}"] = self._state[kind][name]
        for array in arrays.values():
            array.copy_to_host_async()
        scale = {name: self._state[name].item() for name in ("scale", "sound_updates")}
        return arrays, {**self._schedule.state(), **(scale if self._rule.scales_loss else {})}

    def load_state(self, arrays: Mapping[str, np.ndarray], numbers: Dict[str, Any], place: str) -> None:
        state = update.new_state({}, self._rule._replace(weight_decay={}))
        for name, (parameter, names) in self._parameters.items():
            array = arrays[f"weight/{names[0]}"]
            if array.shape != parameter.shape:
                raise CheckpointError(f"{place}: {name} is {array.shape}, not {parameter.shape}")
            state["weight"][name] = array
            for kind in ("mean", "variance"):
                if name in self._rule.weight_decay:
                    state[kind][name] = arrays[f"{kind}/{names[-1]}"]
        if self._rule.scales_loss and "scale" in numbers:
            state["scale"] = np.float32(numbers["scale"])
            state["sound_updates"] = np.int32(numbers["sound_updates"])
        self._state = self._mesh.replicate(state)
        self._schedule.load_state(numbers)

    def close(self) -> Dict[str, float]:
        self._programs.close()
        return {
            "compile_seconds": round(self._programs.seconds, 2),
            "seconds_to_first_update": round(self._seconds_to_first_update, 2),
        }


_WORDS = {
    "step": "an update by",
    "gradients": "gradients of",
    "more gradients": "more gradients of",
    "figures": "figures of",
}


def _divided(figures: Dict[str, Any], number: int) -> Dict[str, Any]:
    """What each of some ranks has of figures that are sums over all; the meter adds them up."""
    return {name: value / number for name, value in figures.items()}


def advice(config: RunConfig, share: Optional[float]) -> str:
    """What to do if the memory is too small.

    Parameters
    ----------
    config : RunConfig
    share : float or None
        The available part of the memory that a batch needs, in [0, 1); None if it is not known.

    Returns
    -------
    str
    """
    remat = "" if config.remat else ", or --remat"
    size = config.batch_size // 2 if share is None else int(config.batch_size * share)
    if not size:
        return f"use a smaller --max-len, or a smaller model{remat}"
    size = 1 << (size.bit_length() - 1)
    return f"use --batch-size {size} --accumulate {-(-config.accumulate * config.batch_size // size)}{remat}"
