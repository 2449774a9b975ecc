"""Speeds of several programs on one GPU, measured in turn: while one computes, the others wait."""

import concurrent.futures
import contextlib
import importlib.util
import json
import os
import statistics
import sys
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
    warmup: Optional[float] = None  #: seconds of the steps before, with all that is compiled
    reason: str = ""


def ours(setup: Setup, dtype: str, num_devices: int = 1, title: str = "", **settings: Any) -> Program:
    """This project, with further settings of ``finetune``."""
    job = {"settings": {**setup.device_settings(num_devices), "dtype": dtype, **settings}, "int8": False}
    title = title or f"this project, {dtype}"
    return Program(title, "ours.py", job, steps=setup.sizes.our_steps, warmup=setup.sizes.our_warmup)


def trainer(setup: Setup) -> Program:
    """Hugging Face's Trainer in mixed precision, batches by length."""
    precision = setup.low_precision
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
    programs: List[Program], setup: Setup, space: Workspace, batch_size: int, cache: str, deadline: Deadline
) -> Dict[str, Speed]:
    """Measure programs in turn.

    Returns
    -------
    dict of str to Speed
        By title.
    """
    rounds = setup.sizes.rounds
    # A few batches more: buckets of lengths end in batches that are not full.
    pairs = batch_size * (12 + max(program.warmup + rounds * program.steps for program in programs))
    found: Dict[str, Speed] = {}
    answers: Dict[str, List[Dict[str, Dict[str, float]]]] = {}
    warmups: Dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        job = {"at_least": pairs, "batch_size": batch_size}
        space.job(at_least=pairs)  # the files, before several threads want to write them
        with concurrent.futures.ThreadPoolExecutor() as pool:
            starts = [pool.submit(start, program, setup, space, cache, deadline, **job) for program in programs]
        contenders: Dict[str, Contender] = {}
        for program, started in zip(programs, starts):
            try:
                contenders[program.title] = stack.enter_context(contextlib.closing(started.result()))
            except Exception as error:  # whatever it is, the others have been started, and end with the stack
                found[program.title] = Speed(reason=in_short(error))

        def ask(program: Program, command: str) -> Dict[str, float]:
            contenders[program.title].timeout = deadline.left()
            return contenders[program.title].ask(command)

        for number in range(rounds + 1):
            order = [program for program in programs if program.title in contenders]
            first = number % max(len(order), 1)
            for program in order[first:] + order[:first]:  # nobody is always the first
                try:
                    steps = program.steps if number else program.warmup
                    answer = {"train": ask(program, f"train {steps}"), "evaluate": ask(program, "evaluate")}
                except PluginError as error:
                    del contenders[program.title]
                    if not answers.get(program.title):  # a round or two are figures too
                        found[program.title] = Speed(warmup=warmups.get(program.title), reason=in_short(error))
                    continue
                if number:
                    answers.setdefault(program.title, []).append(answer)
                else:
                    warmups[program.title] = answer["train"]["seconds"]
    for title, turns in answers.items():
        found[title] = Speed(_rate(turns, "train"), _rate(turns, "evaluate"), warmups[title])
    return {program.title: found[program.title] for program in programs}


def _rate(turns: List[Dict[str, Dict[str, float]]], what: str) -> float:
    return statistics.median(turn[what]["pairs"] / turn[what]["seconds"] for turn in turns)


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
        found = race(programs, setup, setup.spaces[name], batch_size, SPEED_CACHE, deadline)
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
