"""Long and large: memory of a run over a corpus as large as SNLI, over many steps, and of a million pairs on a pipe.

    python scripts/benchmark/endurance.py --train-file train.jsonl --dev-file dev.jsonl

Each is the command ``gluonnlp-snli`` as a process, whose memory is read while it works. Prints a table and puts it into
a page.
"""

import argparse
import contextlib
import itertools
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from lib import machine, workspace
from lib.corpus import SNLI_PAIRS, make_corpus
from lib.race import environment
from lib.report import measure_into_page, require_at_least, table

from gluonnlp_snli_plugin import PluginError

_PROGRAM = [sys.executable, "-m", "gluonnlp_snli_plugin"]
_UPDATE = re.compile(r"update (\d+)/")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    workspace.add_arguments(parser)
    parser.add_argument("--corpus-pairs", type=int, default=SNLI_PAIRS, help="of the large corpus (%(default)s)")
    parser.add_argument("--corpus-steps", type=int, default=200, help="on the large corpus (%(default)s)")
    parser.add_argument("--steps", type=int, default=2000, help="of the long run (%(default)s)")
    parser.add_argument("--lines", type=int, default=1_000_000, help="on the pipe (%(default)s)")
    parser.add_argument("--small", default="bert_2_128_2", help="what answers the pipe, random weights (%(default)s)")
    parser.add_argument("--output", default="docs/reliability.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "corpus_pairs", "corpus_steps")
    require_at_least(parser, options, 4, "steps", "lines")  # memory is read four times
    return measure_into_page(parser, options.output, "endurance", lambda folder: Endurance(folder, options).page())


class Endurance:
    """One run of all three.

    Parameters
    ----------
    folder : Path
        An empty folder.
    options : Namespace
    """

    def __init__(self, folder, options):
        self._folder, self._options = folder, options
        self._space = workspace.Workspace(folder, options)
        self._environment = {**environment(folder), "XDG_CACHE_HOME": str(folder / "cache")}

    def page(self):
        """The results for people, Markdown."""
        space = self._space
        rows = [self._large(), self._long(), self._pipe()]
        return "\n\n".join(
            [
                f"{machine.description()}; {space.backbone}, batches of {self._options.batch_size}.",
                table(["", "memory, MiB"], rows),
            ]
        )

    def _large(self):
        options, path = self._options, self._folder / "corpus.jsonl"
        make_corpus(options.train_file or self._space.job()["train_file"], path, options.corpus_pairs)
        memory = self._finetune("large", path, options.corpus_steps, every=options.corpus_steps)
        path.unlink()
        what = f"{options.corpus_pairs:,} pairs encoded, and {options.corpus_steps} steps over them"
        return [what, f"{memory[options.corpus_steps][1]:.0f} at most"]

    def _long(self):
        steps = self._options.steps
        memory = self._finetune("long", self._space.job()["train_file"], steps, every=steps // 4, epochs=10**4)
        texts = [f"{resident:.0f} after {update}" for update, (resident, _) in sorted(memory.items())]
        return [f"{steps:,} steps", ", ".join(texts)]

    def _pipe(self):
        """A million pairs for ``predict``, from a model that has learnt nothing."""
        options, job, out = self._options, self._space.job(), self._folder / "small"
        rows = Path(job["train_file"]).read_bytes().splitlines(keepends=True)
        (self._folder / "few.jsonl").write_bytes(b"".join(rows[: options.batch_size]))
        few = str(self._folder / "few.jsonl")
        vocabulary = ["--vocab", str(Path(job["checkpoint"], "vocab.txt")), "--backbone", options.small]
        done = subprocess.run(
            [*_PROGRAM, "finetune", *vocabulary, "--train-file", few, "--dev-file", few, "--output-dir", str(out)],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise PluginError(done.stderr.splitlines()[-1])
        process = subprocess.Popen(
            [*_PROGRAM, "predict", str(out), "--file", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
        )

        def feed():
            with contextlib.suppress(BrokenPipeError), process.stdin:
                for row in itertools.islice(itertools.cycle(rows), options.lines):
                    process.stdin.write(row)

        feeder = threading.Thread(target=feed)
        feeder.start()
        seen, answers = {}, 0
        for answers, line in enumerate(process.stdout, 1):
            if answers % (options.lines // 4) == 0:
                json.loads(line)
                seen[answers] = _memory(process.pid)[0]
        feeder.join()
        if process.wait() or answers != options.lines:
            raise PluginError(f"predict answered {answers} of {options.lines} lines, exit status {process.returncode}")
        texts = [f"{resident:.0f} after {answers:,}" for answers, resident in seen.items()]
        return [f"{options.lines:,} lines on standard input of `predict`, {options.small}", ", ".join(texts)]

    def _finetune(self, name, train_file, steps, every, epochs=1):
        """Fine-tune until so many updates are done; resident and peak memory in MiB at every so many of them."""
        job, seen = self._space.job(), {}
        settings = {"dataset_name": job["dataset_name"], "train_file": train_file, "dev_file": job["dev_file"]}
        settings.update(epochs=epochs, batch_size=job["batch_size"], max_len=job["max_len"], log_steps=every)
        command = workspace.finetune_command(output_dir=self._folder / name, **settings)
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=self._environment)
        lines = []
        for line in process.stderr:
            lines.append(line)
            found = _UPDATE.search(line)
            if found and int(found.group(1)) % every == 0:
                seen[int(found.group(1))] = _memory(process.pid)
                if int(found.group(1)) >= steps:
                    process.send_signal(signal.SIGTERM)
        if process.wait() != 128 + signal.SIGTERM or steps not in seen:
            raise PluginError(f"finetune ended early: {lines[-1].strip() if lines else 'no message'}")
        return seen


def _memory(process):
    """Resident and largest memory of a process so far, in MiB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return [int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]


if __name__ == "__main__":
    sys.exit(main())
