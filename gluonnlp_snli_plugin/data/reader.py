"""Reads pairs from files in the formats of SNLI, MultiNLI and GLUE's MNLI."""

import codecs
import itertools
import re
from typing import Dict, List

import orjson

from ..errors import DataError, UsageError
from ..files import open_lines

LABELS = ("entailment", "contradiction", "neutral")
NO_GOLD_LABEL = "-"  # the annotators did not agree
_ANNOTATOR = re.compile("label[0-9]")
_PAIRS_AT_ONCE = 2048
_BYTES_AT_ONCE = 1 << 18  # a few hundred rows, which the processor's cache can hold


class PairReader:
    """Iterates over the pairs of a file: JSON lines (``.jsonl``), or a tab-separated table (``.txt``, ``.tsv``).

    Yields ``(premise, hypothesis, label)``, three str, and counts what it leaves out; :meth:`columns` yields the same
    pairs, many at a time. Only the fields ``sentence1``, ``sentence2`` and ``gold_label`` are looked at, which SNLI,
    MultiNLI and GLUE's MNLI share; quotes in a table stand for themselves, as in all three.

    Parameters
    ----------
    path : str or Path
        The file; its name says the format (``.txt`` and ``.tsv`` are tab-separated, all else is JSON lines).
    on_bad_row : {'error', 'skip'}, default 'error'
        What to do with a row that cannot be used.
    labelled : bool, default True
        Whether rows must have a label. Without, a missing label is None and rows without gold label are kept.
    lines : iterable of bytes or None
        Lines to read instead of the file's, of which `path` is then only the name (standard input).

    Attributes
    ----------
    num_unlabelled : int
        Rows left out because their gold label is ``-``.
    num_bad : int
        Rows left out because of ``on_bad_row='skip'``.
    """

    def __init__(self, path, on_bad_row="error", labelled=True, lines=None):
        if on_bad_row not in ("error", "skip"):
            raise UsageError(f"on_bad_row is {on_bad_row!r}; it can be 'error' or 'skip'")
        self.path = path
        self.num_unlabelled = 0
        self.num_bad = 0
        self._skip_bad = on_bad_row == "skip"
        self._labelled = labelled
        self._lines = lines

    def __iter__(self):
        for part in self._parts():
            yield from zip(*part) if isinstance(part, list) else part

    def columns(self):
        """Iterates over the same pairs some thousands at a time, faster.

        Yields
        ------
        premises, hypotheses, labels : list of str, of one length
        """
        gathered: List[List[str]] = [[], [], []]
        for part in self._parts():
            few = [part] if isinstance(part, list) else _transposed(part)
            for columns in few:
                for column, more in zip(gathered, columns):
                    column.extend(more)
                if len(gathered[0]) >= _PAIRS_AT_ONCE:
                    yield gathered
                    gathered = [[], [], []]
        if gathered[0]:
            yield gathered

    def _parts(self):
        """The pairs of some lines after the other, as three columns (a list) or as rows still to be read."""
        self.num_unlabelled = self.num_bad = 0
        parse, number = _parse_json, 1
        for lines in self._blocks():
            if number == 1:
                remaining = iter(lines)
                first = next(remaining, b"")
                if first.startswith(codecs.BOM_UTF8):
                    first = first[len(codecs.BOM_UTF8) :]
                if is_table(self.path):
                    parse, first = self._table_parser(first), b""
                lines = [first, *remaining] if isinstance(lines, list) else itertools.chain([first], remaining)
            columns = self._json_columns(lines) if isinstance(lines, list) and parse is _parse_json else None
            yield self._rows(lines, number, parse) if columns is None else columns
            number += len(lines) if isinstance(lines, list) else 0

    def _blocks(self):
        """Lists of lines; or the lines from elsewhere, which may be yet to come."""
        if self._lines is not None:
            yield iter(self._lines)
            return
        try:
            with open_lines(self.path, pipe=True) as file:
                yield file.readlines(_BYTES_AT_ONCE)
                yield from iter(lambda: file.readlines(_BYTES_AT_ONCE), [])
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise DataError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None

    def _json_columns(self, lines):
        """What :meth:`_rows` reads, without a Python loop over the rows; None if a line is out of the ordinary."""
        if not self._labelled:
            return None
        try:
            rows = list(map(orjson.loads, lines))
            labels = [row["gold_label"] for row in rows]
            num_unlabelled = labels.count(NO_GOLD_LABEL)
            if num_unlabelled:
                rows = [row for row in rows if row["gold_label"] != NO_GOLD_LABEL]
                labels = [row["gold_label"] for row in rows]
            columns = [[row[field] for row in rows] for field in ("sentence1", "sentence2")]
            is_good = set(labels) <= set(LABELS)
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return None
        for texts in columns:
            is_good = is_good and set(map(type, texts)) <= {str} and all(texts) and not any(map(str.isspace, texts))
        if not is_good:
            return None
        self.num_unlabelled += num_unlabelled
        once: Dict[str, str] = {}  # a premise comes three times: keep one str, not three
        return [list(map(once.setdefault, columns[0], columns[0])), columns[1], labels]

    def _rows(self, lines, first_number, parse):
        """The pairs of some lines, the first of which has this number in the file."""
        previous = None
        for number, line in enumerate(lines, first_number):
            if not line.strip():
                continue
            try:
                premise, hypothesis, label = parse(line)
                if label == NO_GOLD_LABEL and self._labelled:
                    self.num_unlabelled += 1
                    continue
                self._check(premise, hypothesis, label)
            except _BadRow as error:
                if not self._skip_bad:
                    raise DataError(f"{self.path}, line {number}: {error}") from None
                self.num_bad += 1
                continue
            if premise == previous:
                premise = previous
            previous = premise
            yield premise, hypothesis, label

    def _table_parser(self, header):
        """Find the columns by the names in the header, and return what parses a row."""
        try:
            names = _decode(header).split("\t")
            columns = [names.index("sentence1"), names.index("sentence2")]
            columns.append(names.index("gold_label") if self._labelled or "gold_label" in names else None)
        except (ValueError, _BadRow):
            raise DataError(
                f"{self.path}, line 1: no header with the columns sentence1, sentence2 and gold_label: {_show(header)}"
            ) from None

        # A row of MultiNLI's may lack annotators' labels at its end.
        least = len(names) - sum(1 for _ in itertools.takewhile(_ANNOTATOR.fullmatch, reversed(names)))

        def parse(line):
            cells = _decode(line).split("\t")
            if not least <= len(cells) <= len(names):
                raise _BadRow(f"{len(cells)} columns where the header has {len(names)}")
            return tuple(None if column is None else cells[column] for column in columns)

        return parse

    def _check(self, premise, hypothesis, label):
        for field, text in (("sentence1", premise), ("sentence2", hypothesis)):
            if not isinstance(text, str):
                raise _BadRow(f"{field} is missing" if text is None else f"{field} is no text: {_show(text)}")
            if not text or text.isspace():
                raise _BadRow(f"{field} is empty")
        if self._labelled and label not in LABELS:
            what = "gold_label is missing" if label is None else f"unknown gold_label {_show(label)}"
            raise _BadRow(f"{what}; expected one of {', '.join(LABELS)}, or - for none")


def is_table(path):
    """Whether a file's name says that it is tab-separated."""
    return str(path).lower().endswith((".txt", ".tsv"))


def _transposed(rows):
    """Rows as columns, some at a time."""
    return (list(zip(*few)) for few in iter(lambda: list(itertools.islice(rows, _PAIRS_AT_ONCE)), []))


class _BadRow(Exception):
    """What is wrong with a row."""


def _parse_json(line):
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _BadRow(f"{_undecodable(line) or f'no JSON ({error})'}: {_show(line)}") from None
    if not isinstance(row, dict):
        raise _BadRow(f"no JSON object: {_show(line)}")
    return row.get("sentence1"), row.get("sentence2"), row.get("gold_label")


def _decode(line):
    problem = _undecodable(line)
    if problem:
        raise _BadRow(f"{problem}: {_show(line)}")
    return line.decode().rstrip("\r\n")


def _undecodable(line):
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"no UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x})"
    return None


def _show(value):
    """A short one-line picture of something found in a file."""
    text = repr(value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else value)
    return text if len(text) <= 60 else text[:57] + "..."
