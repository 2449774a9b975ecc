"""Speeds of several programs on one GPU, measured in turn: while one computes, the others wait."""

import concurrent.futures
import contextlib
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from gluonnlp_snli_plugin import PluginError

from . import machine
from .cards import share_of_peak
from .gpu_setup import BASE, MINILM, Deadline, Setup
from .race import Contender
from .workspace import Workspace

SPEED_CACHE = "speed"  # of what is compiled, but for whole runs
TRAINER = "Hugging Face Trainer"
Turn = Dict[str, Dict[str, Any]]  # the answers to "train" and "evaluate"
_NEEDED_BY_TRAINER = ("torch", "transformers", "accelerate")


class Program(NamedTuple):
    """One that takes part in a race."""

    title: str
    module: str  #: in ``contenders/``
    job: Dict[str, Any]  #: what it is told besides what all are told
    variables: Dict[str, str] = {}
    steps: int = 1  #: a round
    warmup: int = 1  #: steps before the first round


class Speed(NamedTuple):
    """What was measured of a program, or why nothing was."""

    train: Optional[float] = None  #: pairs a second, the median of the rounds
    evaluate: Optional[float] = None
    ready: Optional[float] = None  #: seconds from its start to the end of its warm-up, with all that is compiled
    reason: str = ""
    update: Dict[str, float] = {}  #: seconds of an update, "whole" and of its parts, if the program tells them


def ours(setup: Setup, dtype: str, num_devices: int = 1, title: str = "", **settings: Any) -> Program:
    """This project, with further settings of ``finetune``."""
    job = {"settings": {**setup.device_settings(num_devices), "dtype": dtype, **settings}, "scorer": "float32"}
    title = title or f"this project, {dtype}"
    return Program(title, "ours.py", job, steps=setup.sizes.our_steps, warmup=setup.sizes.our_warmup)


def trainer(setup: Setup, precision: str = "") -> Program:
    """Hugging Face's Trainer, by default in mixed precision; batches by length."""
    precision = precision or setup.low_precision
    job = {"bf16": precision == "bfloat16", "fp16": precision == "float16", "padded": False}
    job["loader_workers"] = 4 if setup.cards else 0
    title = f"{TRAINER}, {precision}"
    return Program(title, "hugging_face.py", job, _first_gpu(setup), setup.sizes.their_steps, setup.sizes.their_warmup)


def _first_gpu(setup: Setup) -> Dict[str, str]:
    """Trainer takes all GPUs that it sees."""
    if not setup.cards:
        return {}
    return {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}


def require_trainer() -> None:
    """Raise a PluginError if a package that Trainer needs is not installed."""
    missing = [name for name in _NEEDED_BY_TRAINER if importlib.util.find_spec(name) is None]
    if missing:
        raise PluginError(f"{', '.join(missing)}: not installed")


def in_short(error: Exception) -> str:
    """A failure for a cell of a table: of the last lines that a program wrote, the very last."""
    first, *others = str(error).replace(f"{Path.cwd()}/", "").split(" | ")
    begin = first.partition("): ")[0] + "): " if others and "): " in first else ""
    return f"{begin}{others[-1] if others else first}"[:300]


def start(program: Program, setup: Setup, space: Workspace, cache: str, deadline: Deadline, **job: Any) -> Contender:
    """Start a program; it has read its pairs and waits.

    Raises
    ------
    PluginError
        If it fails, or there is no time.
    """
    if program.module == "hugging_face.py":
        require_trainer()
    told = space.job(eval_batch_size=256, **{**program.job, **job})
    variables = setup.environment(space, cache, **program.variables)
    return Contender(program.title, sys.executable, program.module, told, variables, deadline.left())


def race(
    programs: List[Program],
    setup: Setup,
    space: Workspace,
    batch_size: int,
    deadline: Deadline,
    start_together: bool = True,
    warm_up_together: bool = False,
    commands: Tuple[str, ...] = ("train", "evaluate"),
    **job: Any,
) -> Dict[str, Speed]:
    """Measure programs in turn.

    Parameters
    ----------
    programs : list of Program
    setup : Setup
    space : Workspace
        Of the BERT that they train.
    batch_size : int
    deadline : Deadline
    start_together : bool, default True
        Otherwise each starts when the one before it is ready, so that the time that it takes is its own.
    warm_up_together : bool, default False
        Whether those that start together do the steps before the first round at the same time too.
    commands : tuple of str, default ('train', 'evaluate')
        What is measured; of these two.
    **job
        More that all are told.

    Returns
    -------
    dict of str to Speed
        By title.
    """
    rounds = setup.sizes.rounds
    # A few batches more: buckets of lengths end in batches that are not full.
    pairs = batch_size * (12 + max(program.warmup + rounds * program.steps for program in programs))
    space.job(at_least=pairs)  # writes the files, before several threads want to
    found: Dict[str, Speed] = {}
    ready: Dict[str, Optional[float]] = {}
    turns: Dict[str, List[Turn]] = {program.title: [] for program in programs}
    contenders: Dict[str, Contender] = {}

    def started(program: Program) -> Contender:
        told = {"at_least": pairs, "batch_size": batch_size, **job}
        contender = start(program, setup, space, SPEED_CACHE, deadline, **told)
        if warm_up_together:
            try:
                turn(contender, program.warmup)
            except BaseException:
                contender.close()
                raise
        return contender

    def turn(contender: Contender, steps: int) -> Turn:
        answers = {}
        for what in commands:
            contender.timeout = deadline.left()
            answers[what] = contender.ask(f"train {steps}" if what == "train" else what)
        return answers

    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor() as pool:
        starting = {program.title: pool.submit(started, program) for program in programs if start_together}
        for program in programs:
            begin = time.perf_counter()
            try:
                contender = starting[program.title].result() if start_together else started(program)
                contenders[program.title] = stack.enter_context(contextlib.closing(contender))
                if not warm_up_together:
                    turn(contender, program.warmup)
                ready[program.title] = None if start_together else time.perf_counter() - begin
            except Exception as error:  # whatever it is, the others have been started, and end with the stack
                contenders.pop(program.title, None)
                found[program.title] = Speed(reason=in_short(error))
        for number in range(rounds):
            order = [program for program in programs if program.title in contenders]
            first = number % max(len(order), 1)
            for program in order[first:] + order[:first]:  # nobody is always the first
                try:
                    turns[program.title].append(turn(contenders[program.title], program.steps))
                except PluginError as error:  # the rounds before are figures too
                    del contenders[program.title]
                    found[program.title] = Speed(ready=ready[program.title], reason=in_short(error))
    for title, rounds_done in turns.items():
        if rounds_done:
            rates = {what: _rate(rounds_done, what) for what in commands}
            found[title] = Speed(**rates, ready=ready[title], update=_update(rounds_done))
    return {program.title: found[program.title] for program in programs}


def _rate(turns: List[Turn], what: str) -> float:
    return statistics.median(turn[what]["pairs"] / turn[what]["seconds"] for turn in turns)


def _update(turns: List[Turn]) -> Dict[str, float]:
    """The seconds of an update and of its parts, in the round of the median."""
    answers = sorted((turn["train"] for turn in turns), key=lambda answer: answer["seconds"] / answer["steps"])
    answer = answers[(len(answers) - 1) // 2]
    if not answer["parts"]:
        return {}
    figures = {**answer["parts"], "whole": answer["seconds"]}
    return {name: seconds / answer["steps"] for name, seconds in figures.items()}


def speeds(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """Training and evaluation with both BERTs and all batch sizes, against Trainer; a row for each program.

    This project's float32 comes last, by itself, as it is the first to do without if time is short.
    """
    sizes, fast, slow = setup.sizes.batch_sizes, ours(setup, setup.low_precision), ours(setup, "float32")
    plan = [(name, sizes[i], [fast, trainer(setup)]) for name, i in setup.sizes.nets]
    plan += [(name, sizes[i], [slow]) for name, i in setup.sizes.nets if i == 0]
    rows: List[Dict[str, Any]] = []
    references: Dict[Tuple[str, int], Speed] = {}
    for name, batch_size, programs in plan:
        found = race(programs, setup, setup.spaces[name], batch_size, deadline)
        reference = references.setdefault((name, batch_size), found[programs[0].title])
        for program in programs:
            rows.append(_row(setup, name, batch_size, program, found[program.title], reference))
            print(json.dumps(rows[-1]), file=sys.stderr)
    order = [(name, size) for name in (MINILM, BASE) for size in sizes]
    return sorted(rows, key=lambda row: order.index((row["net"], row["batch_size"])))


def _row(setup: Setup, name: str, batch_size: int, program: Program, speed: Speed, reference: Speed) -> Dict[str, Any]:
    space = setup.spaces[name]
    shape = space.shape
    flops = machine.flops_of_pair(space.lengths, shape["layers"], shape["units"], shape["hidden"])
    dtype = program.job.get("settings", {}).get("dtype", setup.low_precision)
    row = {"net": name, "batch_size": batch_size, "program": program.title, **speed._asdict()}
    for what in ("train", "evaluate"):
        mine, other = getattr(reference, what), getattr(speed, what)
        row[f"{what}_ratio"] = mine / other if mine and other else None
    row["share"] = speed.train and share_of_peak(setup.card.name, dtype, float(flops.mean()), speed.train)
    return row
