"""Pretraining side by side with GluonNLP's own run_pretraining.py, hosted by ``gluonnlp-snli run``.

    GLUONNLP_SCRIPTS=checkout python scripts/benchmark/pretraining.py --corpus text.txt

The same text, vocabulary, architecture, steps, batch size and learning rates, one program after the other, several
times; this project's also from random weights that are drawn as the script draws them. All BERTs are then asked for the
words behind the same masks of the same documents, which none has seen.
``text.txt`` has a sentence a line and an empty line between documents.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from lib import machine
from lib.report import measure_into_page, require_at_least, spread, table

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.data.pretraining.corpus import read_documents

_PROGRAM = [sys.executable, "-m", "gluonnlp_snli_plugin"]
_VOCABULARY = "benchmark_uncased"
_FIGURES = {"mlm_loss": "masked words, loss", "mlm_accuracy": "accuracy", "nsp_loss": "next sentence, loss"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", nargs="+", required=True, metavar="F", help="text, a sentence a line")
    parser.add_argument("--backbone", default="bert_2_256_4", help="default: %(default)s")
    parser.add_argument("--size", type=int, default=3000, metavar="N", help="of the vocabulary (%(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="updates of each run (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs a step (%(default)s)")
    parser.add_argument("--max-len", type=int, default=64, help="longest pair in tokens (%(default)s)")
    parser.add_argument("--lr", type=float, default=5e-4, help="highest learning rate (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each program, with other seeds (%(default)s)")
    parser.add_argument("--output", default="docs/pretraining.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "batch_size", "runs")
    require_at_least(parser, options, 60, "steps")  # some lines of either log
    return measure_into_page(parser, options.output, "pretraining", lambda folder: Comparison(folder, options).page())


class Comparison:
    """Runs of both programs in turn.

    Parameters
    ----------
    folder : Path
        An empty one.
    options : Namespace
    """

    def __init__(self, folder, options):
        script = Path(os.environ.get("GLUONNLP_SCRIPTS", ""), "scripts", "bert", "run_pretraining.py")
        if not script.is_file():
            raise PluginError("GLUONNLP_SCRIPTS names no checkout of dmlc/gluon-nlp at tag v0.10.0")
        self._folder, self._options, self._script = folder, options, script.resolve()
        self._environment = {**os.environ, "MXNET_HOME": str(folder / "home")}
        documents = ["\n".join(document) for document in read_documents(options.corpus)]
        self._num_documents = len(documents)
        held_out = documents[::20]
        del documents[::20]
        for name, part in (("train.txt", documents), ("dev.txt", held_out)):
            (folder / name).write_text("\n\n".join(part) + "\n", encoding="utf-8")

    def page(self):
        """The results for people, Markdown."""
        options = self._options
        self._run("train-vocab", "--name", _VOCABULARY, "--size", options.size, "--corpus", "train.txt")
        runs = {"this project": [], "this project, `--init bert`": [], "GluonNLP's script": []}
        for i in range(options.runs):
            for results, result in zip(runs.values(), (self._ours(i, "width"), self._ours(i, "bert"), self._theirs(i))):
                results.append(result)
        rows = []
        for title, results in runs.items():
            faster = [ours["speed"] / other["speed"] for ours, other in zip(runs["this project"], results)]
            cells = [spread([result[name] for result in results], 3) for name in _FIGURES]
            rows.append([title, *cells, spread([result["speed"] for result in results], 0), spread(faster)])
        header = ["", *_FIGURES.values(), "tokens/s", "this project is faster by"]
        return "\n\n".join(
            [
                f"{machine.description()}.",
                f"{options.backbone}, {options.size} pieces, {self._num_documents} documents; {options.steps} updates "
                f"of {options.batch_size} pairs of at most {options.max_len} tokens, learning rate {options.lr}; "
                f"{options.runs} runs of each: medians (smallest to largest), on held-out documents.",
                table(header, rows),
            ]
        )

    def _run(self, *arguments):
        command = [*_PROGRAM, *map(str, arguments)]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        done = subprocess.run(command, cwd=str(self._folder), env=self._environment, **pipes)
        if done.returncode:
            raise PluginError(f"gluonnlp-snli {arguments[0]} failed: {''.join(done.stderr.splitlines()[-1:])}")

    def _pretrain(self, name, *more):
        options = self._options
        places = ["--corpus", "train.txt", "--dev-corpus", "dev.txt", "--corpus-format", "lines", "--output-dir", name]
        sizes = ["--batch-size", options.batch_size, "--max-len", options.max_len, "--backbone", options.backbone]
        self._run("pretrain", "--name", f"{name}_uncased", *places, *sizes, "--eval-steps", 0, *more)
        return json.loads((self._folder / name / "summary.json").read_bytes())

    def _ours(self, seed, init):
        name = f"ours-{init}-{seed}"
        schedule = ["--steps", self._options.steps, "--lr", self._options.lr, "--warmup-ratio", 0.1, "--log-steps", 20]
        summary = self._pretrain(name, "--vocab", _VOCABULARY, *schedule, "--seed", seed, "--init", init)
        lines = map(json.loads, (self._folder / name / "metrics.jsonl").read_text().splitlines())
        speeds = [line["tokens_per_second"] for line in lines if line["kind"] == "train"]
        return {**summary, "speed": statistics.median(speeds[1:])}

    def _theirs(self, number):
        options, name = self._options, f"theirs-{number}"
        (vocabulary,) = (self._folder / "home" / "models").glob(f"{_VOCABULARY}-*")
        settings = {
            "data": "train.txt",
            "data_eval": "dev.txt",
            "sentencepiece": vocabulary,
            "model": options.backbone,
            "max_seq_length": options.max_len,
            "max_predictions_per_seq": round(0.15 * options.max_len),
            "short_seq_prob": 0.1,
            "total_batch_size": options.batch_size,
            "total_batch_size_eval": options.batch_size,
            "num_steps": options.steps,
            "lr": options.lr,
            "warmup_ratio": 0.1,
            "dtype": "float32",
            "log_interval": 20,
            "num_dataset_workers": 1,
            "num_batch_workers": 1,
            "ckpt_dir": name,
        }
        arguments = [word for option, value in settings.items() for word in (f"--{option}", value)]
        self._run("run", self._script, "--raw", *arguments)
        log = (self._folder / name / "phase1_log.0").read_text(errors="replace")
        speeds = [1000 * float(rate) for rate in re.findall(r"throughput=([0-9.]+)K", log)]
        weights = self._folder / name / f"{options.steps:07d}.params"
        imported = ["--vocab", _VOCABULARY, "--backbone", options.backbone, "--name", f"{name}_uncased"]
        self._run("import-bert", weights, *imported)
        # A step that changes nothing: what counts is the evaluation after it.
        still = ["--init-from", f"{name}_uncased", "--steps", 1, "--lr", 1e-30, "--weight-decay", 0]
        return {**self._pretrain(f"{name}-measured", *still), "speed": statistics.median(speeds[1:])}


if __name__ == "__main__":
    sys.exit(main())
