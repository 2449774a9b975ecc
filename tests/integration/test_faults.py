"""Runs that are killed, interrupted and starved, as processes; then resumed."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
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
    output, errors = process.communicate(timeout=600)
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
    deadline = time.monotonic() + 600
    while process.poll() is None:
        assert time.monotonic() < deadline
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
    process = start(*arguments, "--output-dir", folder)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, number",
    [("dist_sync", signal.SIGTERM), pytest.param("horovod", signal.SIGINT, marks=pytest.mark.horovod)],
)
def test_ranks_stop_together_and_go_on_together(arguments, tmp_path, backend, number):
    folders = tmp_path / "whole", tmp_path / "stopped"
    for folder in folders:
        process = start(*arguments, "--epochs", 8, "--output-dir", folder, "--np", 2, "--comm", backend)
        if folder == folders[1]:
            wait_for_update(folder, 10, process)
            process.send_signal(number)
            _, errors = finish(process)
            assert process.returncode == 128 + number, errors
            assert f"stopped by {number.name} after update" in errors
            process = start("--resume", folder)
        _, errors = finish(process)
        assert process.returncode == 0, errors
    assert_same(*folders)


def limited(size):
    """For ``preexec_fn``: no file may grow larger, as on a disk that is full."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("what", ["checkpoint", "metrics"])
def test_a_full_disk_stops_the_run_and_spoils_nothing(arguments, expected, tmp_path, what):
    folder = tmp_path / "out"
    process = start(*arguments, "--output-dir", folder)
    wait_for_update(folder, 20, process)
    process.kill()
    finish(process)
    if what == "checkpoint":
        more, size = [], 5000  # less than the weights
    else:
        more, size = ["--checkpoint-steps", 1000], (folder / "metrics.jsonl").stat().st_size + 200
    process = start("--resume", folder, *more, preexec_fn=limited(size))
    _, errors = finish(process)
    assert process.returncode == 1
    place = {"checkpoint": f"a checkpoint to {folder / 'checkpoints'}", "metrics": f"to {folder / 'metrics.jsonl'}"}
    assert f"cannot write {place[what]}: " in errors.splitlines()[-1]
    assert "File too large" in errors.splitlines()[-1]
    process = start("--resume", folder)
    finish(process)
    assert process.returncode == 0
    assert_same(folder, expected)


def test_a_run_that_diverges_keeps_a_checkpoint_of_numbers(arguments, tmp_path):
    folder = tmp_path / "out"
    wild = ["--lr", "0.99", "--clip", "0", "--warmup-ratio", "0", "--no-native", "--weight-decay", "1e6"]
    process = start(*arguments, *wild, "--output-dir", folder)
    _, errors = finish(process)
    assert process.returncode == 1
    assert "try a lower --lr" in errors.splitlines()[-1]
    newest = max(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    for array in load_file(str(newest / "arrays.safetensors")).values():
        assert np.isfinite(array).all()


@pytest.mark.parametrize("jump", [1e9, -1e9])
def test_a_clock_that_jumps_changes_nothing(arguments, expected, tmp_path, jump):
    code = (
        "import itertools, sys, time; from gluonnlp_snli_plugin.cli import main; now = time.time; "
        f"time.time = lambda steps=itertools.count(): now() + next(steps) % 2 * {jump}; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "finetune", *arguments, "--max-seconds", "1000"]
    done = subprocess.run([*map(str, command), "--output-dir", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "out", expected)


def test_several_imports_and_encoders_at_once(tiny_bert, pairs_file, tmp_path):
    code = """
import sys
from gluonnlp_snli_plugin import PairEncoder, import_bert
from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.data.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.data.vocabulary import read_wordpieces
import_bert(sys.argv[1], sys.argv[2])
vocab = read_wordpieces(sys.argv[1] + "/vocab.txt")
print(encode_file(PairEncoder(bert_tokenizer(vocab, True), vocab, 32), sys.argv[3]).encoded.input_ids.sum())
"""
    rows = pairs_file.read_text()
    (tmp_path / "many.jsonl").write_text(rows * 100)  # enough to be worth a cache
    environment = {**os.environ, "MXNET_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    names = ["same_uncased", "same_uncased", "one_uncased", "two_uncased"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tiny_bert), name, str(tmp_path / "many.jsonl")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in names
    ]
    answers = [finish(process) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert len({output for output, _ in answers}) == 1
    done = subprocess.run([*PROGRAM, "list"], capture_output=True, text=True, env=environment, check=True)
    for name in names:
        assert name in done.stdout
