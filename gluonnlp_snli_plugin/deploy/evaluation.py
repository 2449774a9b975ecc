"""How good a model is on labelled pairs: accuracy, precision, recall, F1, confusion matrix."""

import dataclasses
from typing import Tuple

import numpy as np

from ..data.cache import encode_file
from ..data.snli import LABELS
from .predictor import Predictor


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
        Rows left out for want of a gold label, bad rows left out, pairs that lost tokens.
    """

    confusion: np.ndarray
    labels: Tuple[str, ...] = LABELS
    num_unlabelled: int = 0
    num_bad: int = 0
    num_truncated: int = 0

    @classmethod
    def of(cls, gold, predicted, labels=LABELS, **counts):
        """Count gold against predicted class indices, two int arrays of shape (n,)."""
        size = len(labels)
        confusion = np.bincount(np.asarray(gold) * size + np.asarray(predicted), minlength=size * size)
        return cls(confusion.reshape(size, size), tuple(labels), **counts)

    @property
    def num_pairs(self):
        return int(self.confusion.sum())

    @property
    def accuracy(self):
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def per_class(self):
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

    def to_dict(self):
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

    def __str__(self):
        """The figures as a table for people."""
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
        notes = {
            "rows without gold label left out": self.num_unlabelled,
            "bad rows left out": self.num_bad,
            "pairs truncated": self.num_truncated,
        }
        noted = ", ".join(f"{count} {what}" for what, count in notes.items() if count)
        return "\n".join([*lines, *(["", noted] if noted else [])])


def evaluate(
    model,
    file,
    on_bad_row="error",
    contexts=None,
    batch_size=64,
    dataset_name=None,
    backbone=None,
    dtype="float32",
    native=True,
):
    """Score a fine-tuned model on the labelled pairs of a file.

    Parameters
    ----------
    model : str, Path or Predictor
        Output folder of ``finetune``, a ``.params`` file of a ``gluonnlp.model.BERTClassifier``, or a predictor.
    file : str or Path
        Pairs in SNLI's format.
    on_bad_row : {'error', 'skip'}, default 'error'
    contexts : list of Context or None
        Devices to use, default CPU; of no use with a predictor.
    batch_size : int, default 64
    dataset_name, backbone : str or None
        Of a ``.params`` file, see :meth:`Predictor.load`.
    dtype : {'float32', 'int8'}, default 'float32'
    native : bool, default True
        How to compute, of no use with a predictor; see :class:`Predictor`.

    Returns
    -------
    Evaluation
    """
    if isinstance(model, Predictor):
        predictor = model
    else:
        predictor = Predictor.load(model, contexts, batch_size, dataset_name, backbone, dtype, native)
    encoded, _, num_unlabelled, num_bad = encode_file(predictor.encoder, file, on_bad_row)
    columns = [predictor.labels.index(label) for label in LABELS]  # the model may have them in another order
    return Evaluation.of(
        encoded.labels,
        predictor.logits(encoded)[:, columns].argmax(axis=1),
        num_unlabelled=num_unlabelled,
        num_bad=num_bad,
        num_truncated=encoded.num_truncated,
    )
