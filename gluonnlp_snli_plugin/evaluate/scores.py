"""How good answers are: accuracy, precision, recall, F1, confusion matrix."""

import dataclasses
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import counted, printable

_OF_GROUP = ("accuracy", "pairs", "per_class", "confusion", "truncated")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Counts of gold and predicted labels, and what follows from them.

    Attributes
    ----------
    confusion : ndarray of int64, shape (classes, classes)
        Pairs by gold label (rows) and predicted label (columns).
    labels : tuple of str
        Names of the classes.
    num_unlabelled, num_bad, num_truncated : int
        Rows left out because they have no gold label, bad rows left out, truncated pairs.
    by : dict of str to dict of str to Evaluation
        The scores of the pairs with each value of a column of the file, by the name of the column.
    """

    confusion: np.ndarray
    labels: Tuple[str, ...]
    num_unlabelled: int = 0
    num_bad: int = 0
    num_truncated: int = 0
    by: Mapping[str, Mapping[str, "Evaluation"]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, gold: Any, predicted: Any, labels: Sequence[str], **counts: Any) -> "Evaluation":
        """Count gold against predicted class indices, two int arrays of shape (n,)."""
        size = len(labels)
        confusion = np.bincount(np.asarray(gold) * size + np.asarray(predicted), minlength=size * size)
        return cls(confusion.reshape(size, size), tuple(labels), **counts)

    @property
    def num_pairs(self) -> int:
        """How many pairs were scored."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of the pairs whose predicted label is the gold label."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' F1."""
        return float(np.mean([figures["f1"] for figures in self.per_class.values()]))

    @property
    def per_class(self) -> Dict[str, Dict[str, Any]]:
        """Precision, recall, F1 and number of gold pairs of each class, by label; 0 where nothing was counted."""
        hits = np.diag(self.confusion)
        precision = hits / np.maximum(self.confusion.sum(axis=0), 1)
        recall = hits / np.maximum(self.confusion.sum(axis=1), 1)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-30)
        return {
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "pairs": int(self.confusion[i].sum()),
            }
            for i, label in enumerate(self.labels)
        }

    def to_dict(self) -> Dict[str, Any]:
        """All figures, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "pairs": self.num_pairs,
            "per_class": self.per_class,
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "rows_without_gold_label": self.num_unlabelled,
            "bad_rows_left_out": self.num_bad,
            "truncated": self.num_truncated,
            **({"by": {field: _as_dicts(groups) for field, groups in self.by.items()}} if self.by else {}),
        }

    def __str__(self) -> str:
        """The figures as a table of text."""
        width = max(map(len, self.labels))
        lines = [f"accuracy {self.accuracy:.4f} ({counted(self.num_pairs, 'pair')})", ""]
        lines.append(f"{'':{width}}  precision  recall      f1   pairs")
        for label, figures in self.per_class.items():
            lines.append(
                f"{label:{width}}  {figures['precision']:9.4f}  {figures['recall']:6.4f}  {figures['f1']:6.4f}  "
                f"{figures['pairs']:6d}"
            )
        lines += ["", f"{'gold':{width}}  predicted " + "  ".join(f"{label:>{width}}" for label in self.labels)]
        for label, row in zip(self.labels, self.confusion):
            lines.append(f"{label:{width}}            " + "  ".join(f"{count:{width}d}" for count in row))
        for field in self.by:
            lines += ["", *self.table_by(field)]
        return "\n".join([*lines, *(["", self.notes] if self.notes else [])])

    def table_by(self, field: str) -> List[str]:
        """The scores for each value of a column: lines of a table."""
        rows = [[field, *self.headings_by], *([printable(value), *cells] for value, cells in self.rows_by(field))]
        return aligned(rows)

    @property
    def headings_by(self) -> List[str]:
        """The scores that :meth:`rows_by` gives; the last ones are the shares of right answers by gold label."""
        return ["pairs", "accuracy", "macro F1", *(f"gold {label}" for label in self.labels)]

    def rows_by(self, field: str) -> Iterator[Tuple[str, List[str]]]:
        """The scores for each value of a column as text; the F1 of classes that no pair has mean nothing."""
        for value, scores in self.by[field].items():
            right = list(scores.accuracy_by_gold.values())
            macro_f1 = None if None in right else scores.macro_f1
            yield value, [str(scores.num_pairs), *map(_figure, (scores.accuracy, macro_f1, *right))]

    @property
    def accuracy_by_gold(self) -> Dict[str, Optional[float]]:
        """Share of right answers among the pairs with each gold label; None where there is no pair."""
        return {label: figures["recall"] if figures["pairs"] else None for label, figures in self.per_class.items()}

    @property
    def notes(self) -> str:
        """What was left out or cut, in words; empty if nothing was."""
        notes = (
            (self.num_unlabelled, "row", "without gold label left out"),
            (self.num_bad, "bad row", "left out"),
            (self.num_truncated, "pair", "truncated"),
        )
        return ", ".join(f"{counted(count, noun)} {what}" for count, noun, what in notes if count)

    def __add__(self, other: "Evaluation") -> "Evaluation":
        """The scores on the pairs of both, which have the same classes."""
        return Evaluation(
            self.confusion + other.confusion,
            self.labels,
            self.num_unlabelled + other.num_unlabelled,
            self.num_bad + other.num_bad,
            self.num_truncated + other.num_truncated,
            {field: _sums(self.by[field], other.by[field]) for field in self.by if field in other.by},
        )


def _as_dicts(groups: Mapping[str, Evaluation]) -> Dict[str, Dict[str, Any]]:
    """The scores of groups of pairs, ready for JSON; what was left out of a file is not counted by group."""
    return {
        value: {
            **{name: figure for name, figure in one.to_dict().items() if name in _OF_GROUP},
            "accuracy_by_gold": one.accuracy_by_gold,
        }
        for value, one in groups.items()
    }


def _sums(one: Mapping[str, Evaluation], other: Mapping[str, Evaluation]) -> Dict[str, Evaluation]:
    """The scores of the pairs of both for each value that either has."""
    sums = dict(one)
    for value, scores in other.items():
        sums[value] = sums[value] + scores if value in sums else scores
    return sums


def _figure(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:.4f}"


def aligned(rows: Sequence[Sequence[str]]) -> List[str]:
    """Rows of a table as lines: the first column begins at the left, the others end at the right."""
    first, *widths = (max(map(len, column)) for column in zip(*rows))
    return ["  ".join([row[0].ljust(first), *(cell.rjust(n) for cell, n in zip(row[1:], widths))]) for row in rows]
