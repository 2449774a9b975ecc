"""The contender's side of the benchmark: set up, then obey lines on standard input, one JSON line in answer to each.

``train N`` makes N optimizer steps, ``evaluate`` scores the dev pairs, ``encode`` turns texts into ids, ``quit`` ends.
Between two commands the contender waits, so that others can be measured in between. A contender keeps its own training
loop and tells after each step that it is done; the loop stands still in that call while others have their turn.

Only the standard library: this runs in environments that have nothing else in common.
"""

import collections
import hashlib
import importlib.metadata
import json
import os
import sys
import time
import types
from typing import Dict

LABELS = ("entailment", "contradiction", "neutral")


def read_pairs(path):
    """The pairs of a file of JSON lines: premises, hypotheses and labels, three lists."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [[row[name] for row in rows] for name in ("sentence1", "sentence2", "gold_label")]


def fingerprint(*columns):
    """A number that two contenders share if they have the same pairs."""
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]


class Worker:
    """Speaks with the benchmark for a contender.

    Attributes
    ----------
    job : SimpleNamespace
        What to do: files, batch_size, eval_batch_size, max_len, lr, warmup_ratio, dropout, epochs, seed, ...
    """

    def __init__(self):
        self.job = types.SimpleNamespace(**json.loads(sys.argv[1]))
        # Libraries print; only answers may go where the benchmark listens.
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._steps_left = 0
        self._done: Dict[str, int] = collections.Counter()
        self._parts: Dict[str, float] = collections.Counter()

    def begin(self, evaluate, encode, wait=lambda: None, packages=(), device="cpu", prepare=lambda: None):
        """Say that all is set up, and wait for the first command; returns when it is time to train.

        Parameters
        ----------
        evaluate : callable
            Scores the dev pairs; gives their number and the accuracy.
        encode : callable
            Turns the texts of three columns into ids; gives the number of tokens, special ones included.
        wait : callable
            Returns once everything computed so far is there.
        packages : sequence of str
            Of which versions the figures depend.
        device : str
        prepare : callable
            Does what evaluation needs but once, however many pairs there are.
        """
        self._evaluate, self._encode, self._wait, self._prepare = evaluate, encode, wait, prepare
        train, dev, self._texts = (read_pairs(getattr(self.job, f"{name}_file")) for name in ("train", "dev", "encode"))
        self._answer(
            pairs=fingerprint(train, dev, self._texts),
            versions={
                "python": sys.version.split()[0],
                **{name: importlib.metadata.version(name) for name in packages},
            },
            device=device,
        )
        self._obey()

    def step(self, pairs, tokens, padded, **seconds):
        """One optimizer step is done; returns when it is time for the next one.

        Parameters
        ----------
        pairs : int
        tokens, padded : int
            Of the batch without and with its padding.
        **seconds
            What parts of it took; the answer has their sums under ``parts``.
        """
        for name, number in (("steps", 1), ("pairs", pairs), ("tokens", tokens), ("padded", padded)):
            self._done[name] += int(number)
        self._parts.update(seconds)
        self._steps_left -= 1
        if self._steps_left == 0:
            self._report()
            self._obey()

    def end(self):
        """Training is over; returns when the benchmark needs this contender no longer."""
        if self._steps_left > 0:
            self._report()
        self._obey()
        raise SystemExit("asked to train after the last epoch")

    def seconds(self):
        """How long this turn of training has taken so far."""
        return time.perf_counter() - self._since

    def _report(self):
        self._wait()
        processor_seconds = time.process_time() - self._processor_since
        self._answer(seconds=self.seconds(), processor_seconds=processor_seconds, parts=self._parts, **self._done)

    def _obey(self):
        for line in iter(sys.stdin.readline, ""):
            command, *arguments = line.split()
            if command == "evaluate":
                self._prepare()
                self._wait()
            begin = time.perf_counter()
            if command == "train":
                self._steps_left = int(arguments[0])
                self._done.clear()
                self._parts.clear()
                self._since, self._processor_since = begin, time.process_time()
                return
            if command == "evaluate":
                pairs, accuracy = self._evaluate()
                self._wait()
                self._answer(seconds=time.perf_counter() - begin, pairs=int(pairs), accuracy=float(accuracy))
            elif command == "encode":
                tokens = self._encode(*self._texts)
                self._answer(seconds=time.perf_counter() - begin, pairs=len(self._texts[0]), tokens=int(tokens))
            else:
                break
        raise SystemExit

    def _answer(self, **figures):
        self._answers.write(json.dumps({**figures, "peak_mb": peak_mb()}) + "\n")
        self._answers.flush()


def peak_mb():
    """Largest memory of this process so far in MiB; not that of the program it was started from, as getrusage has."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
