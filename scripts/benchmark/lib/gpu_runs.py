"""Whole runs on a GPU, from the command to its summary, and variants of training that only a GPU can decide."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

from gluonnlp_snli_plugin import PluginError

from .gpu_setup import BASE, MINILM, Deadline, Setup
from .gpu_speed import Program, in_short, ours, race, start, trainer
from .workspace import finetune_command

_MOST_STEPS = 10**9
_FIGURES = ("seconds_to_first_update", "compile_seconds", "train_pairs_per_second")


class Done(NamedTuple):
    """A command that has succeeded."""

    seconds: float
    output: str


def run_finetune(setup: Setup, output: Path, cache: str, deadline: Deadline, **settings: Any) -> float:
    """Fine-tune MiniLM with the command line; returns the seconds from the start of its process to the end.

    Raises
    ------
    PluginError
        If it fails, with its last line, or the time is up.
    """
    space = setup.spaces[MINILM]
    job = space.job()
    names = ("dataset_name", "train_file", "dev_file", "batch_size", "max_len")
    given = {"dtype": setup.low_precision, **setup.device_settings(), **{name: job[name] for name in names}}
    command = finetune_command(**{**given, **settings}, output_dir=output)
    return run_command("finetune", command, setup.environment(space, cache), deadline).seconds


def run_command(what: str, command: List[str], environment: Dict[str, str], deadline: Deadline) -> Done:
    """Run a command that must succeed; `what` names it in errors.

    Raises
    ------
    PluginError
        If it fails, with its last line, or the time is up.
    """
    begin = time.perf_counter()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=deadline.left())
    except subprocess.TimeoutExpired as error:
        raise PluginError(f"{what} has not finished within {error.timeout:.0f} seconds") from None
    if done.returncode:
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise PluginError(f"{what} failed (exit status {done.returncode}): {words[-1]}")
    return Done(time.perf_counter() - begin, done.stdout)


def whole_runs(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """Some epochs of MiniLM from the start of the process to the end; a row for each run."""

    def our_run(name: str) -> Dict[str, Any]:
        output = setup.folder / name
        seconds = run_finetune(setup, output, "whole", deadline, epochs=setup.sizes.epochs)
        return {"seconds": seconds, **figures_of(output)}

    def their_run() -> Dict[str, Any]:
        begin = time.perf_counter()
        program, space = trainer(setup), setup.spaces[MINILM]
        job = {"epochs": setup.sizes.epochs, "batch_size": setup.sizes.batch_sizes[0]}
        with contextlib.closing(start(program, setup, space, "whole", deadline, **job)) as contender:
            contender.timeout = deadline.left()
            trained = contender.ask(f"train {_MOST_STEPS}")
            accuracy = contender.ask("evaluate")["accuracy"]
            seconds = time.perf_counter() - begin
        return {
            "seconds": seconds,
            "train_pairs_per_second": trained["pairs"] / trained["seconds"],
            "dev_accuracy": accuracy,
        }

    runs: Dict[str, Callable[[], Dict[str, Any]]] = {
        f"this project, {setup.low_precision}, nothing compiled before": lambda: our_run("cold"),
        trainer(setup).title: their_run,
        f"this project, {setup.low_precision}, compiled before": lambda: our_run("warm"),
    }
    return [{"run": name, **_figures_or_reason(run)} for name, run in runs.items()]


def _figures_or_reason(run: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
    try:
        return run()
    except PluginError as error:
        return {"reason": in_short(error)}


def figures_of(output: Path) -> Dict[str, Any]:
    """The figures of an output folder; the accuracy is that after the last epoch, as Trainer's is."""
    summary = json.loads((output / "summary.json").read_bytes())
    lines = map(json.loads, (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    accuracy = [line["accuracy"] for line in lines if line["kind"] == "dev"][-1]
    return {**{name: summary.get(name) for name in _FIGURES}, "dev_accuracy": accuracy}


def variants(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """Training with and without what costs or saves time on a GPU; a row for each, the first for comparison.

    What :func:`.gpu_speed.speeds` has compiled is not compiled again; the others are ready when they have compiled.
    """
    dtype, small, large = setup.low_precision, *setup.sizes.batch_sizes

    def variant(title: str, xla_flag: str = "", **settings: Any) -> Program:
        flags = f"{os.environ.get('XLA_FLAGS', '')} {xla_flag}".strip()
        return ours(setup, dtype, title=title, **settings)._replace(variables={"XLA_FLAGS": flags} if xla_flag else {})

    groups = [
        (
            MINILM,
            small,
            [
                variant("as it is"),
                variant("`--xla_gpu_deterministic_ops=false`", "--xla_gpu_deterministic_ops=false"),
                variant("`--xla_gpu_autotune_level=0`", "--xla_gpu_autotune_level=0"),
            ],
        ),
        (BASE, large, [variant("as it is"), variant("`--remat`", remat=True)]),
    ]
    if len(setup.cards) != 1:
        groups[-1][-1].append(ours(setup, dtype, num_devices=2, title="two devices"))
    rows = []
    for name, batch_size, programs in groups:
        found = race(programs, setup, setup.spaces[name], batch_size, deadline, start_together=False)
        reference = found[programs[0].title].train
        for title, speed in found.items():
            ratio = speed.train / reference if speed.train and reference else None
            rows.append({"net": name, "batch_size": batch_size, "variant": title, **speed._asdict(), "ratio": ratio})
    return rows
