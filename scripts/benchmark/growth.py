"""How the cost of this project grows: with the pairs, their length, the size of a batch, and the ranks.

    python scripts/benchmark/growth.py --train-file train.jsonl --dev-file dev.jsonl

Training steps and scoring are measured in processes of their own, with the program that ``compare.py`` measures. Prints
tables and puts them into a page.
"""

import argparse
import contextlib
import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import List

from lib import machine, workspace
from lib.corpus import make_corpus
from lib.entries import REFERENCE, entries
from lib.race import Contender, environment
from lib.report import measure_into_page, require_at_least, table

from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI

PAIRS = (1000, 10000, 100000, 550000)
LENGTHS = (16, 32, 64, 128, 256, 512)
BATCH_SIZES = (8, 16, 32, 64, 128, 256)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    workspace.add_arguments(parser)
    for name, values in (("pair-counts", PAIRS), ("lengths", LENGTHS), ("batch-sizes", BATCH_SIZES)):
        default = ",".join(map(str, values))
        parser.add_argument(f"--{name}", default=default, metavar="A,B", help="'' for none (%(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="optimizer steps a measurement (%(default)s)")
    parser.add_argument("--ranks", action="store_true", help="measure two ranks against one, too (scaling.py)")
    parser.add_argument("--output", default="docs/performance.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "steps")
    for name in ("pair_counts", "lengths", "batch_sizes"):
        try:
            setattr(options, name, [int(number) for number in getattr(options, name).split(",") if number])
        except ValueError:
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)} is no list of numbers")
    return measure_into_page(
        parser,
        options.output,
        "growth",
        lambda folder: "\n\n".join([f"{machine.description()}.", *Growth(folder, options).tables()]),
    )


class Growth:
    """The measurements, in a temporary folder."""

    def __init__(self, folder, options):
        self._options = options
        self._workspace = workspace.Workspace(folder, options)
        self._environment = environment(folder, options.threads)

    def tables(self):
        """Each kind of growth as a Markdown table."""
        options, space = self._options, self._workspace
        if options.pair_counts:
            rows = [self._encode(number) for number in options.pair_counts]
            yield table(["pairs", "text to ids, seconds", "pairs/s", "tokens/s"], rows)
        steps = ["train, ms a step", "pairs/s", "tokens/s", "evaluate, pairs/s", "peak MiB"]
        longest = space.shape["max_length"]
        if options.lengths:
            rows = [
                self._measure(length, long_pairs(space.train, length, options.batch_size * 4), max_len=length)
                for length in options.lengths
                if length <= longest
            ]
            yield table([f"tokens a pair, batches of {options.batch_size}", *steps], rows)
        if options.batch_sizes:
            rows = [self._measure(size, space.train, batch_size=size) for size in options.batch_sizes]
            yield table([f"pairs a batch, {space.lengths.mean():.1f} tokens each", *steps], rows)
        if options.ranks:
            yield self._ranks()

    def _encode(self, number):
        """A row: the texts of so many pairs, varied from those of the workspace, into ids."""
        corpus = self._workspace.folder / "corpus.jsonl"
        make_corpus(self._workspace.job()["encode_file"], corpus, number)
        pairs = SNLI(file=corpus)
        encoder = self._workspace.encoder(self._options.max_len)
        begin = time.perf_counter()
        encoded = encoder.encode(pairs.premises, pairs.hypotheses, pairs.labels)
        seconds = time.perf_counter() - begin
        tokens = int(encoded.valid_length.sum())
        return [f"{number:,}", f"{seconds:.2f}", f"{number / seconds:,.0f}", f"{tokens / seconds:,.0f}"]

    def _measure(self, what, pairs, batch_size=None, **job):
        """A row: training and scoring, of pairs that are as many as the steps need."""
        batch_size = batch_size or self._options.batch_size
        entry = entries()[REFERENCE]
        job = self._workspace.job(
            pairs,
            at_least=(3 * self._options.steps + 2) * batch_size,
            dev=[column[: 4 * batch_size] for column in pairs],
            batch_size=batch_size,
            eval_batch_size=batch_size,
            **{**entry.job, **job},
        )
        contender = Contender(f"growth at {what}", sys.executable, entry.module, job, self._environment)
        with contextlib.closing(contender):
            contender.ask(f"train {self._options.steps}")  # memory for the first time
            trained = contender.ask(f"train {self._options.steps}")
            contender.ask("evaluate")
            scored = contender.ask("evaluate")
        print(f"measured at {what}", file=sys.stderr)
        seconds = trained["seconds"]
        return [
            f"{what:,}",
            f"{1000 * seconds / trained['steps']:.0f}",
            f"{trained['pairs'] / seconds:.1f}",
            f"{trained['tokens'] / seconds:,.0f}",
            f"{scored['pairs'] / scored['seconds']:.1f}",
            f"{scored['peak_mb']:.0f}",
        ]

    def _ranks(self):
        """The table of scaling.py."""
        job = self._workspace.job()
        command = [sys.executable, str(Path(__file__).with_name("scaling.py")), "--rounds", "1"]
        for option in ("dataset_name", "train_file", "dev_file", "batch_size"):
            command += [f"--{option.replace('_', '-')}", str(job[option])]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment)
        if done.returncode:
            print(f"scaling.py failed:\n{done.stderr}", file=sys.stderr)
            return "Ranks could not be measured."
        return done.stdout.strip()


def long_pairs(pairs, length, number):
    """Pairs of `length` tokens once they are truncated: many sentences of others, one after the other."""
    columns = []
    for column in pairs[:2]:
        sentences, texts = itertools.cycle(column), []
        for _ in range(number):
            words: List[str] = []
            while len(words) < length:
                words += next(sentences).split()
            texts.append(" ".join(words))
        columns.append(texts)
    return [*columns, list(itertools.islice(itertools.cycle(LABELS), number))]


if __name__ == "__main__":
    sys.exit(main())
