"""What pretraining brings: fine-tuning from a small BERT that was pretrained on the pairs' own text, and from scratch.

    python scripts/benchmark/pretraining_gain.py --train-file train.jsonl --dev-file dev.jsonl

runs ``scripts/chapter/recipe.py --small`` for each seed, whole, and then its fine-tuning again from random weights; all
seeds at once, each on one thread, as so small a BERT makes little of a second one.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from lib import machine
from lib.report import measure_into_page, table
from lib.workspace import finetune_command

from gluonnlp_snli_plugin import PluginError

_CHAPTER = Path(__file__).resolve().parent.parent / "chapter"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-file", required=True, metavar="F", help="pairs to train on")
    parser.add_argument("--dev-file", required=True, metavar="F", help="pairs to score")
    parser.add_argument("--seeds", default="0,1,2", metavar="A,B", help="runs (%(default)s)")
    parser.add_argument("--output", default="docs/pretraining.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    try:
        options.seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds {options.seeds} is no list of numbers")
    for name in ("train_file", "dev_file"):
        setattr(options, name, os.path.abspath(getattr(options, name)))
    return measure_into_page(parser, options.output, "gain", lambda folder: measure(folder, options))


def measure(folder, options):
    """The results for people, Markdown."""
    os.environ["MXNET_HOME"] = str(folder / "home")  # a store of its own
    os.environ["OMP_NUM_THREADS"] = "1"
    with concurrent.futures.ThreadPoolExecutor(len(options.seeds)) as at_once:
        found = list(at_once.map(lambda seed: _measure_seed(folder / str(seed), seed, options), options.seeds))
    header = ["", *(f"seed {seed}" for seed in options.seeds), "median"]
    rows = []
    for name in found[0]:
        values = [of_seed[name] for of_seed in found]
        rows.append([name, *(f"{value:.4f}" for value in values), f"{statistics.median(values):.4f}"])
    return f"{machine.description()}.\n\n{table(header, rows)}"


def _measure_seed(out, seed, options):
    """What pretraining has come to, and the accuracies after fine-tuning, by what they are."""
    vocabulary = f"gain-{seed}_uncased"
    recipe = [sys.executable, str(_CHAPTER / "recipe.py"), "--small", "--train-file", options.train_file]
    recipe += ["--dev-file", options.dev_file, "--output-dir", str(out), "--name", vocabulary, "--seed", str(seed)]
    _run(recipe)
    pretraining = _summary(out / "pretraining")
    found = {
        "held-out documents: masked words, loss": pretraining["mlm_loss"],
        "masked words, accuracy": pretraining["mlm_accuracy"],
        "next sentence, accuracy": pretraining["nsp_accuracy"],
        "dev pairs: accuracy, fine-tuned from there": _summary(out / "finetuning")["dev_accuracy"],
    }
    settings = json.loads((out / "finetuning" / "config.json").read_bytes())["settings"]
    same = {name: settings[name] for name in ("batch_size", "max_len", "epochs", "lr", "backbone", "seed")}
    # As `finetune --sample` trains a small BERT from scratch.
    own = {**same, "lr": 3e-4, "optimizer": "adam", "weight_decay": 0.0, "dropout": 0.0}
    for name, changed in (("the same settings", same), ("plain Adam, no dropout", own)):
        files = {"train_file": options.train_file, "dev_file": options.dev_file, "output_dir": str(out / name)}
        _run(finetune_command(vocab=vocabulary, **files, **changed))
        found[f"from random weights, {name}"] = _summary(out / name)["dev_accuracy"]
    return found


def _run(command):
    status = subprocess.run(command).returncode
    if status:
        raise PluginError(f"{' '.join(command[1:4])} failed (exit status {status})")


def _summary(folder):
    return json.loads((folder / "summary.json").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
