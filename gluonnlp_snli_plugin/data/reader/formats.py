"""The formats of files: JSON lines, a JSON document, a table; told by the name of a file, or by how it begins."""

import itertools
import os
from typing import Any, List, Optional, Union

import orjson

from ...errors import DataError
from .columns import Columns, Fields, NoColumn
from .labels import Labels
from .rows import BadRow, decode, show
from .tables import Blocks, CommaSeparated, Rows, TabSeparated, Values, separator

_BY_NAME = {".jsonl": "JSON lines", ".ndjson": "JSON lines", ".tsv": "TSV", ".csv": "CSV", ".txt": "text"}
#: Where a file of predictions has the values of the columns that it was scored by.
SCORED_BY = "fields"
_PAIRS = "pairs"  # where a JSON object has many of them, as in a request to the service


def named_format(path: Any) -> Optional[str]:
    """What a file's name says about its format: 'JSON lines', 'TSV', 'CSV', 'text' for none of JSON, or None."""
    name = str(path).lower()
    name = name[: -len(".gz")] if name.endswith(".gz") else name
    return _BY_NAME.get(os.path.splitext(name)[1])


Format = Union["JsonLines", "JsonDocument", TabSeparated, CommaSeparated]


def format_of(path: Any, first: bytes, columns: Columns, labels: Labels) -> Format:
    """What reads a file.

    Parameters
    ----------
    path : str or Path
    first : bytes
        Its first line that is not blank.
    columns : Columns
    labels : Labels
    """
    named = named_format(path)
    begin = first.lstrip()[:1]
    if named == "TSV" or (named in ("text", None) and begin not in (b"{", b"[") and b"\t" in first):
        return TabSeparated(path, columns, labels)
    if named == "CSV" or (named in ("text", None) and begin not in (b"{", b"[") and _is_csv_header(first, columns)):
        return CommaSeparated(path, columns, labels, separator(first))
    if named == "text" and begin not in (b"{", b"["):
        return TabSeparated(path, columns, labels)
    if named != "JSON lines" and (begin == b"[" or (begin == b"{" and not _is_json(first))):
        return JsonDocument(path, columns)
    return JsonLines(columns)


def _is_csv_header(line: bytes, columns: Columns) -> bool:
    try:
        columns.find(cell.strip(' "') for cell in decode(line).strip().split(separator(line)))
    except BadRow:
        return False
    return True


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


class JsonLines:
    """Rows that are JSON objects, one a line; their columns are those of the first, where they have them.

    Attributes
    ----------
    fields : Fields
        The columns of the row that was read last.
    """

    reads_by_lines = True

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._usual: Optional[Fields] = None  # those of the first row that has them all
        self._others: List[str] = []  # the columns read besides
        self.fields = Fields("premise", "hypothesis", None)

    def bulk(self, lines: List[bytes]) -> Optional[List[List[Any]]]:
        """The columns of rows, all at once; None if a row is out of the ordinary."""
        try:
            rows = list(map(orjson.loads, lines))
            if self._columns.others:
                rows = list(map(self._flat, rows))
            if self._columns.only:
                rows = [row for row in rows if self._is_read(row)]
                if not rows:
                    return [[] for _ in range(3 + len(self._columns.others))]
            premise, hypothesis, label = self._usual or self._found(rows[0])
            if label is None:  # a row may have one all the same
                return None
            return [[row[name] for row in rows] for name in (premise, hypothesis, label, *self._others)]
        except (orjson.JSONDecodeError, TypeError, KeyError, BadRow):
            return None

    def _flat(self, row: Any) -> Any:
        """A row with the columns read besides that it has in :data:`SCORED_BY`, as a file of predictions does."""
        inner = row.get(SCORED_BY) if isinstance(row, dict) else None
        if not isinstance(inner, dict):
            return row
        return {**row, **{name: inner[name] for name in self._columns.called_as_others(inner)}}

    def _is_read(self, row: Any) -> bool:
        """Whether a row has the values that rows must have to be read."""
        return all(row[name] == value for name, value in self._columns.only.items())

    def _found(self, row: Any) -> Fields:
        if not isinstance(row, dict):
            raise BadRow(f"not a JSON object: {show(orjson.dumps(row))}")
        own = {name: name for name in row}  # the parser's own str, which is found without being compared
        premise, hypothesis, label = self._columns.find(row)
        self._others = [own[name] for name in self._columns.find_others(row)]
        self.fields = Fields(own[premise], own[hypothesis], None if label is None else own[label])
        if self.fields.label is not None:
            self._usual = self._usual or self.fields
        return self.fields

    def rows(self, blocks: Blocks, number: int) -> Rows:
        """The rows of some lines, the first of which has this number in the file, one by one."""
        for i, line in enumerate(itertools.chain.from_iterable(blocks), number):
            if not line.strip():
                continue
            try:
                row = self._parsed(line)
            except BadRow as error:
                yield f"line {i}", error
                continue
            yield from self.rows_of(row, f"line {i}")

    @staticmethod
    def _parsed(line: bytes) -> Any:
        try:
            return orjson.loads(line.rstrip(b"\r\n"))  # otherwise a line cut short has a line end in a string
        except orjson.JSONDecodeError as error:
            decode(line)
            raise BadRow(f"not valid JSON ({error}): {show(line)}") from None

    def rows_of(self, row: Any, where: str) -> Rows:
        """One row; or many, if it is an object that holds pairs."""
        if isinstance(row, dict) and isinstance(row.get(_PAIRS), list):
            for i, one in enumerate(row[_PAIRS], 1):
                yield from self.rows_of_one(one, f"{where}, pair {i}")
        else:
            yield from self.rows_of_one(row, where)

    def rows_of_one(self, row: Any, where: str) -> Rows:
        try:
            row = self._flat(row) if self._columns.others else row
            missing = [name for name in self._columns.only if isinstance(row, dict) and name not in row]
            if missing:
                raise BadRow(f"{missing[0]} is missing")
            if not isinstance(row, dict) or self._is_read(row):
                yield where, self._values(row)
        except BadRow as error:
            yield where, error

    def _values(self, row: Any) -> Values:
        if self._usual and isinstance(row, dict) and all(name in row for name in (*self._usual, *self._others)):
            self.fields = self._usual
        else:
            self._find_fields(row)
        return tuple(None if name is None else row[name] for name in (*self.fields, *self._others))

    def _find_fields(self, row: Any) -> None:
        try:
            self._found(row)
        except NoColumn:
            if self._usual:  # and not the names are the mistake
                missing = next(name for name in (*self._usual, *self._others) if name not in row)
                raise BadRow(f"{missing} is missing") from None
            raise


class JsonDocument:
    """Rows that are the objects of one JSON array, or of the array ``pairs`` of one object."""

    reads_by_lines = False

    def __init__(self, path: Any, columns: Columns) -> None:
        self._path = path
        self._lines = JsonLines(columns)

    @property
    def fields(self) -> Fields:
        return self._lines.fields

    def bulk(self, lines: List[bytes]) -> None:
        """None: the document has to be read as a whole."""
        return

    def rows(self, blocks: Blocks, number: int) -> Rows:
        """All rows."""
        lines = list(itertools.chain.from_iterable(blocks))
        try:
            document = orjson.loads(b"".join(lines))
        except orjson.JSONDecodeError as error:
            if not any(lines) or not lines[0].lstrip().startswith(b"{"):
                raise DataError(f"{self._path} is not valid JSON: {error}") from None
            yield from self._lines.rows([lines], number)  # more likely lines, of which the first is broken
            return
        if not isinstance(document, list):
            yield from self._lines.rows_of(document, "the JSON object")
            return
        for i, row in enumerate(document, 1):
            yield from self._lines.rows_of_one(row, f"row {i}")
