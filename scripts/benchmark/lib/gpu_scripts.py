"""GluonNLP's own fine-tuning script on a GPU: is it right, how fast is it, and where does the time of an update go?"""

import concurrent.futures
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from gluonnlp_snli_plugin import PluginError

from .gpu_runs import run_command
from .gpu_setup import BASE, MINILM, SMALL, Deadline, Setup
from .gpu_speed import SPEED_CACHE, Program, Speed, race, trainer

PARTS = ("loader", "forward", "loss", "backward", "clipping", "update")  # of an update, as the contender names them
_PROGRAM = Path(__file__).with_name("xla_checks.py")
_OWN_SCRIPT = Path(__file__).parents[3] / "tests" / "integration" / "finetune_script.py"
_OPTIONS = {
    "--task_name": "SNLI",
    "--bert_model": "{backbone}",
    "--bert_dataset": "{dataset_name}",
    "--batch_size": "{batch_size}",
    "--max_len": "{max_len}",
    "--lr": "{lr}",
    "--seed": "{seed}",
    "--epochs": "1",
}
_OWN_OPTIONS = {"--num_buckets": "10", "--num_workers": "4", "--dropout": "{dropout}"}  # as finetune_classifier.py has
_DTYPES = {"float32": "float32", "bfloat16": "float16"}  # what a script calls a precision
_LIMIT = 1e-4


def script() -> Tuple[Path, str]:
    """The script that is measured, and what a table calls it."""
    checkout = os.environ.get("GLUONNLP_SCRIPTS")
    if checkout:
        path = Path(checkout, "scripts", "bert", "finetune_classifier.py").absolute()
        return path, "GluonNLP's finetune_classifier.py"
    return _OWN_SCRIPT, "a script like GluonNLP's"


def arguments(dtype: str, settings: Dict[str, Any]) -> List[str]:
    """The arguments of ``gluonnlp-snli`` that run it; ``{name}`` stands for what a contender is told under that name.

    Parameters
    ----------
    dtype : {'float32', 'bfloat16'}
    settings : dict
        Options of ``run``, by name; with none MXNet computes on the CPU.
    """
    path, _ = script()
    options = {**_OPTIONS, "--dtype": _DTYPES[dtype]}
    more = []
    if path == _OWN_SCRIPT:
        options.update(_OWN_OPTIONS)
        more = ["--shuffle"]
    where = [f"--{name}={value}" for name, value in settings.items()] or ["--no-native"]
    files = ["--train-file", "{train_file}", "--dev-file", "{dev_file}"]
    return ["run", *where, *files, str(path), *(word for pair in options.items() for word in pair), *more]


def checks(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """The script on the device against the same script on MXNet's CPU, without dropout; the logits first.

    Returns
    -------
    list of dict
        The names and the differences of the checks, each over the largest value, and their limit.
    """
    sizes, space = setup.sizes, setup.spaces[SMALL]
    number = sizes.updates
    job = space.job(train=[column[: number * sizes.batch_sizes[0]] for column in space.train])
    # At this rate parameters move by far more than the limit.
    job.update(batch_size=sizes.batch_sizes[0], max_len=min(32, sizes.max_len), lr=2e-4)

    def arrays(name: str, settings: Dict[str, Any]) -> Dict[str, np.ndarray]:
        told = {
            "arguments": [word.format(**job) for word in arguments("float32", settings)],
            "updates": number,
            "arrays": str(setup.folder / f"{name}.npz"),
        }
        command = [sys.executable, str(_PROGRAM), "script", json.dumps(told)]
        run_command(f"the script {name}", command, setup.environment(space, SPEED_CACHE), deadline)
        with np.load(told["arrays"]) as found:
            return dict(found)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = [
            pool.submit(arrays, *run) for run in (("on the device", setup.device_settings()), ("on the CPU", {}))
        ]
        mine, other = (future.result() for future in futures)
    if set(mine) != set(other):
        raise PluginError("the script has other parameters on the device than on the CPU")
    names = {"logits": ["logits"], f"parameters after {number} updates": [name for name in other if name != "logits"]}
    return [
        {
            "check": f"{what} of the script in float32 against MXNet",
            "difference": _difference([mine[name] for name in those], [other[name] for name in those]),
            "limit": _LIMIT,
        }
        for what, those in names.items()
    ]


def _difference(mine: List[np.ndarray], other: List[np.ndarray]) -> float:
    largest = max(float(np.abs(array).max()) for array in other)
    return max(float(np.abs(a - b).max()) for a, b in zip(mine, other)) / largest


def speeds(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """The script and Trainer with both BERTs in small batches; a row for each program and precision.

    A row of the script has the milliseconds of an update and of its parts.
    """
    dtypes = ["float32", "bfloat16"] if setup.low_precision == "bfloat16" else ["float32"]
    rows: List[Dict[str, Any]] = []
    for name in (MINILM, BASE):
        programs = {dtype: (_program(setup, dtype), trainer(setup, dtype)) for dtype in dtypes}
        found = race(
            [program for pair in programs.values() for program in pair],
            setup,
            setup.spaces[name],
            setup.sizes.batch_sizes[0],
            deadline,
            warm_up_together=True,
            commands=("train",),
            max_len=setup.sizes.script_max_len,
        )
        for pair in programs.values():
            reference = found[pair[1].title]
            rows += [_row(setup, name, program, found[program.title], reference) for program in pair]
    return rows


def _program(setup: Setup, dtype: str) -> Program:
    job = {"arguments": arguments(dtype, setup.device_settings())}
    sizes = setup.sizes
    title = f"{script()[1]}, {dtype}"
    return Program(title, "gluonnlp_xla.py", job, steps=sizes.our_steps, warmup=sizes.script_warmup)


def _row(setup: Setup, name: str, program: Program, speed: Speed, reference: Speed) -> Dict[str, Any]:
    row: Dict[str, Any] = {"net": name, "batch_size": setup.sizes.batch_sizes[0], "program": program.title}
    row.update(train=speed.train, reason=speed.reason)
    if speed.train and reference.train and speed is not reference:
        row["ratio"] = speed.train / reference.train
    if speed.update:
        seconds = {part: speed.update.get(part, 0.0) for part in PARTS}
        seconds["rest"] = speed.update["whole"] - sum(seconds.values())
        row.update({part: 1000 * value for part, value in seconds.items()}, whole=1000 * speed.update["whole"])
    return row
