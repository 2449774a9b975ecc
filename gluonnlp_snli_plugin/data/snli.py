"""The SNLI corpus: ``nlp.data.create('SNLI', segment='dev')``, and every file with the same three fields.

Bowman et al., "A large annotated corpus for learning natural language inference", EMNLP 2015.
"""

import codecs
import itertools
import os
from pathlib import Path
from typing import Any, Dict

import mxnet as mx
import orjson
from gluonnlp.base import get_home_dir

from .. import registry
from ..errors import DataError, UsageError
from .download import download_snli

LABELS = ("entailment", "contradiction", "neutral")
SEGMENTS = ("train", "dev", "test")
NO_GOLD_LABEL = "-"  # the annotators did not agree

# Where segments come from that are asked for without file and root: a folder, or files by segment. Where some files
# are named, a segment that is not holds no pairs.
SOURCE: Dict[str, Any] = {"root": None, "files": None}


class PairReader:
    """Iterates over the pairs of a file in SNLI's format: JSON lines (``.jsonl``), or a tab-separated table (``.txt``).

    Yields ``(premise, hypothesis, label)``, three str, and counts what it leaves out. Only the fields ``sentence1``,
    ``sentence2`` and ``gold_label`` are looked at.

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
        self.num_unlabelled = self.num_bad = 0
        if self._lines is not None:
            yield from self._pairs(self._lines)
            return
        try:
            with open(self.path, "rb") as lines:
                yield from self._pairs(lines)
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror or error}") from None

    def _pairs(self, lines):
        lines = iter(lines)
        first = next(lines, b"")
        if first.startswith(codecs.BOM_UTF8):
            first = first[len(codecs.BOM_UTF8) :]
        lines = enumerate(itertools.chain([first], lines), 1)
        is_table = str(self.path).lower().endswith((".txt", ".tsv"))
        parse = self._table_parser(lines) if is_table else _parse_json
        previous = None
        for number, line in lines:
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
            if premise == previous:  # comes three times in a row: keep one str, not three
                premise = previous
            previous = premise
            yield premise, hypothesis, label

    def _table_parser(self, lines):
        """Find the columns by the names in the header, and return what parses a row."""
        _, header = next(lines)
        try:
            names = _decode(header).split("\t")
            columns = [names.index("sentence1"), names.index("sentence2")]
            columns.append(names.index("gold_label") if self._labelled or "gold_label" in names else None)
        except (ValueError, _BadRow):
            raise DataError(
                f"{self.path}, line 1: no header with the columns sentence1, sentence2 and gold_label: {_show(header)}"
            ) from None

        def parse(line):
            cells = _decode(line).split("\t")
            if len(cells) != len(names):
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


@registry.dataset(segment=list(SEGMENTS))
class SNLI(mx.gluon.data.Dataset):
    """The Stanford Natural Language Inference corpus.

    Each row is ``[premise, hypothesis, label]`` (three str, as GluonNLP's GLUE datasets have them), with the label
    'entailment', 'contradiction' or 'neutral'. Rows without a gold label are left out.

    The official files ``snli_1.0_{train,dev,test}`` are read from `root`, ``.jsonl`` before ``.txt``; where there are
    none, the official archive (95 MB) is downloaded first.

    Parameters
    ----------
    segment : {'train', 'dev', 'test'}, default 'train'
    root : str or None
        Folder of the files, default ``$MXNET_HOME/datasets/snli``.
    file : str or None
        A file with SNLI's three fields to read instead, wherever it is.
    on_bad_row : {'error', 'skip'}, default 'error'
        Whether a row that cannot be used is an error or left out.
    url : str or None
        Where to download the archive, default the environment variable ``SNLI_URL``, else its page at Stanford NLP.

    Attributes
    ----------
    premises, hypotheses, labels : list of str
    num_unlabelled, num_bad : int
        Rows left out, as in :class:`PairReader`.

    Raises
    ------
    DataError
        For a file that cannot be read or a row that cannot be used; names file and line.
    DownloadError
        If the files are not there and cannot be downloaded.

    Examples
    --------
    >>> import gluonnlp as nlp, gluonnlp_snli_plugin
    >>> nlp.data.create('SNLI', segment='dev')[0]
    ['Two women are embracing while holding to go packages.', 'The sisters are hugging goodbye ...', 'neutral']
    """

    def __init__(self, segment="train", root=None, file=None, on_bad_row="error", url=None):
        if file is None and root is None and SOURCE["files"]:
            file = SOURCE["files"].get(segment) or os.devnull
        self.path = Path(file) if file is not None else _official_file(segment, root or SOURCE["root"], url)
        reader = PairReader(self.path, on_bad_row)
        self.premises, self.hypotheses, self.labels = [], [], []
        for premise, hypothesis, label in reader:
            self.premises.append(premise)
            self.hypotheses.append(hypothesis)
            self.labels.append(LABELS[LABELS.index(label)])
        self.num_unlabelled = reader.num_unlabelled
        self.num_bad = reader.num_bad

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return [self.premises[i], self.hypotheses[i], self.labels[i]]


def _official_file(segment, root, url):
    if segment not in SEGMENTS:
        raise UsageError(f"SNLI has no segment {segment!r}; there are {', '.join(SEGMENTS)}")
    root = Path(root if root is not None else os.path.join(get_home_dir(), "datasets", "snli")).expanduser()
    candidates = [
        folder / f"snli_1.0_{segment}.{kind}" for kind in ("jsonl", "txt") for folder in (root, root / "snli_1.0")
    ]
    if not any(path.is_file() for path in candidates):
        download_snli(root, url)
    return next((path for path in candidates if path.is_file()), candidates[0])
