"""Rows of tables with a header: tab-separated, where quotes stand for themselves as in SNLI, and CSV."""

import csv
import itertools
import re
from typing import Any, Iterable, Iterator, List, Optional, Tuple, Union

from ...errors import DataError
from .columns import Columns, Fields
from .labels import Labels
from .rows import BadRow, decode

Values = Tuple[Any, ...]  # premise, hypothesis, label and other columns, as they stand in the file
Rows = Iterator[Tuple[str, Union[Values, BadRow]]]  # each with the place where it is
Blocks = Iterable[List[bytes]]  # lines of a file

_ANNOTATOR = re.compile("label[0-9]+")
_MOST_ANNOTATORS = 5  # of SNLI, MultiNLI and their copies in GLUE


class Header:
    """The columns of a table, of which those with the annotators' own labels may be incomplete in a row.

    In GLUE's SNLI there is one such column in the header and five in the rows; in MultiNLI rows may end early.

    Parameters
    ----------
    names : list of str
    columns : Columns
    labels : Labels

    Raises
    ------
    BadRow
        If columns are missing or unclear.
    """

    def __init__(self, names: List[str], columns: Columns, labels: Labels) -> None:
        self.size = len(names)
        self.fields: Fields = columns.find(names)
        wanted = [*self.fields, *columns.find_others(names)]
        self.places = [None if name is None else names.index(name) for name in wanted]
        for name in columns.only:
            if names.count(name) != 1:
                raise BadRow(f"{names.count(name) or 'no'} columns are called {name}; there must be one")
        self._only = {names.index(name): value for name, value in columns.only.items()}
        is_annotators = [bool(_ANNOTATOR.fullmatch(name.strip().lower())) for name in names]
        self._begin = is_annotators.index(True) if any(is_annotators) else 0
        self._number = len(list(itertools.takewhile(bool, is_annotators[self._begin :])))
        self._labels = labels

    def values(self, cells: List[str]) -> Values:
        """The cells that count; raises a :class:`BadRow` if there are too few or too many."""
        if len(cells) != self.size:
            cells = self._aligned(cells)
        return tuple(None if place is None else cells[place] for place in self.places)

    def is_read(self, cells: List[str]) -> bool:
        """Whether a row has the values that rows must have to be read; a row that is not complete has them."""
        return len(cells) != self.size or all(cells[place] == value for place, value in self._only.items())

    def _aligned(self, cells: List[str]) -> List[str]:
        """The cells of a row with another number of annotators' labels, as the header has them."""
        end = self._begin + self._number + len(cells) - self.size
        own = cells[self._begin : max(end, 0)]
        is_sound = self._begin <= end and self._number and len(own) <= max(self._number, _MOST_ANNOTATORS)
        if not is_sound or any(cell.strip() and self._labels.get(cell) is None for cell in own):
            raise BadRow(f"{len(cells)} columns where the header has {self.size}")
        padded = (own + [""] * self._number)[: self._number]
        return [*cells[: self._begin], *padded, *cells[end:]]


class TabSeparated:
    """Rows between tabs."""

    reads_by_lines = True

    def __init__(self, path: Any, columns: Columns, labels: Labels) -> None:
        self._path, self._columns, self._labels = path, columns, labels
        self._header: Optional[Header] = None

    @property
    def fields(self) -> Fields:
        assert self._header
        return self._header.fields

    def bulk(self, lines: List[bytes]) -> Optional[List[List[Any]]]:
        """The columns of rows, all at once; None if a row is out of the ordinary."""
        if self._header is None:
            return None
        try:
            text = b"".join(lines).decode()
        except UnicodeDecodeError:
            return None
        rows = text[: -1 if text.endswith("\n") else None].split("\n")
        if "\r" in text:
            rows = [row.rstrip("\r") for row in rows]
        cells = [row.split("\t") for row in rows]
        if set(map(len, cells)) != {self._header.size}:
            return None
        cells = list(filter(self._header.is_read, cells)) if self._columns.only else cells
        return [[None] * len(cells) if i is None else [row[i] for row in cells] for i in self._header.places]

    def rows(self, blocks: Blocks, number: int) -> Rows:
        """The rows of some lines, the first of which has this number in the file, one by one."""
        for i, line in enumerate(itertools.chain.from_iterable(blocks), number):
            if not line.strip():
                continue
            try:
                cells = decode(line).rstrip("\r\n").split("\t")
                if self._header is None:
                    self._header = Header(cells, self._columns, self._labels)
                    continue
                if not self._header.is_read(cells):
                    continue
                row: Any = self._header.values(cells)
            except BadRow as error:
                row = error
            if self._header is None:
                raise DataError(f"{self._path}, line {i}: header: {row}") from None
            yield f"line {i}", row


class CommaSeparated:
    """Rows of CSV: cells may be quoted, and then hold line ends. The header says what separates them."""

    reads_by_lines = False

    def __init__(self, path: Any, columns: Columns, labels: Labels, separator: str) -> None:
        self._path, self._columns, self._labels, self._separator = path, columns, labels, separator
        self._header: Optional[Header] = None

    @property
    def fields(self) -> Fields:
        assert self._header
        return self._header.fields

    def bulk(self, lines: List[bytes]) -> None:
        """None: where a row ends depends on the rows before it."""
        return

    def rows(self, blocks: Blocks, number: int) -> Rows:
        """All rows; see :meth:`TabSeparated.rows`."""
        lines = _Lines(blocks, number)
        cells = csv.reader(lines, delimiter=self._separator, strict=True)
        while True:
            begin = lines.number
            try:
                row: Any = next(cells)
                if not any(map(str.strip, row[:2])) and len(row) < 2:  # a blank line
                    continue
                if self._header is None:
                    self._header = Header(row, self._columns, self._labels)
                    continue
                if not self._header.is_read(row):
                    continue
                row = self._header.values(row)
            except StopIteration:
                return
            except BadRow as error:
                row = error
            except csv.Error as error:
                if "end of data" in str(error) or "field limit" in str(error):
                    what = f"a cell of more than {csv.field_size_limit():,} characters, or without end"
                    raise DataError(f"{self._path}, line {begin}: {what}: is a quote missing?") from None
                row = BadRow(f"not valid CSV ({error})")
            if self._header is None:
                raise DataError(f"{self._path}, line {begin}: header: {row}") from None
            yield f"line {begin}", row


def separator(header: bytes) -> str:
    """What separates the cells of CSV with this header."""
    if b"\t" in header:
        return "\t"
    return ";" if b";" in header and b"," not in header else ","


class _Lines:
    """Lines as text; counts them, and continues after one that is not UTF-8."""

    def __init__(self, blocks: Blocks, number: int) -> None:
        self._lines = itertools.chain.from_iterable(blocks)
        self.number = number  #: of the next line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return decode(line)
