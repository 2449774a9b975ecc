"""Label pairs of sentences; JSON lines in, JSON lines out, in the same order.

A pair in a file or on standard input is a JSON object with sentence1 (premise) and sentence2 (hypothesis), a line each;
or a row of a .txt file in SNLI's format.
"""

import itertools
import logging
import os
import select
import sys

from ..data.snli import PairReader
from ..deploy.predictor import Predictor
from ..errors import DataError, UsageError
from ..files import json_text
from ..train.comm import parse_devices
from .evaluate import add_device_arguments, add_model_arguments

_log = logging.getLogger("gluonnlp_snli_plugin")


def add_arguments(parser):
    add_model_arguments(parser)
    parser.add_argument("--premise", metavar="P", help="premise of a single pair")
    parser.add_argument("--hypothesis", metavar="H", help="hypothesis of a single pair")
    parser.add_argument("--file", metavar="F", help="pairs to label; - reads standard input")
    parser.add_argument("--on-bad-row", choices=("error", "skip"), default="error", help="default: error")
    add_device_arguments(parser)


def run(options):
    is_single = options.premise is not None and options.hypothesis is not None
    if is_single == (options.file is not None) or (options.premise is None) != (options.hypothesis is None):
        raise UsageError("give --premise and --hypothesis, or --file F (- for standard input)")
    devices = parse_devices(options.gpus, options.devices)
    if is_single:
        for option in ("premise", "hypothesis"):
            text = getattr(options, option)
            if not text.strip():
                raise UsageError(f"--{option} is empty")
            if any("\ud800" <= c <= "\udfff" for c in text):  # as Python reads bytes of an argument that are none
                raise UsageError(f"--{option} is no UTF-8: {text[:60]}")
    predictor = Predictor.load(
        options.model,
        devices.contexts,
        options.batch_size,
        options.dataset_name,
        options.backbone,
        options.dtype,
        not options.no_native,
    )
    if is_single:
        _answer(predictor, [(options.premise, options.hypothesis)])
        return
    lines = _StandardInput() if options.file == "-" else None
    name = "standard input" if lines else options.file
    reader = PairReader(name, options.on_bad_row, labelled=False, lines=lines)
    _answer(predictor, (row[:2] for row in reader), lines.waits if lines else None)
    if reader.num_bad:
        _log.warning("%d bad rows left out", reader.num_bad)


def _answer(predictor, pairs, waits=None):
    """Print a line for each pair; where the input may keep us waiting, at once."""
    pairs, echo = itertools.tee(pairs)
    predictions = predictor.stream(pairs, waits) if waits else predictor.stream(pairs)
    for (premise, hypothesis), (label, probabilities) in zip(echo, predictions):
        rounded = {name: round(value, 6) for name, value in probabilities.items()}
        answer = {"sentence1": premise, "sentence2": hypothesis, "label": label, "probabilities": rounded}
        print(json_text(answer, sys.stdout.encoding or "utf-8"), flush=waits is not None)


class _StandardInput:
    """Lines of standard input, and whether the next one would keep us waiting."""

    def __init__(self):
        if sys.stdin is None:
            raise UsageError("--file - reads standard input, which is closed")
        self._descriptor = sys.stdin.fileno()
        self._lines = []

    def __iter__(self):
        rest = []  # of a line that is not whole yet: blocks, as a long one comes in many
        while True:
            try:
                block = os.read(self._descriptor, 1 << 20)
            except OSError as error:
                raise DataError(f"standard input: {error.strerror}") from None
            first, *others = block.split(b"\n")
            rest.append(first)
            if others:
                self._lines = [b"".join(rest), *others[:-1]][::-1]
                rest = others[-1:]
            elif not block and any(rest):
                self._lines = [b"".join(rest)]
            while self._lines:
                yield self._lines.pop()
            if not block:
                return

    def waits(self):
        return not self._lines and not select.select([self._descriptor], [], [], 0)[0]
