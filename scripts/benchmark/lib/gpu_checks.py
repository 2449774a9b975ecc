"""Whether computing through XLA on a device is correct: equal to MXNet on CPU, repeatable, resumable."""

import concurrent.futures
import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import PluginError

from . import gpu_scripts
from .gpu_runs import run_command
from .gpu_setup import SMALL, Deadline, Setup
from .gpu_speed import SPEED_CACHE, in_short
from .workspace import finetune_command

_PROGRAM = Path(__file__).with_name("xla_checks.py")
# Differences from MXNet in float32, over the largest value, that are rounding.
_LIMITS = {"float32": 1e-4, "tfloat32": 2e-2, "bfloat16": 1e-1, "float16": 5e-2}


def checks(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """All checks; a row for each, with 'passed', 'failed' or 'not checked'."""
    dtypes = ["float32", "tfloat32", "bfloat16"] if setup.low_precision == "bfloat16" else ["float32", "float16"]
    rows: List[Dict[str, Any]] = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        script = pool.submit(gpu_scripts.checks, setup, deadline)
        try:
            rows += [
                _row(f"{what} in {found['dtype']} against MXNet in float32", found[what], _LIMITS[found["dtype"]])
                for found in _differences(setup, dtypes, deadline)
                for what in ("logits", "gradients")
            ]
        except PluginError as error:
            rows.append(_not_checked("logits and gradients against MXNet", error))
        try:
            rows += [_row(row["check"], row["difference"], row["limit"]) for row in script.result()]
        except PluginError as error:
            rows.append(_not_checked("GluonNLP's script against MXNet", error))
    rows += _repeated(setup, deadline)
    return rows


def _differences(setup: Setup, dtypes: List[str], deadline: Deadline) -> List[Dict[str, Any]]:
    space = setup.spaces[SMALL]
    job = {
        "device": "gpu" if setup.cards else "cpu",
        "backbone": space.backbone,
        "dataset_name": space.dataset_name,
        "dtypes": dtypes,
    }
    command = [sys.executable, str(_PROGRAM), "equality", json.dumps(job)]
    lines = run_command("the comparison", command, setup.environment(space, SPEED_CACHE), deadline).output.splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"dtype"')]


def _repeated(setup: Setup, deadline: Deadline) -> List[Dict[str, Any]]:
    """Two equal runs, and one that is stopped half-way and resumed."""
    sizes, space = setup.sizes, setup.spaces[SMALL]
    size = sizes.batch_sizes[0]
    job = space.job(train=[column[: sizes.updates * size] for column in space.train])
    settings = {
        **{name: job[name] for name in ("dataset_name", "train_file", "dev_file", "batch_size", "max_len")},
        **setup.device_settings(),
        "dtype": setup.low_precision,
        "epochs": 1,
    }
    environment = setup.environment(space, SPEED_CACHE)

    def run(name: str) -> Path:
        folder = setup.folder / name
        run_command("finetune", finetune_command(**settings, output_dir=folder), environment, deadline)
        return folder

    def stopped_and_resumed() -> Path:
        folder = setup.folder / "resumed"
        job = {"settings": {**settings, "output_dir": str(folder)}, "updates": max(1, sizes.updates // 2)}
        run_command("the run to stop", [sys.executable, str(_PROGRAM), "stop", json.dumps(job)], environment, deadline)
        resume = [sys.executable, "-m", "gluonnlp_snli_plugin", "finetune", "--resume", str(folder)]
        run_command("finetune --resume", resume, environment, deadline)
        return folder

    names = ["two runs give the same weights", "a run that is stopped and resumed gives the same weights"]
    others: List[Callable[[], Path]] = [lambda: run("second"), stopped_and_resumed]
    try:
        first = _arrays(run("first"))
    except PluginError as error:
        return [_not_checked(name, error) for name in names]
    rows = []
    for name, other in zip(names, others):
        try:
            rows.append(_row(name, _largest_difference(first, _arrays(other())), 0))
        except PluginError as error:
            rows.append(_not_checked(name, error))
    return rows


def _arrays(folder: Path) -> Dict[str, np.ndarray]:
    """Weights and moments after the last update."""
    newest = max(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    return load_file(str(newest / "arrays.safetensors"))


def _largest_difference(mine: Dict[str, np.ndarray], other: Dict[str, np.ndarray]) -> float:
    if set(mine) != set(other):
        raise PluginError("the checkpoints hold different arrays")
    return max(float(np.abs(mine[name] - other[name]).max()) for name in mine)


def _row(check: str, difference: float, limit: float) -> Dict[str, Any]:
    passed = difference <= limit  # false for NaN
    reason = "" if passed else f"at most {limit:g} is expected"
    return {"check": check, "result": "passed" if passed else "failed", "difference": difference, "reason": reason}


def _not_checked(check: str, error: Exception) -> Dict[str, Any]:
    return {"check": check, "result": "not checked", "difference": None, "reason": in_short(error)}
