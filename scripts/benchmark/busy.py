"""How fast this project trains and scores on a machine that others use too, by how OpenMP's threads wait for work.

    python scripts/benchmark/busy.py --train-file train.jsonl --dev-file dev.jsonl

The same run in several environments, which take turns: first alone, then beside processes that only compute.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys

from lib import machine, workspace
from lib.race import Contender, environment, race
from lib.report import measure_into_page, require_at_least, table
from lib.results import evaluated_per_second, pairs_per_second

from gluonnlp_snli_plugin.system import threads

WAYS = {
    "this project": {},
    "libgomp's default (`GOMP_SPINCOUNT=300000`)": {"GOMP_SPINCOUNT": "300000"},
    "asleep at once (`OMP_WAIT_POLICY=passive`)": {"OMP_WAIT_POLICY": "passive"},
    "one thread (`OMP_NUM_THREADS=1`)": {"OMP_NUM_THREADS": "1"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    workspace.add_arguments(parser)
    parser.add_argument(
        "--busy", type=int, default=threads.cores(), help="processes beside (default: one for each core)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (%(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps a turn (%(default)s)")
    parser.add_argument("--output", default="docs/performance.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "busy", "rounds", "steps")
    return measure_into_page(parser, options.output, "busy", lambda folder: measure(folder, options))


def measure(folder, options):
    """The results for people, Markdown."""
    space = workspace.Workspace(folder, options)
    found = {beside: _rates(space, options, beside) for beside in (0, options.busy)}
    columns = [
        "threads wait",
        *(
            f"{what}, {'alone' if not beside else f'beside {beside}'}"
            for what in ("train, pairs/s", "evaluate, pairs/s")
            for beside in found
        ),
    ]
    rows = [[way, *(f"{found[beside][way][i]:.1f}" for i in range(2) for beside in found)] for way in WAYS]
    return "\n\n".join(
        [
            f"{machine.description()}; {threads.cores()} threads.",
            f"{space.backbone}, batches of {options.batch_size}; medians of {options.rounds} rounds.",
            table(columns, rows),
        ]
    )


def _rates(space, options, beside):
    """Pairs a second in training and in evaluation, by way of waiting, beside so many busy processes."""
    pairs = (options.rounds + 3) * options.steps * options.batch_size
    with contextlib.ExitStack() as stack:
        contenders = {}
        for way, variables in WAYS.items():
            job = space.job(at_least=pairs, settings={}, scorer="float32")
            variables = {**environment(space.folder, options.threads), **variables}
            contender = Contender(way, sys.executable, "ours.py", job, variables)
            contenders[way] = stack.enter_context(contextlib.closing(contender))
        for _ in range(beside):
            stack.callback(subprocess.Popen([sys.executable, "-c", "while True: pass"]).kill)
        answers = race(contenders, options.rounds, options.steps, 2 * options.steps, lambda name, error: None)
    return {
        way: (statistics.median(pairs_per_second(turns)), statistics.median(evaluated_per_second(turns)))
        for way, turns in answers.items()
    }


if __name__ == "__main__":
    sys.exit(main())
