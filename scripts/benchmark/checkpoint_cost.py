"""What writing checkpoints costs a run: updates a second with and without one, in turn within one run.

    python scripts/benchmark/checkpoint_cost.py --train-file train.jsonl --dev-file dev.jsonl

A BERT of the size of BERT-base with random weights is fine-tuned, by default; a checkpoint is written every other
`--window` updates, so that each window with the cost of one follows one without.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from lib import machine, workspace
from lib.report import measure_into_page, require_at_least, spread, table

from gluonnlp_snli_plugin import PluginError


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    workspace.add_arguments(parser)
    parser.add_argument("--backbone", default="bert_12_768_12", help="(%(default)s)")
    parser.add_argument("--window", type=int, default=4, help="updates (%(default)s)")
    parser.add_argument(
        "--windows", type=int, default=40, help="how many, half of them with a checkpoint (%(default)s)"
    )
    parser.add_argument("--output", default="docs/reliability.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "window")
    require_at_least(parser, options, 2, "windows")
    return measure_into_page(parser, options.output, "checkpoint cost", lambda folder: measure(folder, options))


def measure(folder, options):
    """The results for people, Markdown."""
    job = workspace.Workspace(folder, options).job()
    command = workspace.finetune_command(
        vocab=Path(job["checkpoint"], "vocab.txt"),
        backbone=options.backbone,
        train_file=job["train_file"],
        dev_file=job["dev_file"],
        batch_size=options.batch_size,
        max_len=options.max_len,
        epochs=10**4,
        log_steps=options.window,
        checkpoint_steps=2 * options.window,
        output_dir=folder / "out",
    )
    metrics, line = [], "no message"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            print(line, end="", file=sys.stderr)
            metrics = _windows(folder / "out")
            if len(metrics) > options.windows:
                process.kill()
    if len(metrics) <= options.windows:
        raise PluginError(f"finetune ended early: {line.strip()}")
    # The first window has the costs of starting; a checkpoint at the end of one is written in the next.
    seconds = [options.batch_size * options.window / line["pairs_per_second"] for line in metrics[1:]]
    size = sum(path.stat().st_size for path in max((folder / "out" / "checkpoints").glob("[0-9]*[0-9]")).iterdir())
    without, with_one = seconds[0::2], seconds[1::2]
    costs = [mine - other for mine, other in zip(with_one, without)]
    cost = statistics.median(costs)
    rows = [
        ["a checkpoint, MiB", f"{size / 2**20:.0f}"],
        [f"{options.window} updates without, seconds", spread(without)],
        [f"{options.window} updates while one is written, seconds", spread(with_one)],
        ["the difference, seconds", spread(costs, 2)],
        ["of a minute", f"{100 * cost / 60:.1f} %"],
    ]
    description = f"{machine.description()}; {options.backbone}, batches of {options.batch_size}."
    return "\n\n".join([description, table(["", ""], rows)])


def _windows(folder):
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in map(json.loads, lines) if line["kind"] == "train"]


if __name__ == "__main__":
    sys.exit(main())
