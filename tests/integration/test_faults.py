"""Runs that are killed, interrupted and starved, as processes; then resumed."""

import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import gluonnlp as nlp
import numpy as np
import pytest
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import finetune, store
from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.train.settings.config import option_name

PROGRAM = [sys.executable, "-m", "gluonnlp_snli_plugin", "finetune"]
# The same, but struck by a signal once it has come to an update; by itself, so that it is not through before, however
# busy the machine is.
STRUCK = """
import signal, sys
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.train.recovery.checkpoint import Checkpoints

strike, at_update, write = eval(sys.argv[1]), int(sys.argv[2]), Checkpoints.write

def write_and_be_struck(checkpoints, update, *rest):
    write(checkpoints, update, *rest)
    if update >= at_update:
        Checkpoints.write = write
        strike(update > at_update)

Checkpoints.write = write_and_be_struck
sys.exit(main(["finetune", *sys.argv[3:]]))
"""
KILLS = int(os.environ.get("KILLS", 2))


@pytest.fixture(scope="module")
def settings(tiny_name, pairs_file):
    """Of a run of 60 updates with a checkpoint after each."""
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    numbers = {"max_len": 32, "epochs": 10, "batch_size": 20, "checkpoint_steps": 1, "log_steps": 1, "lr": 1e-3}
    return {"dataset_name": tiny_name, **files, **numbers}


@pytest.fixture(scope="module")
def arguments(settings):
    return [part for name, value in settings.items() for part in (option_name(name), str(value))]


def start(*arguments, program=PROGRAM, **settings):
    return subprocess.Popen(
        [*program, *map(str, arguments)],
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
def expected(settings, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("expected") / "out"
    finetune(**settings, output_dir=str(folder))
    return folder


def assert_same(folder, other):
    def content(folder):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        arrays = load_file(str(max((folder / "checkpoints").iterdir()) / "arrays.safetensors"))
        (weights,) = (folder / "model").glob("*.params")
        timeless = [{k: v for k, v in line.items() if k != "pairs_per_second"} for line in lines]
        return timeless, {name: array.tobytes() for name, array in arrays.items()}, weights.read_bytes()

    assert content(folder) == content(other)


def killed_at(update, seconds_later):
    """A program that is ended at once, as by SIGKILL; without those seconds if it begins after the update."""
    # An alarm is the kernel's, which does not wait for its turn as a process does.
    strike = f"lambda is_late: signal.setitimer(signal.ITIMER_REAL, 1e-6 if is_late else {seconds_later})"
    return [sys.executable, "-c", STRUCK, strike, str(update)]


def told_at(update, number):
    """A program that gets a signal."""
    return [sys.executable, "-c", STRUCK, f"lambda _: signal.raise_signal({int(number)})", str(update)]


def limited(size):
    """For ``preexec_fn``: no file may grow larger, as on a disk that is full."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_run_to_which_everything_happens_ends_as_one_to_which_nothing_does(arguments, expected, tmp_path):
    """It is killed, finds the disk full, and gets each signal, one after the other; and is resumed each time."""
    dice, folder = random.Random(0), tmp_path / "out"
    for kill in range(KILLS):
        # Now a checkpoint is being written, now an update is being made.
        program = killed_at(1 + 24 * kill // KILLS, dice.random() / 50)
        process = start(*(["--resume", folder] if kill else [*arguments, "--output-dir", folder]), program=program)
        _, errors = finish(process)
        assert process.returncode == -signal.SIGALRM, errors

    # Less than the weights; a few lines more than there are.
    enough = (folder / "metrics.jsonl").stat().st_size + 200
    full = {f"a checkpoint to {folder / 'checkpoints'}": ([], 5000)}
    full[f"to {folder / 'metrics.jsonl'}"] = (["--checkpoint-steps", 1000], enough)
    for place, (more, size) in full.items():
        process = start("--resume", folder, *more, preexec_fn=limited(size))
        _, errors = finish(process)
        assert process.returncode == 1
        assert f"cannot write {place}: File too large" in errors.splitlines()[-1]

    for number, update in ((signal.SIGTERM, 30), (signal.SIGINT, 40)):
        process = start("--resume", folder, program=told_at(update, number))
        _, errors = finish(process)
        assert process.returncode == 128 + number, errors
        assert f"stopped by {number.name} after update" in errors.splitlines()[-1]
        assert errors.splitlines()[-1].endswith(f"resume with: gluonnlp-snli finetune --resume {folder}")

    process = start("--resume", folder)
    _, errors = finish(process)
    assert process.returncode == 0, errors
    assert_same(folder, expected)


def test_a_run_that_diverges_keeps_a_checkpoint_of_numbers(settings, tmp_path):
    folder = tmp_path / "out"
    wild = {"lr": 0.99, "clip": 0.0, "warmup_ratio": 0.0, "no_native": True, "weight_decay": 1e6}
    with pytest.raises(PluginError, match="try a lower --lr"):
        finetune(**{**settings, **wild}, output_dir=str(folder))
    newest = max(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    for array in load_file(str(newest / "arrays.safetensors")).values():
        assert np.isfinite(array).all()


def test_a_clock_that_jumps_changes_nothing(settings, expected, tmp_path, monkeypatch):
    now, steps = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: now() + (next(steps) % 3 - 1) * 1e9)
    finetune(**settings, max_seconds=1000, output_dir=str(tmp_path / "out"))
    assert_same(tmp_path / "out", expected)


def test_several_imports_and_encoders_at_once(tiny_bert, pairs_file, tmp_path):
    code = """
import sys
from gluonnlp_snli_plugin import PairEncoder, import_bert
from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_wordpieces
import_bert(sys.argv[1], sys.argv[2])
vocab = read_wordpieces(sys.argv[1] + "/vocab.txt")
encoder = PairEncoder(bert_tokenizer(vocab, TokenizerSettings.bert(lower=True)), vocab, 32)
print(encode_file(encoder, sys.argv[3]).encoded.input_ids.sum())
"""
    rows = pairs_file.read_text()
    (tmp_path / "many.jsonl").write_text(rows * 100)  # enough to be worth a cache
    environment = {**os.environ, "MXNET_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    names = ["same_uncased", "same_uncased", "other_uncased"]
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
    assert [process.returncode for process in processes] == [0] * 3, answers
    assert len({output for output, _ in answers}) == 1
    root = tmp_path / "home" / "models"
    checkpoints = store.checkpoints(root).values()
    assert sorted(checkpoint.dataset_name for checkpoint in checkpoints) == sorted(set(names))
    for checkpoint in checkpoints:
        which = {"dataset_name": checkpoint.dataset_name, "root": str(root), "pretrained": True}
        nlp.model.get_model(checkpoint.backbone, **which, use_decoder=False, use_classifier=False)
