"""What pretraining brings: fine-tuning from a small BERT that was pretrained on the pairs' own text, and from scratch.

    python scripts/benchmark/pretraining_gain.py --train-file train.jsonl --dev-file dev.jsonl

runs ``scripts/chapter/recipe.py --small`` for each seed, whole, and then its fine-tuning again from random weights.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import machine
from report import measure_into_page, spread, table

from gluonnlp_snli_plugin import PluginError

_CHAPTER = Path(__file__).resolve().parent.parent / "chapter"
_NAME = "gain_uncased"


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
    rows = {"pretrained": [], "from random weights, the same settings": [], "from random weights, its own settings": []}
    for seed in options.seeds:
        out = folder / str(seed)
        files = ["--train-file", options.train_file, "--dev-file", options.dev_file]
        begin = [sys.executable, str(_CHAPTER / "recipe.py"), "--small", *files]
        _run([*begin, "--output-dir", str(out), "--name", _NAME, "--seed", str(seed)])
        settings = json.loads((out / "finetuning" / "config.json").read_bytes())["settings"]
        same = {name: settings[name] for name in ("batch_size", "max_len", "epochs", "lr", "backbone", "seed")}
        # What suits a small BERT from scratch: docs/models.md.
        own = {**same, "lr": 3e-4, "optimizer": "adam", "weight_decay": 0.0, "dropout": 0.0}
        found = [_accuracy(out / "finetuning")]
        for name, changed in (("same", same), ("own", own)):
            words = [word for key, value in changed.items() for word in (f"--{key.replace('_', '-')}", str(value))]
            command = [sys.executable, "-m", "gluonnlp_snli_plugin", "finetune", "--vocab", _NAME, *files, *words]
            _run([*command, "--output-dir", str(out / name)])
            found.append(_accuracy(out / name))
        for row, accuracy in zip(rows.values(), found):
            row.append(accuracy)
    header = ["dev accuracy", *(f"seed {seed}" for seed in options.seeds), "median"]
    cells = [
        [title, *(f"{one:.4f}" for one in accuracies), spread(accuracies, 4).split()[0]]
        for title, accuracies in rows.items()
    ]
    return f"{machine.description()}.\n\n{table(header, cells)}"


def _run(command):
    status = subprocess.run(command).returncode
    if status:
        raise PluginError(f"{' '.join(command[1:4])} failed (exit status {status})")


def _accuracy(folder):
    return json.loads((folder / "summary.json").read_bytes())["dev_accuracy"]


if __name__ == "__main__":
    sys.exit(main())
