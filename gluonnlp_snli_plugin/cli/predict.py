"""Label pairs of sentences; JSON lines in, JSON lines out, in the same order.

A pair in a file or on standard input is a JSON object with sentence1 (premise) and sentence2 (hypothesis), a line each;
or a row of a .txt file in SNLI's format.
"""

import itertools
import json
import logging
import os
import select
import sys

from ..data.snli import PairReader
from ..deploy.predictor import Predictor
from ..errors import UsageError
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
            if not getattr(options, option).strip():
                raise UsageError(f"--{option} is empty")
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
        print(json.dumps(answer, ensure_ascii=False), flush=waits is not None)


class _StandardInput:
    """Lines of standard input, and whether the next one would keep us waiting."""

    def __init__(self):
        self._descriptor = sys.stdin.fileno()
        self._lines = []

    def __iter__(self):
        rest = b""
        while True:
            block = os.read(self._descriptor, 1 << 20)
            self._lines = (rest + block).split(b"\n")
            rest = self._lines.pop()
            self._lines.reverse()
            while self._lines:
                yield self._lines.pop()
            if not block:
                if rest:
                    yield rest
                return

    def waits(self):
        return not self._lines and not select.select([self._descriptor], [], [], 0)[0]
