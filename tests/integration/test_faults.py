"""Runs that are killed, interrupted and starved, as processes; then resumed."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
from safetensors.numpy import load_file

PROGRAM = [sys.executable, "-m", "gluonnlp_snli_plugin"]
KILLS = int(os.environ.get("KILLS", 4))


@pytest.fixture(scope="module")
def arguments(tiny_name, pairs_file):
    """Of a run of 120 updates with a checkpoint after each."""
    options = {"dataset-name": tiny_name, "train-file": pairs_file, "dev-file": pairs_file, "max-len": 32}
    options.update({"epochs": 20, "batch-size": 20, "checkpoint-steps": 1, "log-steps": 1, "lr": 1e-3})
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def start(*arguments, **settings):
    return subprocess.Popen(
        [*PROGRAM, "finetune", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def finish(process):
    output, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors
    return output, errors


@pytest.fixture(scope="module")
def expected(arguments, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("expected") / "out"
    process = start(*arguments, "--output-dir", folder)
    finish(process)
    assert process.returncode == 0
    return folder


def assert_same(folder, other):
    def content(folder):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        arrays = load_file(str(max((folder / "checkpoints").iterdir()) / "arrays.safetensors"))
        (weights,) = (folder / "model").glob("*.params")
        timeless = [{k: v for k, v in line.items() if k != "pairs_per_second"} for line in lines]
        return timeless, {name: array.tobytes() for name, array in arrays.items()}, weights.read_bytes()

    assert content(folder) == content(other)


def wait_for_update(folder, update, process):
    """Until the run has come so far."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        found = [path.name for path in (folder / "checkpoints").glob("*")] if (folder / "checkpoints").is_dir() else []
        if any(int(name.partition(".")[0]) >= update for name in found):
            return
        time.sleep(0.002)


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(arguments, expected, tmp_path):
    dice, folder, kills = random.Random(0), tmp_path / "out", 0
    process = start(*arguments, "--output-dir", folder)
    while kills < KILLS:
        wait_for_update(folder, 110 * (kills + 1) // KILLS, process)
        time.sleep(dice.random() / 50)  # now a checkpoint is being written, now an update is being made
        process.kill()
        _, errors = finish(process)
        assert process.returncode == -signal.SIGKILL, errors
        kills += 1
        process = start("--resume", folder)
    _, errors = finish(process)
    assert process.returncode == 0, errors
    assert_same(folder, expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_its_status(arguments, expected, tmp_path, number):
    folder = tmp_path / "out"
    restore = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    process = start(*arguments, "--output-dir", folder, **restore)
    wait_for_update(folder, 30, process)
    process.send_signal(number)
    _, errors = finish(process)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} after update" in errors.splitlines()[-1]
    assert errors.splitlines()[-1].endswith(f"go on with: gluonnlp-snli finetune --resume {folder}")
    process = start("--resume", folder)
    finish(process)
    assert process.returncode == 0
    assert_same(folder, expected)


def test_a_full_disk_stops_the_run_and_spoils_nothing(arguments, expected, tmp_path):
    folder = tmp_path / "out"

    def limit():  # no file larger than this; weights are
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    process = start(*arguments, "--output-dir", folder)
    wait_for_update(folder, 20, process)
    process.kill()
    finish(process)
    process = start("--resume", folder, preexec_fn=limit)
    _, errors = finish(process)
    assert process.returncode == 1
    assert "cannot write" in errors.splitlines()[-1] and "File too large" in errors.splitlines()[-1]
    process = start("--resume", folder)
    finish(process)
    assert process.returncode == 0
    assert_same(folder, expected)
