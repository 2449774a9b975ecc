"""Accuracy on the dev pairs after whole epochs: this project, its faster and less exact settings, and other programs.

    python scripts/benchmark/accuracy.py --train-file train.jsonl --dev-file dev.jsonl --seeds 0,1,2

All start from the same weights and see the same pairs, in an order and with a head and dropout that differ by seed. One
run after the other, seed by seed; the table goes into a page after each. With ``--json F`` what is in F already is not
run again: hours of work can be done in parts.
"""

import argparse
import contextlib
import hashlib
import json
import sys
from pathlib import Path

from lib import machine, reference_env, workspace
from lib.entries import chosen, python_of
from lib.race import Contender, environment
from lib.report import measure_into_page, require_at_least, spread, table, write_section

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.system import threads

CONTENDERS = "ours,ours-bf16,gluonnlp-all-cores,hugging-face"
_MOST_STEPS = 10**9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    workspace.add_arguments(parser)
    reference_env.add_arguments(parser)
    parser.add_argument("--contenders", metavar="A,B", default=CONTENDERS, help="who takes part (%(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="times over the pairs (%(default)s)")
    parser.add_argument("--seeds", default="0,1,2", metavar="A,B", help="a run of each for each (%(default)s)")
    parser.add_argument("--output", default="docs/performance.md", metavar="F", help="page to write to (%(default)s)")
    parser.add_argument("--section", default="accuracy", metavar="S", help="of the page (%(default)s)")
    parser.add_argument("--json", metavar="F", help="keep every single run there")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "epochs")
    try:
        options.seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds {options.seeds} is no list of numbers")
    return measure_into_page(parser, options.output, options.section, lambda folder: measure(folder, options))


def measure(folder, options):
    """Train each contender with each seed; the results so far are on the page after each run.

    Returns
    -------
    str
        What is on the page in the end, Markdown.
    """
    entries, space = chosen(options.contenders), workspace.Workspace(folder, options)
    content = hashlib.sha256(json.dumps([space.train, space.dev]).encode()).hexdigest()
    circumstances = {"epochs": options.epochs, "batch_size": options.batch_size, "data": content[:16]}
    runs, left_out = _runs_before(options), {}

    def write():
        those = [run for run in runs if circumstances.items() <= run.items()]
        if not those:
            raise PluginError("no contender is left")
        text = page(entries, space, options, those, left_out)
        write_section(options.output, options.section, text)
        if options.json:
            Path(options.json).write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
        return text

    for seed in options.seeds:
        for name in entries:
            run = {"contender": name, "seed": seed, **circumstances}
            if name in left_out or any(run.items() <= before.items() for before in runs):
                continue
            print(f"{name}, seed {seed}", file=sys.stderr)
            try:
                runs.append({**run, **train(entries[name], name, seed, space, options)})
                write()
            except PluginError as error:
                left_out[name] = str(error).replace(f"{Path.cwd()}/", "")[:500]
                print(f"left out: {name}, {left_out[name]}", file=sys.stderr)
    return write()


def _runs_before(options):
    if not options.json or not Path(options.json).exists():
        return []
    try:
        runs = json.loads(Path(options.json).read_bytes())
        if all(isinstance(run, dict) for run in runs):
            return runs
    except (ValueError, TypeError):
        pass
    raise PluginError(f"{options.json} holds no runs of this program: give another --json")


def train(entry, name, seed, space, options):
    """All epochs of one contender with one seed: what it has done, and the accuracy."""
    job = space.job(**{"epochs": options.epochs, "seed": seed, **entry.job})
    variables = environment(space.folder, options.threads or (threads.cores() if entry.has_all_cores else None))
    with contextlib.closing(Contender(name, python_of(entry, options), entry.module, job, variables)) as contender:
        trained = contender.ask(f"train {_MOST_STEPS}")
        return {**trained, "accuracy": contender.ask("evaluate")["accuracy"]}


def page(entries, space, options, runs, left_out):
    """The results for people, Markdown."""
    rows = []
    for name, entry in entries.items():
        by_seed = {run["seed"]: run["accuracy"] for run in runs if run["contender"] == name}
        found = [by_seed[seed] for seed in options.seeds if seed in by_seed]
        if found:
            each = [f"{by_seed[seed]:.4f}" if seed in by_seed else "-" for seed in options.seeds]
            rows.append([entry.title, *each, spread(found, 4).split()[0]])
    return "\n\n".join(
        [
            f"{machine.description()}.",
            f"{space.backbone}; {len(space.train[0])} training and {len(space.dev[0])} dev pairs ({space.source}); "
            f"{options.epochs} epochs in batches of {options.batch_size}.",
            table(["contender", *(f"seed {seed}" for seed in options.seeds), "median"], rows),
            *(f"Left out: {name}, {reason}" for name, reason in left_out.items()),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
