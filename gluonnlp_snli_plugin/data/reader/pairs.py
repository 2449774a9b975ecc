"""Reads pairs from files: which rows are used, which are left out, and why."""

import itertools
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ...errors import DataError, UsageError
from ..assignments import Assignments
from ..schema import PairSchema, schema_or_default
from ..source import opened, refuse_other_files
from .columns import Columns
from .formats import Format, format_of, named_format
from .labels import NO_LABEL, Labels
from .rows import BadRow, show
from .tables import Rows, Values

Pair = Tuple[Any, ...]  # premise, hypothesis, label (str or None), and the values of other columns

_PAIRS_AT_ONCE = 2048
_BYTES_AT_ONCE = 1 << 18  # a few hundred rows, which the processor's cache can hold
_BOM = b"\xef\xbb\xbf"


class PairReader:
    """Iterates over the pairs of a file: JSON lines, a JSON array, or a table with a header, tab-separated or CSV.

    Yields ``(premise, hypothesis, label)``, three str, and counts what it leaves out; :meth:`columns` yields the same
    pairs, many at a time. The name of the file says the format, or the way it begins; it may be compressed by gzip.

    Parameters
    ----------
    path : str or Path, or a list of them
        The file, or several that are read one after the other.
    on_bad_row : {'error', 'skip'}, default 'error'
        What to do with a row that cannot be used.
    labelled : bool, default True
        Whether rows must have a label. Without, a label that is missing or unknown is None, and rows without gold
        label are kept.
    lines : iterable of bytes or None
        Lines to read instead of the file's, of which `path` is then only the name (standard input).
    columns : str, mapping or None
        The names of the columns: ``{'premise': ..., 'hypothesis': ..., 'label': ...}`` or the same as ``--columns``
        has it. Those that are not given are found by the names that `schema` knows.
    labels : str, mapping or None
        The meaning of labels that `schema` does not know: ``{'0': 'entailment', ...}`` or the same as ``--labels`` has
        it.
    schema : PairSchema or None
        The labels of the task, their spellings, and the names of its columns; default those of the task SNLI.
    only : mapping of str to str, or None
        Read only the rows with these values in other columns: ``{'language': 'de'}``.
    others : sequence of str
        Names of columns whose values are yielded too, after the label, as they stand in the file.

    Attributes
    ----------
    path : str or Path
        The file, for messages; the names of several.
    num_unlabelled : int
        Rows left out because they have no gold label.
    num_bad : int
        Rows left out because of ``on_bad_row='skip'``.
    first_bad : str or None
        Where the first of them is, and what is wrong with it.
    settings : list
        All that the pairs depend on besides the content of the file, ready for JSON.

    Raises
    ------
    UsageError
        If the arguments make no sense.
    """

    def __init__(
        self,
        path: Any,
        on_bad_row: str = "error",
        labelled: bool = True,
        lines: Optional[Iterable[bytes]] = None,
        columns: Assignments = None,
        labels: Assignments = None,
        schema: Optional[PairSchema] = None,
        only: Optional[Mapping[str, str]] = None,
        others: Sequence[str] = (),
    ) -> None:
        if on_bad_row not in ("error", "skip"):
            raise UsageError(f"on_bad_row is {on_bad_row!r}; it can be 'error' or 'skip'")
        self._files = list(path) if isinstance(path, (list, tuple)) else [path]
        self.path = self._files[0] if len(self._files) == 1 else ", ".join(map(str, self._files))
        self._skip_bad = on_bad_row == "skip"
        self._labelled = labelled
        self._lines = lines
        schema = schema_or_default(schema)
        self._columns = Columns(schema, columns, labelled, only, others)
        self._labels = Labels(schema, labels)
        self._classes = frozenset(schema.labels)
        given = [self._columns.given, self._labels.given]
        self.settings: List[Any] = [named_format(self._files[0]), on_bad_row, labelled, *given, schema._asdict()]
        self.settings += [dict(only)] if only else []
        self.settings += [list(others)] if others else []  # without one of them a row is a bad one
        self._begin()

    def _begin(self) -> None:
        self.num_unlabelled = 0
        self.num_bad = 0
        self.first_bad: Optional[str] = None

    def __iter__(self) -> Iterator[Pair]:
        for part in self._parts():
            yield from zip(*part) if isinstance(part, list) else part

    def columns(self) -> Iterator[List[List[Any]]]:
        """Iterates over the same pairs some thousands at a time, faster.

        Yields
        ------
        premises, hypotheses, labels, *others : lists of one length
        """
        width = 3 + len(self._columns.others)
        gathered: List[List[Any]] = [[] for _ in range(width)]
        for part in self._parts():
            few: Iterable[Any] = [part] if isinstance(part, list) else _transposed(part)
            for columns in few:
                for column, more in zip(gathered, columns):
                    column.extend(more)
                if len(gathered[0]) >= _PAIRS_AT_ONCE:
                    yield gathered
                    gathered = [[] for _ in range(width)]
        if gathered[0]:
            yield gathered

    def _parts(self) -> Iterator[Union[List[List[Any]], Iterator[Pair]]]:
        """The pairs of some lines after the other, as three columns (a list) or as rows still to be read."""
        self._begin()
        for file in self._files:
            yield from self._parts_of(file)

    def _parts_of(self, file: Any) -> Iterator[Union[List[List[Any]], Iterator[Pair]]]:
        """The same for one of the files."""
        file_format: Optional[Format] = None
        number, blocks = 1, self._blocks(file)
        for block in blocks:
            if file_format is None:
                first = next((line for line in block if line.strip()), None)
                if first is None:
                    number += len(block)
                    continue
                file_format = format_of(file, first, self._columns, self._labels)
            raw = file_format.bulk(block)
            columns = raw and self._used(*raw)
            if columns:
                yield columns
            elif file_format.reads_by_lines:
                yield self._pairs(file, file_format, file_format.rows([block], number))
            else:
                yield self._pairs(file, file_format, file_format.rows(itertools.chain([block], blocks), number))
            number += len(block)
        if file_format is None and named_format(file) in ("TSV", "CSV", "text"):
            raise DataError(f"{file} is empty: there is no header with the names of the columns")

    def _blocks(self, file: Any) -> Iterator[List[bytes]]:
        """The lines of a file, some at a time; one at a time if they come from elsewhere, and may be yet to come."""
        if self._lines is None:
            with opened(file) as opened_file:
                yield from iter(lambda: opened_file.readlines(_BYTES_AT_ONCE), [])
            return
        is_first = True
        for line in self._lines:
            if is_first:
                refuse_other_files(file, line)
                line, is_first = line[len(_BOM) :] if line.startswith(_BOM) else line, False
            yield [line if line.endswith(b"\n") else line + b"\n"]

    def _used(
        self, premises: List[Any], hypotheses: List[Any], labels: List[Any], *others: List[Any]
    ) -> Optional[List[List[Any]]]:
        """What :meth:`_pairs` makes of rows, all at once; None if a row is out of the ordinary."""
        num_unlabelled = 0
        if not self._labelled:
            labels = [self._labels.get(label) or None for label in labels]
        else:
            meaning = self._meaning(labels)
            if meaning is None:
                return None
            if meaning:
                labels = list(map(meaning.__getitem__, labels))
                num_unlabelled = labels.count(NO_LABEL)
            if num_unlabelled:
                is_used = list(map(bool, labels))
                premises, hypotheses, labels, *others = (  # type: ignore[assignment]
                    list(itertools.compress(column, is_used)) for column in (premises, hypotheses, labels, *others)
                )
        for texts in (premises, hypotheses):
            if not (set(map(type, texts)) <= {str} and all(texts)) or any(map(str.isspace, texts)):
                return None
        self.num_unlabelled += num_unlabelled
        once: Dict[str, str] = {}  # a premise comes three times: keep one str, not three
        return [list(map(once.setdefault, premises, premises)), hypotheses, labels, *others]

    def _meaning(self, labels: List[Any]) -> Optional[Dict[Any, str]]:
        """What labels mean; empty if they mean what they are, None if one is unknown or of another type."""
        try:
            found = set(labels)
        except TypeError:  # a list, or an object
            return None
        if found <= self._classes and not self._labels.given:
            return {}
        kinds = set(map(type, labels))  # as True is 1 in a set
        if kinds != {str} and kinds != {int}:
            return None
        meaning = {label: self._labels.get(label) for label in found}
        return None if None in meaning.values() else meaning  # type: ignore[return-value]

    def _pairs(self, file: Any, file_format: Format, rows: Rows) -> Iterator[Pair]:
        """The rows that can be used, one by one."""
        previous: Any = None
        for where, row in rows:
            try:
                if isinstance(row, BadRow):
                    raise row
                pair = self._pair(row, file_format)
            except BadRow as error:
                if not self._skip_bad:
                    raise DataError(f"{file}, {where}: {error}") from None
                self.num_bad += 1
                where = where if len(self._files) == 1 else f"{file}, {where}"
                self.first_bad = self.first_bad or f"{where}: {error}"
                continue
            if pair is None:
                self.num_unlabelled += 1
                continue
            premise, *rest = pair
            if premise == previous:
                premise = previous
            previous = premise
            yield (premise, *rest)

    def _pair(self, values: Values, file_format: Format) -> Optional[Pair]:
        """A row that can be used, or None if it has no gold label."""
        premise, hypothesis, label, *others = values
        if self._labelled:
            label = self._labels.of(label, file_format.fields.label or "label")
            if label == NO_LABEL:
                return None
        else:
            label = self._labels.get(label) or None
        for name, text in zip(file_format.fields, (premise, hypothesis)):
            if not isinstance(text, str):
                raise BadRow(f"{name} is missing" if text is None else f"{name} is not text: {show(text)}")
            if not text or text.isspace():
                raise BadRow(f"{name} is empty")
        return (premise, hypothesis, label, *others)


def _transposed(rows: Iterable[Pair]) -> Iterator[List[Any]]:
    """Rows as columns, some at a time."""
    rows = iter(rows)
    return (list(zip(*few)) for few in iter(lambda: list(itertools.islice(rows, _PAIRS_AT_ONCE)), []))
