"""Small files of pairs in the formats that people have."""

import csv
import io
import json

import pytest

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import DataError

ROWS = [
    ("A man sleeps.", 'He "rests".', "entailment"),
    ("A man sleeps.", "A man runs, then.", "contradiction"),
    ("Two dogs; play.", "Two dogs play outside.", "neutral"),
]
NAMES = ("premise", "hypothesis", "label")


def objects(rows=ROWS, names=NAMES):
    return [dict(zip(names, row)) for row in rows]


def as_json_lines(rows=ROWS, names=NAMES):
    return "".join(json.dumps(row) + "\n" for row in objects(rows, names))


def as_tsv(rows=ROWS, names=NAMES):
    return "".join("\t".join(map(str, row)) + "\n" for row in (names, *rows))


def as_csv(rows=ROWS, names=NAMES, **dialect):
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows([names, *rows])
    return text.getvalue()


def complaint(path, **kwargs):
    """The one line that reading fails with, without the name of the file."""
    with pytest.raises(DataError) as info:
        list(PairReader(path, **kwargs))
    message = str(info.value)
    assert message.isprintable() and message.startswith(str(path))
    return message[len(str(path)) :].lstrip(", ")
