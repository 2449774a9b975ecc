"""The chapter of *Dive into Deep Learning*, whole: a small BERT from raw text, then natural language inference with it.

    python scripts/chapter/recipe.py [--output-dir OUT] [--np 2 --comm horovod]
    python scripts/chapter/recipe.py --small [--train-file train.jsonl --dev-file dev.jsonl]

The first downloads WikiText-2 and SNLI and runs at the chapter's settings on all GPUs: a vocabulary of 20,000, a BERT
of 2 layers, 256 units and 4 heads, pretrained in batches of 512, fine-tuned in batches of 512 for 5 epochs. The second
takes minutes on a CPU: its text is made of the pairs, each premise with its hypotheses a document.

What it runs are commands of ``gluonnlp-snli``, which it shows.
"""

import argparse
import copy
import os
import shlex
import subprocess
import sys
from pathlib import Path

import mxnet as mx
from gluonnlp.base import get_home_dir

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.tasks.download import WIKITEXT2_ARCHIVE
from gluonnlp_snli_plugin.tasks.sample import sample_pairs
from gluonnlp_snli_plugin.tasks.snli import SNLI

FULL = {
    "vocab": {"size": 20000},
    "pretrain": {"batch_size": 512, "max_len": 64, "steps": 50, "lr": 0.01, "dropout": 0.2},
    "finetune": {"batch_size": 512, "max_len": 128, "epochs": 5, "lr": 1e-4},
}
SMALL = {
    "vocab": {"size": 3000},
    "pretrain": {
        "batch_size": 32,
        "max_len": 64,
        "steps": 6000,
        "lr": 1e-3,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "warmup_ratio": 0.1,
    },
    "finetune": {"batch_size": 32, "max_len": 64, "epochs": 5, "lr": 3e-4},
}
# As the chapter optimizes, which knows no warm-up, weight decay or clipping.
PLAIN_ADAM = {"optimizer": "adam", "schedule": "constant", "warmup_ratio": 0.0, "weight_decay": 0.0, "clip": 0.0}
BACKBONE = "bert_2_256_4"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="minutes on a CPU, on text made of the pairs")
    parser.add_argument("--train-file", metavar="F", help="with --small: pairs (default: the embedded sample's)")
    parser.add_argument("--dev-file", metavar="F")
    parser.add_argument("--output-dir", default="out/chapter", metavar="OUT", help="default: %(default)s")
    parser.add_argument("--name", default="chapter_uncased", help="of vocabulary and BERT (default: %(default)s)")
    parser.add_argument("--size", type=int, metavar="N", help="of the vocabulary (default: 20000, small: 3000)")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="of pretraining (default: the chapter's 50, small: 6000)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--np", type=int, metavar="N", help="ranks that train together")
    parser.add_argument("--comm", choices=("dist_sync", "horovod"))
    options = parser.parse_args()
    if bool(options.train_file) != bool(options.dev_file):
        parser.error("--train-file and --dev-file go together")
    if options.train_file and not options.small:
        parser.error("--train-file goes with --small")
    folder = Path(options.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = [text_of_pairs(options.train_file, folder)] if options.small else wikitext()
    except (PluginError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    for command in commands(options, folder, text):
        print(shlex.join(command), file=sys.stderr)
        status = subprocess.run([sys.executable, "-m", "gluonnlp_snli_plugin", *command[1:]]).returncode
        if status:
            return status
    return 0


def commands(options, folder, text):
    """The commands of a recipe, lists of str: vocabulary, pretraining, fine-tuning."""
    settings = copy.deepcopy(SMALL if options.small else FULL)
    for part, option in (("vocab", "size"), ("pretrain", "steps")):
        settings[part][option] = getattr(options, option) or settings[part][option]
    places = ["--gpus", ",".join(map(str, range(mx.context.num_gpus())))] if mx.context.num_gpus() else []
    for option in ("np", "comm"):
        if getattr(options, option):
            places += [f"--{option}", str(getattr(options, option))]
    adam = {} if options.small else PLAIN_ADAM
    again = ["--overwrite"]
    begin = ["gluonnlp-snli", "train-vocab", "--name", options.name, *again]
    yield [*begin, *_words(settings["vocab"]), "--corpus", *text[:1]]

    begin = ["gluonnlp-snli", "pretrain", "--name", options.name, "--vocab", options.name, "--backbone", BACKBONE]
    begin += ["--output-dir", str(folder / "pretraining"), "--seed", str(options.seed), *again, *places]
    held_out = ["--dev-corpus", *text[1:]] if text[1:] else []
    yield [*begin, *_words({**settings["pretrain"], **adam}), "--corpus", *text[:1], *held_out]

    begin = ["gluonnlp-snli", "finetune", "--dataset-name", options.name, "--backbone", BACKBONE]
    begin += ["--output-dir", str(folder / "finetuning"), "--seed", str(options.seed), *again, *places]
    if options.small:
        files = [options.train_file, options.dev_file] if options.train_file else sample_files(folder)
        begin += ["--train-file", files[0], "--dev-file", files[1]]
    yield [*begin, *_words({**settings["finetune"], **adam})]


def _words(settings):
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def wikitext():
    """WikiText-2 where GluonNLP keeps it, downloaded unless it is there: text to train and to evaluate on, str."""
    root = os.path.join(get_home_dir(), "datasets", "wikitext-2")
    WIKITEXT2_ARCHIVE.fetch(root)
    return [os.path.join(root, name) for name in WIKITEXT2_ARCHIVE.files[:2]]


def _pairs(train_file):
    if train_file is None:
        return sample_pairs("train")
    pairs = SNLI(file=train_file)
    return zip(pairs.premises, pairs.hypotheses, pairs.labels)


def text_of_pairs(train_file, folder):
    """Text in which each premise and its hypotheses are a document, a sentence a line; the file's name."""
    documents: dict = {}
    for premise, hypothesis, _ in _pairs(train_file):
        premise, hypothesis = " ".join(premise.split()), " ".join(hypothesis.split())
        documents.setdefault(premise, []).append(hypothesis)
    path = folder / "text.txt"
    lines = ("\n".join([premise, *hypotheses]) for premise, hypotheses in documents.items())
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def sample_files(folder):
    """The embedded sample as files in SNLI's tab-separated form: their names."""
    paths = []
    for segment in ("train", "dev"):
        rows = ["gold_label\tsentence1\tsentence2"]
        rows += ["\t".join([label, premise, hypothesis]) for premise, hypothesis, label in sample_pairs(segment)]
        paths.append(str(folder / f"{segment}.txt"))
        Path(paths[-1]).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return paths


if __name__ == "__main__":
    sys.exit(main())
