"""How good answers are: accuracy, precision, recall, F1, confusion matrix."""

import dataclasses
from typing import Any, Dict, Sequence, Tuple

import numpy as np


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
    """

    confusion: np.ndarray
    labels: Tuple[str, ...]
    num_unlabelled: int = 0
    num_bad: int = 0
    num_truncated: int = 0

    @classmethod
    def of(cls, gold: np.ndarray, predicted: np.ndarray, labels: Sequence[str], **counts: int) -> "Evaluation":
        """Count gold against predicted class indices, two int arrays of shape (n,)."""
        size = len(labels)
        confusion = np.bincount(np.asarray(gold) * size + np.asarray(predicted), minlength=size * size)
        return cls(confusion.reshape(size, size), tuple(labels), **counts)

    @property
    def num_pairs(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
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
        }

    def __str__(self) -> str:
        """The figures as a table of text."""
        width = max(map(len, self.labels))
        lines = [f"accuracy {self.accuracy:.4f} ({self.num_pairs} pairs)", ""]
        lines.append(f"{'':{width}}  precision  recall      f1   pairs")
        for label, figures in self.per_class.items():
            lines.append(
                f"{label:{width}}  {figures['precision']:9.4f}  {figures['recall']:6.4f}  {figures['f1']:6.4f}  "
                f"{figures['pairs']:6d}"
            )
        lines += ["", f"{'gold':{width}}  predicted " + "  ".join(f"{label:>{width}}" for label in self.labels)]
        for label, row in zip(self.labels, self.confusion):
            lines.append(f"{label:{width}}            " + "  ".join(f"{count:{width}d}" for count in row))
        return "\n".join([*lines, *(["", self.notes] if self.notes else [])])

    @property
    def notes(self) -> str:
        """What was left out or cut, in words; empty if nothing was."""
        notes = {
            "rows without gold label left out": self.num_unlabelled,
            "bad rows left out": self.num_bad,
            "pairs truncated": self.num_truncated,
        }
        return ", ".join(f"{count} {what}" for what, count in notes.items() if count)

    def __add__(self, other: "Evaluation") -> "Evaluation":
        """The scores on the pairs of both, which have the same classes."""
        return Evaluation(
            self.confusion + other.confusion,
            self.labels,
            self.num_unlabelled + other.num_unlabelled,
            self.num_bad + other.num_bad,
            self.num_truncated + other.num_truncated,
        )
