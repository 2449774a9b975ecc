"""The classes in which a model's answers and a file's labels can be compared, where these are not the same.

Corpora of inference have three classes (entailment, contradiction, neutral) or two: entailment or not. On a file with
two classes, a three-class model is scored by the sum of its probabilities of contradiction and neutral; on a file with
three, these two labels count as one class for a two-class model.
"""

from typing import Collection, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data.assignments import in_words
from ..data.schema import PairSchema
from ..errors import DataError, UsageError
from . import nli


class Classes(NamedTuple):
    """The classes of a model or of a file."""

    schema: PairSchema  #: their names, and how files spell them
    entailment: Optional[str]  #: that which means entailment, where the others mean that there is none

    @property
    def other(self) -> str:
        """The class that is not entailment, of two."""
        return next(label for label in self.schema.labels if label != self.entailment)


class CommonClasses(NamedTuple):
    """The classes in which the answers of a model and the labels of a file are compared.

    Attributes
    ----------
    labels : tuple of str
        Their names.
    of_answers : tuple of int
        For each class of the model, in the order of its logits, its number among them.
    of_labels : tuple of int
        The same for each class of the file.
    remark : str or None
        What is counted as what, if classes are merged.
    """

    labels: Tuple[str, ...]
    of_answers: Tuple[int, ...]
    of_labels: Tuple[int, ...]
    remark: Optional[str] = None

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """The model's logits, shape (n, classes of the model), as logits of these classes, shape (n, classes).

        The probability of a class that several are merged into is the sum of theirs.
        """
        if self.of_answers == tuple(range(len(self.labels))):
            return logits
        parts = [np.flatnonzero(np.equal(self.of_answers, number)) for number in range(len(self.labels))]
        if all(len(part) == 1 for part in parts):
            return logits[:, np.concatenate(parts)]
        return np.stack([np.logaddexp.reduce(logits[:, part], axis=1) for part in parts], axis=1)

    def gold(self, labels: np.ndarray) -> np.ndarray:
        """The labels of the file as numbers of these classes; ndarray of int32, shape (n,)."""
        return np.asarray(self.of_labels, np.int32)[labels]


def same_classes(labels: Sequence[str]) -> CommonClasses:
    """Those of answers and labels that have the same classes in the same order."""
    numbers = tuple(range(len(labels)))
    return CommonClasses(tuple(labels), numbers, numbers)


def schema_for_files(model: Classes) -> PairSchema:
    """How to read a file whose classes are those of a model, or those of inference in another number.

    The labels of the model come first; those that only files of another number of classes have follow.
    """
    schema, entailment = model
    if entailment is None:
        return schema
    known = {spelling.lower() for spelling in (*schema.labels, *schema.label_alias)}
    own = next((label for label in schema.labels if label.lower() in nli.OF_NOT_ENTAILMENT), None)
    more = [label for label in (*nli.OF_THREE, *(() if own else (nli.NOT_ENTAILMENT,))) if label not in known]
    meaning: Dict[str, str] = {label: label for label in (*schema.labels, *more)}
    meaning.update({nli.ENTAILMENT: entailment, **({nli.NOT_ENTAILMENT: own} if own else {})})
    spellings = {
        nli.ENTAILMENT: nli.ENTAILMENT,
        **nli.LABEL_ALIAS,
        **dict.fromkeys(nli.OF_NOT_ENTAILMENT, nli.NOT_ENTAILMENT),
    }
    alias = {s: meaning[label] for s, label in spellings.items() if label in meaning and s not in known}
    return schema._replace(labels=(*schema.labels, *more), label_alias={**schema.label_alias, **alias})


def common_classes(
    answers: Sequence[str], model: Classes, present: Collection[str], name: str, file: Optional[Classes] = None
) -> CommonClasses:
    """The classes to compare a model's answers and a file's labels in.

    Parameters
    ----------
    answers : sequence of str
        The classes of the model, in the order of its logits.
    model : Classes
        The same classes, in the order in which scores show them.
    present : collection of str
        The labels that the file has.
    name : str
        Of the file, for messages.
    file : Classes or None
        Those of the task that the file is of; None for one that was read by :func:`schema_for_files`.

    Returns
    -------
    CommonClasses

    Raises
    ------
    UsageError
        If the classes of the task have nothing to do with those of the model.
    DataError
        If the file has labels of two classes and of three.
    """
    if file is None:
        return _of_file(answers, model, present, name)
    labels, own = file.schema.labels, model.schema.labels
    if sorted(labels) == sorted(own):
        return CommonClasses(labels, tuple(map(labels.index, answers)), tuple(range(len(labels))))
    if not (model.entailment and file.entailment and 2 in (len(labels), len(own))):
        raise UsageError(
            f"{name} has the classes {in_words(labels)}, the model {in_words(own)}: they cannot be compared"
        )
    target = file if len(labels) == 2 else model
    remark = None
    if len(own) > 2:
        remark = _of_two(name, target.other)
    elif len(labels) > 2:
        remark = _of_model(name, target.other)
    return _merged(target, answers, model.entailment, labels, file.entailment, remark)


def _of_file(answers: Sequence[str], model: Classes, present: Collection[str], name: str) -> CommonClasses:
    """As :func:`common_classes`, for a file of a number of classes that its labels tell."""
    labels, read = model.schema.labels, schema_for_files(model).labels
    found = [label for label in read[len(labels) :] if label in present]
    if not found:
        numbers = tuple(range(len(labels))) + (0,) * (len(read) - len(labels))
        return CommonClasses(labels, tuple(map(labels.index, answers)), numbers)
    of_three = [label for label in read if label in present and label.lower() in nli.OF_THREE]
    of_two = [label for label in read if label in present and label.lower() in nli.OF_NOT_ENTAILMENT]
    if of_two and of_three:
        other = of_two[0]
        meaning = ",".join(f"{label}={other}" for label in of_three)
        raise DataError(
            f"{name} has the labels {in_words(of_three)} and {other}: a file has two classes or three; divide it, or "
            f"say what the labels mean: --labels {meaning}"
        )
    assert model.entailment is not None
    if len(labels) > 2:
        target = Classes(model.schema._replace(labels=(model.entailment, nli.NOT_ENTAILMENT)), model.entailment)
        return _merged(target, answers, model.entailment, read, model.entailment, _of_two(name, nli.NOT_ENTAILMENT))
    return _merged(model, answers, model.entailment, read, model.entailment, _of_model(name, model.other))


def _merged(
    target: Classes,
    answers: Sequence[str],
    entailment: str,
    labels: Sequence[str],
    entailment_of_file: str,
    remark: Optional[str],
) -> CommonClasses:
    names = target.schema.labels
    yes, no = names.index(str(target.entailment)), names.index(target.other)
    of_answers = tuple(yes if label == entailment else no for label in answers)
    return CommonClasses(
        names, of_answers, tuple(yes if label == entailment_of_file else no for label in labels), remark
    )


def _of_two(name: str, other: str) -> str:
    return f"{name} has two classes: answers that are not entailment count as {other}"


def _of_model(name: str, other: str) -> str:
    return f"the model has two classes: labels of {name} that are not entailment count as {other}"
