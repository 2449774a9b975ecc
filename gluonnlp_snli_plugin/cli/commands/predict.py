"""Label pairs of sentences; JSON lines in, JSON lines out, in the same order. Without pairs, ask for them.

Pairs in a file or on standard input are JSON objects with premise and hypothesis (or sentence1 and sentence2), a line
each; or a JSON array of them; or rows of a table with a header, tab-separated or CSV.
"""

import argparse
import contextlib
import itertools
import os
import select
import sys
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, Optional, Tuple

from ...errors import DataError, UsageError
from ...system.files import json_text
from ..options import (
    add_device_arguments,
    add_model_arguments,
    add_reading_arguments,
    load_predictor,
    refuse_names_of_classes,
)
from ..prompt import typed_pairs

if TYPE_CHECKING:
    from ...evaluate.predictor import Prediction, Predictor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--premise", metavar="P", help="premise of a single pair")
    parser.add_argument("--hypothesis", metavar="H", help="hypothesis of a single pair")
    parser.add_argument("--file", metavar="F", help="pairs to label; - reads standard input")
    add_reading_arguments(parser)
    parser.add_argument("--explain", action="store_true", help="show what each word contributes to the answer")
    parser.add_argument("--explain-html", metavar="F", help="write the answers, explained, as a page of HTML too")
    parser.add_argument("--json", action="store_true", help="JSON lines with --explain and at the prompt, too")
    add_device_arguments(parser)


def check(options: argparse.Namespace) -> None:
    is_single = options.premise is not None and options.hypothesis is not None
    if not _is_prompt(options) and (
        is_single == (options.file is not None) or (options.premise is None) != (options.hypothesis is None)
    ):
        raise UsageError("give --premise and --hypothesis, or --file F (- for standard input)")
    if options.file is None and (options.columns or options.labels):
        raise UsageError("--columns and --labels say how a file is written: give --file F too")
    if is_single:
        for option in ("premise", "hypothesis"):
            text = getattr(options, option)
            if not text.strip():
                raise UsageError(f"--{option} is empty")
            if any("\ud800" <= c <= "\udfff" for c in text):  # what Python makes of other bytes
                raise UsageError(f"--{option} is not valid UTF-8: {text[:60]}")


def run(options: argparse.Namespace) -> None:
    from ...data.losses import tell_truncated
    from ...evaluate import highlight

    is_single, is_prompt = options.premise is not None, _is_prompt(options)
    predictor = load_predictor(options.model, options)
    refuse_names_of_classes(options.labels, predictor.labels)
    num_truncated = predictor.num_truncated
    with highlight.page(options.explain_html) if options.explain_html else contextlib.nullcontext() as add_to_page:
        answers = _Answers(predictor, options, is_prompt, add_to_page)
        name = "standard input" if options.file in (None, "-") else options.file
        if is_single:
            name = "the pair"
            answers.give([(options.premise, options.hypothesis)])
        elif is_prompt:
            answers.give(typed_pairs(), waits=lambda: True)
        else:
            _answer_file(answers, name, predictor, options)
        num_truncated = predictor.num_truncated - num_truncated
        tell_truncated(name, num_truncated, answers.number, predictor.encoder.max_len)


def _is_prompt(options: argparse.Namespace) -> bool:
    """Whether to ask for pairs: none are given, and there is a terminal."""
    is_given = any(value is not None for value in (options.premise, options.hypothesis, options.file))
    return not is_given and sys.stdin is not None and sys.stdin.isatty()


def _answer_file(answers: "_Answers", name: str, predictor: "Predictor", options: argparse.Namespace) -> None:
    from ...data.losses import tell_left_out
    from ...data.reader import PairReader
    from ...tasks.common_classes import schema_for_files
    from ...tasks.task import classes_of

    lines = _StandardInput() if options.file == "-" else None
    schema = schema_for_files(classes_of(predictor.labels, predictor.settings.task))
    reader = PairReader(name, options.on_bad_row, False, lines, options.columns, options.labels, schema)
    answers.give((row[:2] for row in reader), lines.waits if lines else None)
    tell_left_out(name, answers.number, reader)


class _Answers:
    """Prints answers: JSON lines for programs, lines of text for people."""

    def __init__(
        self,
        predictor: "Predictor",
        options: argparse.Namespace,
        is_prompt: bool,
        add_to_page: Optional[Callable[..., None]],
    ) -> None:
        from ...evaluate import highlight

        self._predictor = predictor
        self._is_json = options.json or not (options.explain or is_prompt)
        self._explains = options.explain
        self._add_to_page = add_to_page
        self.number = 0  #: of answers given
        self._as_text = highlight.text
        self._has_colours = highlight.has_colours(sys.stdout)

    def give(self, pairs: Iterable[Tuple[str, str]], waits: Optional[Callable[[], bool]] = None) -> None:
        """Print the answer for each pair; at once where the next pair may be long in coming."""
        pairs, echo = itertools.tee(pairs)
        predictions = self._predictor.stream(pairs, waits) if waits else self._predictor.stream(pairs)
        for pair, prediction in zip(echo, predictions):
            self._give_one(pair, prediction, flush=waits is not None or self._explains)

    def _give_one(self, pair: Tuple[str, str], prediction: "Prediction", flush: bool) -> None:
        self.number += 1
        explanation = None
        if self._explains or self._add_to_page:
            explanation = self._predictor.explain(*pair, prediction.label)
        if self._add_to_page:
            self._add_to_page(prediction, explanation)
        explanation = explanation if self._explains else None
        if self._is_json:
            answer = {"sentence1": pair[0], "sentence2": pair[1], **prediction.to_dict()}
            if explanation:
                answer["explanation"] = explanation.to_dict()
            print(json_text(answer, sys.stdout.encoding or "utf-8"), flush=flush)
        else:
            print(self._as_text(prediction, explanation, self._has_colours), end="\n\n", flush=flush)


class _StandardInput:
    """Lines of standard input, and whether the next one has yet to come."""

    def __init__(self) -> None:
        if sys.stdin is None:
            raise UsageError("--file - reads standard input, which is closed")
        self._descriptor = sys.stdin.fileno()
        self._lines: List[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        rest: List[bytes] = []  # of a line that is not whole yet: blocks, as a long one comes in many
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

    def waits(self) -> bool:
        return not self._lines and not select.select([self._descriptor], [], [], 0)[0]
