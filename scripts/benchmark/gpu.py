"""The benchmark on a GPU: correctness, speed against Hugging Face's Trainer, GluonNLP's script, whole runs, variants.

    python scripts/benchmark/gpu.py --data DIR

DIR has pairs in SNLI's format, ``*train.jsonl`` and ``*dev.jsonl``. It takes eight minutes at most and no network: this
project with MXNet and JAX, and for comparison torch, transformers and accelerate, all in one environment. What fails or
is missing becomes a row that says so. Prints the tables and puts them into a page. ``GLUONNLP_SCRIPTS`` names a
checkout of GluonNLP v0.10.0; without it, a script that does the same as its ``finetune_classifier.py`` takes part.
``--tiny`` tries the program itself, on CPU: nothing of what it prints is a measurement.
"""

import argparse
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from lib import gpu_checks, gpu_runs, gpu_scripts, gpu_speed, machine, workspace
from lib.gpu_setup import Deadline, Setup
from lib.report import measure_into_page, table

_PACKAGES = ("mxnet", "gluonnlp", "numpy", "jax", "torch", "transformers")
# Seconds by which a part must have ended, of eight minutes; what a part does not need is for the next.
_PARTS: Dict[str, Tuple[float, Callable[[Setup, Deadline], List[Dict[str, Any]]]]] = {
    "checks": (100, gpu_checks.checks),
    "speed": (260, gpu_speed.speeds),
    "scripts": (360, gpu_scripts.speeds),
    "runs": (425, gpu_runs.whole_runs),
    "variants": (475, gpu_runs.variants),
}
_MINUTES = 8
_ABOUT_SCRIPTS = (
    "GluonNLP's script, under `gluonnlp-snli run`, and Trainer with at most {sizes.script_max_len} tokens a pair; all "
    "lengths are compiled before the first round. The script waits for the device in its forward, where the logits are "
    "fetched, and in its clipping, where the norm of the gradients is; backward and update only start computing. Its "
    "data loader has four processes, and the time given is how long the loop waits for them."
)
# The columns of a table, most of them a part's: the key of a figure, the heading, how it is shown.
_COLUMNS = {
    "checks": [
        ("check", "check", "{}"),
        ("result", "result", "{}"),
        ("difference", "difference, of the largest value", "{:.1e}"),
    ],
    "speed": [
        ("net", "BERT", "{}"),
        ("batch_size", "batch", "{}"),
        ("program", "program", "{}"),
        ("train", "train, pairs/s", "{:.0f}"),
        ("train_ratio", "this project trains faster by", "{:.2f}"),
        ("share", "of the card's peak", "{:.1%}"),
        ("evaluate", "evaluate, pairs/s", "{:.0f}"),
        ("evaluate_ratio", "this project evaluates faster by", "{:.2f}"),
    ],
    "scripts": [
        ("net", "BERT", "{}"),
        ("batch_size", "batch", "{}"),
        ("program", "program", "{}"),
        ("train", "train, pairs/s", "{:.0f}"),
        ("ratio", "times Trainer's in that precision", "{:.2f}"),
    ],
    "updates": [
        ("net", "BERT", "{}"),
        ("program", "an update of", "{}"),
        ("whole", "ms", "{:.2f}"),
        ("loader", "data loader", "{:.2f}"),
        ("forward", "forward", "{:.2f}"),
        ("loss", "loss and metric", "{:.2f}"),
        ("backward", "backward", "{:.2f}"),
        ("clipping", "clipping", "{:.2f}"),
        ("update", "update", "{:.2f}"),
        ("rest", "rest", "{:.2f}"),
    ],
    "runs": [
        ("run", "run", "{}"),
        ("seconds", "from start to end, s", "{:.1f}"),
        ("seconds_to_first_update", "to the first update, s", "{:.1f}"),
        ("compile_seconds", "compiling, s", "{:.1f}"),
        ("train_pairs_per_second", "train, pairs/s", "{:.0f}"),
        ("dev_accuracy", "dev accuracy", "{:.4f}"),
    ],
    "variants": [
        ("net", "BERT", "{}"),
        ("batch_size", "batch", "{}"),
        ("variant", "variant", "{}"),
        ("train", "train, pairs/s", "{:.0f}"),
        ("ratio", "of the first", "{:.2f}"),
        ("ready", "ready after, s", "{:.1f}"),
    ],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="try everything on CPU with BERTs of two layers")
    parser.add_argument("--data", metavar="DIR", help="pairs (default: ../shared/data/snli_mini, else the sample)")
    parser.add_argument(
        "--minilm", metavar="DIR", help=f"MiniLM in Hugging Face's layout (default: {workspace.PACKAGE})"
    )
    parser.add_argument("--parts", default=",".join(_PARTS), metavar="A,B", help="what to measure (%(default)s)")
    parser.add_argument("--minutes", type=float, help=f"to stay within (default: {_MINUTES}, an hour with --tiny)")
    parser.add_argument(
        "--output", metavar="F", help="page to write to (default: docs/performance.md, none with --tiny)"
    )
    parser.add_argument("--section", default="gpu", metavar="S", help="of the page (%(default)s)")
    parser.add_argument("--json", metavar="F", help="write all figures there")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    for name in options.parts:
        if name not in _PARTS:
            parser.error(f"no part {name!r}; there are {', '.join(_PARTS)}")
    page = options.output or (None if options.tiny else "docs/performance.md")
    found: Dict[str, Any] = {}
    status = measure_into_page(parser, page, options.section, functools.partial(measure, options=options, found=found))
    return status or int(any(row["result"] != "passed" for row in found["checks"]))


def measure(folder: Path, options: argparse.Namespace, found: Dict[str, Any]) -> str:
    """The results for people, Markdown; they are put into `found` too, and into a file where one is named."""
    scale = (options.minutes or (60 if options.tiny else _MINUTES)) / _MINUTES
    ends = {name: Deadline(seconds * scale) for name, (seconds, _) in _PARTS.items()}
    setup = Setup(folder, options)
    found.update(machine=facts(setup), checks=[], seconds={})
    for name in [name for name in _PARTS if name in options.parts]:
        print(f"gpu.py: {name} ...", file=sys.stderr)
        begin = time.perf_counter()
        try:
            found[name] = _PARTS[name][1](setup, ends[name])
        except Exception as error:  # the rest is measured nevertheless
            traceback.print_exc()
            first = _COLUMNS[name][0][0]
            found[name] = [{first: "all", "result": "failed", "reason": f"{type(error).__name__}: {error}"}]
        found["seconds"][name] = time.perf_counter() - begin
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return page(setup, found)


def facts(setup: Setup) -> Dict[str, Any]:
    """What the machine is: the card, its driver, the versions."""
    versions = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    space = next(iter(setup.spaces.values()))
    return {
        "cards": [card._asdict() for card in setup.cards],
        "cuda": _cuda(setup),
        "versions": versions,
        "processor": machine.description(),
        "cores": len(os.sched_getaffinity(0)),
        "pairs": [len(space.train[0]), len(space.dev[0])],
        "source": space.source,
        "tokens": float(space.lengths.mean()),
    }


def _cuda(setup: Setup) -> str:
    """JAX's device and the CUDA that it computes with, or the reason why it has none."""
    program = (
        "import jax; device = jax.devices()[0]; "
        "print(device.device_kind, '|', ' '.join(device.client.platform_version.split()))"
    )
    environment = setup.environment(next(iter(setup.spaces.values())), "facts")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    words = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["no message"]
    return words[-1]


def page(setup: Setup, found: Dict[str, Any]) -> str:
    """The results for people, Markdown."""
    facts = found["machine"]
    cards = [f"{card['name']} ({card['memory']}, driver {card['driver']})" for card in facts["cards"]]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    train_pairs, dev_pairs = facts["pairs"]
    sizes = setup.sizes
    paragraphs = [
        f"{'; '.join(cards) or 'No GPU: a tiny run, which measures nothing'}; {facts['processor']}; "
        f"JAX computes on {facts['cuda']}. {versions}.",
        f"{train_pairs} training and {dev_pairs} dev pairs ({facts['source']}), {facts['tokens']:.1f} tokens a pair, "
        f"at most {sizes.max_len}; medians of {sizes.rounds} rounds of {sizes.our_steps} steps, {sizes.their_steps} of "
        f"Trainer's, after a warm-up of {sizes.our_warmup} and {sizes.their_warmup}, in which XLA compiles. BERT-base "
        f"has random weights. A whole run is {sizes.epochs} epochs of MiniLM in batches of {sizes.batch_sizes[0]}. "
        "Trainer's evaluates once and saves nothing; this project's evaluates after each epoch, saves the best model "
        "and writes a report.",
    ]
    for name in _COLUMNS:
        rows = found.get(name, [])
        if name == "scripts" and rows:
            paragraphs.append(_ABOUT_SCRIPTS.format(sizes=sizes))
        elif name == "updates":
            rows = [{**row, "reason": ""} for row in found.get("scripts", []) if row.get("whole")]
        if rows:
            paragraphs.append(rows_as_table(name, rows))
    parts = ", ".join(f"`{name}` {seconds:.0f} s" for name, seconds in found["seconds"].items())
    paragraphs.append(f"The parts took: {parts}.")
    return "\n\n".join(paragraphs)


def rows_as_table(part: str, rows: List[Dict[str, Any]]) -> str:
    """The rows of a part as a Markdown table; why a figure is missing is in the last column, where any is."""
    columns = [column for column in _COLUMNS[part] if any(row.get(column[0]) is not None for row in rows)]
    lines = [[_shown(row.get(key), form) for key, _, form in columns] for row in rows]
    headings = [heading for _, heading, _ in columns]
    if any(row.get("reason") for row in rows):
        headings.append("remark")
        for row, line in zip(rows, lines):
            line.append(" ".join(str(row.get("reason") or "").replace("|", "/").split()))
    return table(headings, lines)


def _shown(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)


if __name__ == "__main__":
    sys.exit(main())
