"""The benchmark: this project against GluonNLP's script, the textbook chapter and Hugging Face's Trainer, side by side.

    python scripts/benchmark/compare.py --train-file train.jsonl --dev-file dev.jsonl

All get the same pairs and the same pretrained weights, and take turns: each makes some optimizer steps, scores the dev
pairs and turns texts into ids while the others wait, for several rounds, so that whatever else the machine does hits
all alike. Prints a table and puts it into a page. How well they learn is measured by ``accuracy.py``.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Dict

from lib import machine, reference_env, workspace
from lib.entries import chosen, python_of
from lib.race import Contender, environment, race
from lib.report import measure_into_page, require_at_least
from lib.results import Limit, figures, largest_difference, results_table

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.native import isa
from gluonnlp_snli_plugin.system import threads


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    workspace.add_arguments(parser)
    reference_env.add_arguments(parser)
    parser.add_argument("--contenders", metavar="A,B", help="who takes part (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (%(default)s)")
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps a turn (%(default)s)")
    parser.add_argument("--warmup", type=int, default=40, help="steps before, which do not count (%(default)s)")
    parser.add_argument("--output", default="docs/performance.md", metavar="F", help="page to write to (%(default)s)")
    parser.add_argument("--section", metavar="S", help="of the page (default: avx2, avx512 or amx, as it is measured)")
    parser.add_argument("--json", metavar="F", help="write every single measurement there")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "rounds", "steps", "warmup")
    section = options.section or isa.available()[-1].split("_")[0]
    return measure_into_page(parser, options.output, section, lambda folder: measure(folder, options))


def measure(folder, options):
    """The results for people, Markdown; all measurements go to a file where one is named."""
    benchmark = Benchmark(folder, options)
    benchmark.run()
    if options.json:
        Path(options.json).write_text(json.dumps(benchmark.measurements, indent=1) + "\n", encoding="utf-8")
    return benchmark.page()


class Benchmark:
    """One run of the benchmark.

    Parameters
    ----------
    folder : str
        An empty folder for its files.
    options : Namespace

    Attributes
    ----------
    measurements : dict
        What :meth:`run` measured: answers of the contenders by round, their hellos, matrix rates.
    left_out : dict of str to str
        Why a contender is not among them.
    """

    def __init__(self, folder, options):
        self.options = options
        self.entries = chosen(options.contenders)
        self.workspace = workspace.Workspace(folder, options)
        self.measurements: Dict[str, Any] = {}
        self.left_out: Dict[str, str] = {}
        self._pythons: Dict[str, Any] = {}

    def run(self):
        """Measure all contenders that can be measured."""
        options = self.options
        # A few batches more: buckets of lengths end in batches that are not full.
        pairs = (options.warmup + options.rounds * options.steps + 12) * options.batch_size
        with contextlib.ExitStack() as stack:
            contenders = {}
            for name, entry in self.entries.items():
                try:
                    self._pythons[name] = python_of(entry, options)
                    contenders[name] = stack.enter_context(contextlib.closing(self._start(name, at_least=pairs)))
                except PluginError as error:
                    self._leave_out(name, error)
            expected = next((contender.hello["pairs"] for contender in contenders.values()), None)
            for name in [name for name, contender in contenders.items() if contender.hello["pairs"] != expected]:
                del contenders[name]
                self._leave_out(name, "it has read other pairs")
            hellos = {name: contender.hello for name, contender in contenders.items()}
            answers = race(contenders, options.rounds, options.steps, options.warmup, self._leave_out)
            rates = self._matrix_rates()
        if not answers:
            raise PluginError("no contender is left")
        self.measurements = {"answers": answers, "hellos": hellos, "rates": rates}

    def page(self):
        """The results for people, Markdown."""
        options, space, measured = self.options, self.workspace, self.measurements
        limit = Limit(space, measured["rates"])
        found = figures(measured["answers"], self.entries, limit)
        versions = {}
        for hello in measured["hellos"].values():
            versions.update(hello["versions"])
        paragraphs = [
            f"{machine.description()}. {', '.join(f'{name} {version}' for name, version in versions.items())}.",
            f"{space.backbone}; {len(space.train[0])} training and {len(space.dev[0])} dev pairs ({space.source}), "
            f"{space.lengths.mean():.1f} tokens a pair; batches of {options.batch_size}, at most {options.max_len} "
            f"tokens; medians of {options.rounds} rounds of {options.steps} steps, between which speeds differ by up "
            f"to {largest_difference(found, 'train', 'evaluate'):.0%} and ratios by up to "
            f"{largest_difference(found, 'ratio', 'evaluate_ratio'):.0%}.",
            results_table(found, self.entries),
            str(limit),
        ]
        paragraphs += [f"Left out: {name}, {reason}" for name, reason in self.left_out.items()]
        return "\n\n".join(paragraphs)

    def _leave_out(self, name, reason):
        self.left_out[name] = str(reason).replace(f"{Path.cwd()}/", "")[:500]  # the page is not about this machine
        print(f"left out: {name}, {reason}", file=sys.stderr)

    def _start(self, name, **job):
        entry = self.entries[name]
        job = self.workspace.job(**{**job, **entry.job})
        return Contender(name, self._pythons[name], entry.module, job, self._environment(entry.has_all_cores))

    def _environment(self, has_all_cores):
        all_cores = threads.cores() if has_all_cores else None
        return environment(self.workspace.folder, self.options.threads or all_cores)

    def _matrix_rates(self):
        """GFLOP/s of the matrix products of a step, by library and data type, in each environment that is in use."""
        tokens = int(self.options.batch_size * self.workspace.lengths.mean())
        products = machine.layer_products(tokens, self.workspace.shape["units"], self.workspace.shape["hidden"])
        pythons = {
            "torch" if self.entries[name].in_reference_env else "mxnet": python
            for name, python in self._pythons.items()
        }
        return {
            library: machine.measured_rates(python, library, products, self._environment(has_all_cores=True))
            for library, python in pythons.items()
        }


if __name__ == "__main__":
    sys.exit(main())
