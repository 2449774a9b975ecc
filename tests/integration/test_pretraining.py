"""From raw text to a classifier by the commands and the recipe, on ranks, and through a death."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import store
from gluonnlp_snli_plugin.store.train_vocab import train_vocabulary

RECIPE = Path(__file__).parents[2] / "scripts" / "chapter" / "recipe.py"
SENTENCES = [
    "the {0} is running outside.",
    "a {0} runs.",
    "the {0} is not asleep.",
    "two {0}s are eating.",
    "{0}s eat.",
]
WHO = ("man", "woman", "dog", "cat", "child", "horse")


@pytest.fixture
def text(tmp_path):
    random = np.random.default_rng(0)
    documents = []
    for i in range(120):
        chosen = random.permutation(SENTENCES)[: random.integers(3, 6)]
        documents.append("\n".join(sentence.format(WHO[i % len(WHO)]) for sentence in chosen))
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(documents) + "\n")
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A model store of its own."""
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def vocabulary(text, home):
    return train_vocabulary(text, "small_uncased", size=45, root=home / "models").name


def _settings(text, vocabulary, folder):
    sizes = ["--backbone", "bert_2_32_2", "--steps", 40, "--batch-size", 8, "--max-len", 32, "--lr", 1e-3]
    places = ["--corpus", text, "--vocab", vocabulary, "--output-dir", folder]
    return ["pretrain", "--name", f"{folder.name}_uncased", *sizes, *places, "--log-steps", 10, "--seed", 1]


def _arrays(folder):
    return load_file(str(max((folder / "checkpoints").glob("[0-9]*[0-9]")) / "arrays.safetensors"))


@pytest.mark.slow
def test_the_recipe_goes_from_text_to_a_classifier(home, pairs_file, tmp_path):
    files = ["--train-file", str(pairs_file), "--dev-file", str(pairs_file), "--output-dir", str(tmp_path / "out")]
    command = [sys.executable, str(RECIPE), "--small", *files, "--size", "40", "--steps", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    for name in ("train-vocab", "pretrain", "finetune"):
        assert f"\ngluonnlp-snli {name} " in f"\n{done.stderr}"
    out = tmp_path / "out"
    assert json.loads((out / "pretraining" / "summary.json").read_text())["updates"] == 30
    settings = json.loads((out / "finetuning" / "config.json").read_text())["settings"]
    assert (settings["dataset_name"], settings["backbone"]) == ("chapter_uncased", "bert_2_256_4")
    assert (out / "finetuning" / "model").is_dir() and (out / "finetuning" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dist_sync", pytest.param("horovod", marks=pytest.mark.horovod)])
def test_ranks_train_one_bert(command, text, vocabulary, home, tmp_path, backend):
    folder = tmp_path / "ranks"
    done = command(*_settings(text, vocabulary, folder), "--np", 2, "--comm", backend)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["kind"] == "train"]
    assert train[-1]["mlm_loss"] < train[0]["mlm_loss"] and train[-1]["update"] == 40
    (checkpoint,) = store.checkpoints(home / "models").values()
    assert checkpoint.dataset_name == "ranks_uncased"


# The command, which kills itself once its first checkpoint is written: another process that looks for that may be late.
KILLED = """
import os, signal, sys
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.train.recovery.checkpoint import Checkpoints

write = Checkpoints.write

def write_and_die(checkpoints, *state):
    write(checkpoints, *state)
    checkpoints.wait()
    os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.write = write_and_die
main()
"""


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_not(command, text, vocabulary, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = command(*_settings(text, vocabulary, whole))
    assert done.returncode == 0, done.stderr
    arguments = [*map(str, _settings(text, vocabulary, killed)), "--checkpoint-steps", "5"]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], stderr=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    done = command("pretrain", "--resume", killed)
    assert done.returncode == 0 and "resumed after update 5" in done.stderr, done.stderr
    expected, found = _arrays(whole), _arrays(killed)
    assert set(expected) == set(found)
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
