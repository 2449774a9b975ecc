"""A model's predictions for labelled pairs, as JSON lines, with a record beside them of where they come from.

A line has the fields of SNLI's own files, so that it is a labelled pair too, and those of the output of ``predict``.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple, Union

import numpy as np
import orjson

from ..data.encoding import PairEncoder
from ..data.reader.formats import SCORED_BY
from ..errors import DataError
from ..system.files import replacing, write_json, writing
from ..system.reading import open_lines, read_json, reading
from .scores import Evaluation

PathLike = Union[str, "os.PathLike[str]"]

FOLDER = "predictions"  # in the output folder of a run
_DECIMALS = 6
_NO_FIELDS: Mapping[str, Sequence[str]] = {}
_FIELDS = ("sentence1", "sentence2", "gold_label", "label", "probabilities", "tokens", "truncated")


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Labelled pairs as text, with their length in tokens of a model.

    Attributes
    ----------
    premises, hypotheses : list of str, length n
    gold : ndarray of int32, shape (n,)
        Indices into `labels`.
    tokens : ndarray of int64, shape (n,)
        Before truncation, special tokens included.
    truncated : ndarray of bool, shape (n,)
    labels : tuple of str
        Names of the classes.
    fields : dict of str to list of str, length n
        The values of columns to score by, by the name of the column.
    """

    premises: List[str]
    hypotheses: List[str]
    gold: np.ndarray
    tokens: np.ndarray
    truncated: np.ndarray
    labels: Tuple[str, ...]
    fields: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        texts: Sequence[Sequence[str]],
        gold: np.ndarray,
        encoder: PairEncoder,
        labels: Sequence[str],
        fields: Mapping[str, Sequence[str]] = _NO_FIELDS,
    ) -> "Pairs":
        """From (premises, hypotheses), class indices, the encoder of the model, and the names of the classes."""
        premises, hypotheses = texts
        tokens = encoder.lengths(premises, hypotheses)
        return cls(list(premises), list(hypotheses), gold, tokens, tokens > encoder.max_len, tuple(labels), fields)

    def __len__(self) -> int:
        return len(self.gold)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for labelled pairs.

    Attributes
    ----------
    pairs : Pairs, n of them
    probabilities : ndarray of float, shape (n, classes)
        Columns in the order of ``pairs.labels``.
    predicted : ndarray of int, shape (n,)
    about : dict
        Where they come from, as far as known: source, sha256, weights (sha256), dtype, pairs_per_second,
        rows_without_gold_label, bad_rows_left_out, remark (about classes that were merged).
    """

    pairs: Pairs
    probabilities: np.ndarray
    predicted: np.ndarray
    about: Dict[str, Any]

    @classmethod
    def of(cls, pairs: Pairs, probabilities: np.ndarray, **about: Any) -> "Predictions":
        return cls(pairs, probabilities, probabilities.argmax(axis=1), about)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def hits(self) -> np.ndarray:
        """Which predictions are right; ndarray of bool, shape (n,)."""
        return self.predicted == self.pairs.gold

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class; ndarray of float, shape (n,)."""
        return self.probabilities[np.arange(len(self)), self.predicted]

    @property
    def evaluation(self) -> Evaluation:
        """The scores of the predictions."""
        return Evaluation.of(
            self.pairs.gold,
            self.predicted,
            self.pairs.labels,
            num_unlabelled=self.about.get("rows_without_gold_label", 0),
            num_bad=self.about.get("bad_rows_left_out", 0),
            num_truncated=int(self.pairs.truncated.sum()),
            by={field: self._by(values) for field, values in self.pairs.fields.items()},
        )

    def _by(self, values: Sequence[str]) -> Dict[str, Evaluation]:
        """The scores of the pairs with each value, in the order in which the values come."""
        number = {value: i for i, value in enumerate(dict.fromkeys(values))}
        numbers = np.array([number[value] for value in values])
        chosen = ((value, numbers == i) for value, i in number.items())
        return {
            value: Evaluation.of(
                self.pairs.gold[rows],
                self.predicted[rows],
                self.pairs.labels,
                num_truncated=int(self.pairs.truncated[rows].sum()),
            )
            for value, rows in chosen
        }

    def lines(self) -> Iterator[bytes]:
        """JSON lines without line ends."""
        pairs, names = self.pairs, self.pairs.labels
        fields, others = list(pairs.fields), iter(zip(*pairs.fields.values()))
        rounded = self.probabilities.astype(np.float64).round(_DECIMALS).tolist()
        columns = (pairs.premises, pairs.hypotheses, pairs.gold.tolist(), self.predicted.tolist(), rounded)
        for premise, hypothesis, gold, label, row, tokens, truncated in zip(
            *columns, pairs.tokens.tolist(), pairs.truncated.tolist()
        ):
            named = dict(zip(names, row))
            line = dict(zip(_FIELDS, (premise, hypothesis, names[gold], names[label], named, tokens, truncated)))
            if fields:
                line[SCORED_BY] = dict(zip(fields, next(others)))
            yield orjson.dumps(line)


def write_lines(path: PathLike, *sets: Predictions) -> None:
    """Write the JSON lines of one or more :class:`Predictions`, atomically.

    Raises
    ------
    PluginError
        If they cannot be written.
    """
    with writing(path), replacing(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for predictions in sets for line in predictions.lines()))


def write_predictions(folder: PathLike, name: str, predictions: Predictions) -> None:
    """Save predictions in the output folder of a run as ``predictions/NAME.jsonl``, with their record as ``NAME.json``.

    Raises
    ------
    PluginError
        If they cannot be written.
    """
    place = Path(folder) / FOLDER
    with writing(place):
        place.mkdir(exist_ok=True)
        write_lines(place / f"{name}.jsonl", predictions)
        write_json(place / f"{name}.json", predictions.about)  # last: without it they are not read


def read_record(folder: PathLike, name: str) -> Dict[str, Any]:
    """Where the predictions saved under a name come from; an empty dict if there are none.

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


def read_predictions(folder: PathLike, name: str) -> Predictions:
    """The predictions that :func:`write_predictions` saved under a name.

    The classes are those of the probabilities in the first line, in their order.

    Raises
    ------
    DataError
        If they are damaged; names the line.
    """
    about = read_record(folder, name)
    path = Path(folder) / FOLDER / f"{name}.jsonl"
    rows: List[Any] = []
    labels: Tuple[str, ...] = ()
    fields: Tuple[str, ...] = ()
    with reading(path, DataError), open_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            with reading(path, DataError, damaged=f"{path}, line {number} is damaged"):
                row = orjson.loads(line)
                labels = labels or tuple(row["probabilities"].keys())
                fields = fields if rows else tuple(row.get(SCORED_BY, ()))
                rows.append(_values(row, labels, fields))
    if not rows:
        raise DataError(f"{path} is empty")
    premises, hypotheses, *columns, others = zip(*rows)
    gold, predicted, probabilities, tokens, truncated = map(np.array, columns)
    named = dict(zip(fields, map(list, zip(*others))))
    pairs = Pairs(list(premises), list(hypotheses), gold, tokens, truncated, labels, named)
    return Predictions(pairs, probabilities, predicted, about)


def _values(row: Dict[str, Any], labels: Tuple[str, ...], fields: Tuple[str, ...]) -> Tuple[Any, ...]:
    """The values of a line; raises a ValueError, TypeError or KeyError if one is impossible."""
    premise, hypothesis, gold, label, named, tokens, truncated = (row[field] for field in _FIELDS)
    probabilities = [float(named[label]) for label in labels]
    others = [row[SCORED_BY][field] for field in fields]
    is_sound = (
        len(labels) == len(named) > 1
        and type(premise) is type(hypothesis) is str
        and type(tokens) is int
        and 0 < tokens < 1 << 31
        and type(truncated) is bool
        and all(0 <= value <= 1 for value in probabilities)
        and all(type(value) is str for value in others)
    )
    if not is_sound or gold not in labels or label not in labels:
        raise ValueError
    return premise, hypothesis, labels.index(gold), labels.index(label), probabilities, tokens, truncated, others
