"""The labelled pairs to score a model on: a file, or a segment of a task's corpus."""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

import orjson

from ..data.assignments import Assignments
from ..data.cache import EncodedFile, encode_file
from ..data.encoding import PairEncoder
from ..errors import DataError, UsageError
from ..tasks.common_classes import Classes, CommonClasses, common_classes, schema_for_files
from ..tasks.dataset import PathLike, Source, segment_source
from ..tasks.task import find_task

_USES = ("dev", "test")
_MOST_VALUES = 200  # of a column to score by
_NO_VALUE = "(empty)"


class LabelledPairs(NamedTuple):
    """Pairs to score."""

    source: Source
    name: str = ""  #: of a segment of a corpus: 'HANS-dev'

    @classmethod
    def of_file(cls, path: PathLike) -> "LabelledPairs":
        """All pairs of a file."""
        return cls(Source([path]))  # type: ignore[list-item]  # as the user gave it, for messages

    def __str__(self) -> str:
        return str(self.source)


class Read(NamedTuple):
    """Pairs that have been read and encoded for a model."""

    pairs: LabelledPairs
    file: EncodedFile
    fields: Mapping[str, Sequence[str]]  #: the values of columns to score by
    model: Classes
    task: Optional[Classes]  #: where the pairs are of another task than the model

    def classes_of(self, answers: Sequence[str]) -> CommonClasses:
        """The classes to compare the labels and the answers of a model in, whose classes have this order."""
        labels = (self.task.schema if self.task else schema_for_files(self.model)).labels
        assert self.file.encoded.labels is not None
        present = {labels[i] for i in set(self.file.encoded.labels.tolist())}
        return common_classes(answers, self.model, present, self.pairs.name or str(self.pairs), self.task)


def segments_of(task: str, segment: Optional[str] = None, root: Optional[PathLike] = None) -> List[LabelledPairs]:
    """The segments of a task's corpus that are for evaluation, or one of all its segments.

    Raises
    ------
    UsageError
        If there is no such task or segment.
    DataError, DownloadError
        If a file is missing and cannot be downloaded.
    """
    found = find_task(task)
    names = [segment] if segment else [name for use in _USES for name in found.segments(use)]
    if not found.files:
        raise UsageError(f"task {found.name} has no corpus: give --file F")
    if not names:
        there = ", ".join(found.files)
        raise UsageError(f"task {found.name} has no dev or test segment: name one of {there} with --segment")
    return [LabelledPairs(segment_source(found, name, root), f"{found.name}-{name}") for name in names]


def read(
    encoder: PairEncoder,
    pairs: LabelledPairs,
    model: Classes,
    task: Optional[str] = None,
    on_bad_row: str = "error",
    columns: Assignments = None,
    labels: Assignments = None,
    by: Sequence[str] = (),
) -> Read:
    """Read and encode pairs to score.

    Parameters
    ----------
    encoder : PairEncoder
        The model's.
    pairs : LabelledPairs
    model : Classes
        Of the model.
    task : str or None
        The task that the pairs are of; default the model's.
    on_bad_row, columns, labels
        As :class:`.PairReader` takes them.
    by : sequence of str
        Columns to score by.

    Raises
    ------
    DataError
        If the pairs cannot be used, or a column to score by is missing or has too many values.
    """
    given = find_task(task).classes if task else model
    is_own = sorted(given.schema.labels) == sorted(model.schema.labels)
    schema = schema_for_files(given) if is_own else given.schema
    by = list(dict.fromkeys(by))
    source = pairs.source
    found = encode_file(encoder, source.files, on_bad_row, True, columns, labels, schema, source.only, by)
    fields = {name: _texts(pairs, name, values) for name, values in zip(by, found.others)}
    return Read(pairs, found, fields, given if is_own else model, None if is_own else given)


def _texts(pairs: LabelledPairs, name: str, values: Sequence[object]) -> List[str]:
    """The values of a column as text."""
    known: Dict[str, str] = {}  # one str for each value
    texts = [known.setdefault(text, text) for text in map(_text, values)]
    if len(known) > _MOST_VALUES:
        raise DataError(
            f"{pairs}: column {name} has {len(known):,} different values, more than the {_MOST_VALUES} of a table: "
            "choose one that divides the pairs into groups"
        )
    return texts


def _text(value: Union[str, object]) -> str:
    text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
    return text.strip() or _NO_VALUE
