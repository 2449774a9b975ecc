"""What a model answered for labelled pairs, as JSON lines, and a record beside them of where they come from.

A line has the fields of SNLI's own files, so that it is a labelled pair too, and those of ``predict``'s answers.
"""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import orjson

from ..errors import DataError
from ..system.files import replacing, write_json, writing
from ..system.reading import open_lines, read_json, reading
from ..tasks.snli import LABELS
from .scores import Evaluation

FOLDER = "predictions"  # in the output folder of a run
_DECIMALS = 6
_FIELDS = ("sentence1", "sentence2", "gold_label", "label", "probabilities", "tokens", "truncated")


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Labelled pairs as people wrote them, and as long as a model finds them.

    Attributes
    ----------
    premises, hypotheses : list of str, length n
    gold : ndarray of int32, shape (n,)
        Index into ``LABELS``.
    tokens : ndarray of int64, shape (n,)
        Before truncation, special tokens included.
    truncated : ndarray of bool, shape (n,)
    """

    premises: List[str]
    hypotheses: List[str]
    gold: np.ndarray
    tokens: np.ndarray
    truncated: np.ndarray

    @classmethod
    def of(cls, texts, gold, encoder):
        """From (premises, hypotheses), class indices, and the encoder of the model that is asked."""
        premises, hypotheses = texts
        tokens = encoder.lengths(premises, hypotheses)
        return cls(list(premises), list(hypotheses), gold, tokens, tokens > encoder.max_len)

    def __len__(self):
        return len(self.gold)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Answers for labelled pairs.

    Attributes
    ----------
    pairs : Pairs, n of them
    probabilities : ndarray of float, shape (n, classes)
        Columns in the order of ``LABELS``.
    predicted : ndarray of int, shape (n,)
    about : dict
        Where they come from, as far as that is known: source, sha256, weights (sha256), dtype, pairs_per_second,
        rows_without_gold_label, bad_rows_left_out.
    """

    pairs: Pairs
    probabilities: np.ndarray
    predicted: np.ndarray
    about: Dict[str, Any]

    @classmethod
    def of(cls, pairs, probabilities, **about):
        return cls(pairs, probabilities, probabilities.argmax(axis=1), about)

    def __len__(self):
        return len(self.pairs)

    @property
    def hits(self):
        """Which answers are right; ndarray of bool, shape (n,)."""
        return self.predicted == self.pairs.gold

    @property
    def confidence(self):
        """Probability of the answer given; ndarray of float, shape (n,)."""
        return self.probabilities[np.arange(len(self)), self.predicted]

    @property
    def evaluation(self):
        """The answers' scores, an :class:`.Evaluation`."""
        return Evaluation.of(
            self.pairs.gold,
            self.predicted,
            num_unlabelled=self.about.get("rows_without_gold_label", 0),
            num_bad=self.about.get("bad_rows_left_out", 0),
            num_truncated=int(self.pairs.truncated.sum()),
        )

    def lines(self):
        """JSON lines, bytes without their ends."""
        pairs = self.pairs
        rounded = self.probabilities.astype(np.float64).round(_DECIMALS).tolist()
        columns = (pairs.premises, pairs.hypotheses, pairs.gold.tolist(), self.predicted.tolist(), rounded)
        for premise, hypothesis, gold, label, row, tokens, truncated in zip(
            *columns, pairs.tokens.tolist(), pairs.truncated.tolist()
        ):
            named = dict(zip(LABELS, row))
            values = (premise, hypothesis, LABELS[gold], LABELS[label], named, tokens, truncated)
            yield orjson.dumps(dict(zip(_FIELDS, values)))


def write_lines(path, *sets):
    """Write the JSON lines of one or more :class:`Predictions`, whole or not at all.

    Raises
    ------
    PluginError
        If they cannot be written.
    """
    with writing(path), replacing(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for predictions in sets for line in predictions.lines()))


def write_predictions(folder, name, predictions):
    """Keep answers in the output folder of a run as ``predictions/NAME.jsonl``, with their record as ``NAME.json``.

    Raises
    ------
    PluginError
        If they cannot be written.
    """
    place = Path(folder) / FOLDER
    with writing(place):
        place.mkdir(exist_ok=True)
        write_lines(place / f"{name}.jsonl", predictions)
        write_json(place / f"{name}.json", predictions.about)  # last: without it they do not count


def read_record(folder, name):
    """Where the answers that are kept under a name come from; an empty dict if there are none.

    Raises
    ------
    DataError
        If the record is damaged.
    """
    path = Path(folder) / FOLDER / f"{name}.json"
    with reading(path, DataError):
        try:
            about = read_json(path)
        except FileNotFoundError:
            return {}
    numbers = ("rows_without_gold_label", "bad_rows_left_out")
    if not isinstance(about, dict) or not all(type(about.get(name, 0)) is int for name in numbers):
        raise DataError(f"{path} is damaged")
    return about


def read_predictions(folder, name):
    """The answers that :func:`write_predictions` kept under a name.

    Returns
    -------
    Predictions

    Raises
    ------
    DataError
        If they are damaged; names the line.
    """
    about = read_record(folder, name)
    path = Path(folder) / FOLDER / f"{name}.jsonl"
    rows: List[Any] = []
    with reading(path, DataError), open_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            with reading(path, DataError, damaged=f"{path}, line {number} is damaged"):
                rows.append(_values(line))
    if not rows:
        raise DataError(f"{path} is empty")
    premises, hypotheses, *columns = zip(*rows)
    gold, predicted, probabilities, tokens, truncated = map(np.array, columns)
    return Predictions(
        Pairs(list(premises), list(hypotheses), gold, tokens, truncated), probabilities, predicted, about
    )


def _values(line):
    """What a line holds; raises a ValueError, TypeError or KeyError if that cannot be."""
    row = orjson.loads(line)
    premise, hypothesis, gold, label, named, tokens, truncated = (row[field] for field in _FIELDS)
    probabilities = [float(named[label]) for label in LABELS]
    is_sound = (
        type(premise) is type(hypothesis) is str
        and type(tokens) is int
        and 0 < tokens < 1 << 31
        and type(truncated) is bool
        and all(0 <= value <= 1 for value in probabilities)
    )
    if not is_sound or gold not in LABELS or label not in LABELS:
        raise ValueError
    return premise, hypothesis, LABELS.index(gold), LABELS.index(label), probabilities, tokens, truncated
