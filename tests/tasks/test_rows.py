"""Rows of files of pairs: bad ones, unlabelled ones, and many read at once."""

import codecs

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from snli_files import ROWS, as_json, as_table, json_line

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.system.filetypes import describe
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI


def complaint(path, **kwargs):
    """The one line that reading `path` fails with."""
    with pytest.raises(DataError) as info:
        SNLI(file=path, **kwargs)
    message = str(info.value)
    assert len(message.splitlines()) == 1 and message.isprintable()
    assert message.startswith(str(path))
    return message


# Bad rows -----------------------------------------------------------------------------------------------------------

GOOD_LINE = json_line(*ROWS[0]).encode()

BAD_JSON = {
    "no JSON at all": (b"gold_label\tsentence1\tsentence2", "not valid JSON", "gold_label"),
    "broken off": (GOOD_LINE[:-5], "not valid JSON"),
    "two objects": (GOOD_LINE + GOOD_LINE, "not valid JSON"),
    "NUL bytes": (b"\x00\x00\x00", "not valid JSON", "\\x00"),
    "a raw control character": (b'{"sentence1": "a\x01b"}', "not valid JSON", "\\x01"),
    "a lone surrogate": (
        b'{"sentence1": "\\ud800", "sentence2": "b", "gold_label": "neutral"}',
        "not valid JSON",
        "ud800",
    ),
    "not a number": (b'{"sentence1": NaN}', "not valid JSON", "NaN"),
    "nested without end": (b"[" * 100_000, "not valid JSON"),
    "an array": (b'["a", "b", "neutral"]', "not a JSON object", '["a","b","neutral"]'),
    "a string": (b'"a"', "not a JSON object"),
    "null": (b"null", "not a JSON object", "null"),
    "Latin-1": ('{"sentence1": "caf\xe9"}'.encode("latin-1"), "not valid UTF-8 (byte 19 is 0xe9)", "caf"),
    "UTF-16": (json_line(*ROWS[0]).encode("utf-16"), "not valid UTF-8 (byte 1 is 0xff)"),
    "no premise": (b'{"sentence2": "b", "gold_label": "neutral"}', "sentence1 is missing"),
    "no hypothesis": (b'{"sentence1": "a", "gold_label": "neutral"}', "sentence2 is missing"),
    "null for a hypothesis": (json_line("a", None, "neutral").encode(), "sentence2 is missing"),
    "a number for a label": (json_line("a", "b", 0).encode(), "unknown gold_label 0", "--labels"),
    "a number for a premise": (json_line(5, "b", "neutral").encode(), "sentence1 is not text: 5"),
    "an empty premise": (json_line("", "b", "neutral").encode(), "sentence1 is empty"),
    "white space for a hypothesis": (json_line("a", " \t\n\u3000", "neutral").encode(), "sentence2 is empty"),
    "no label": (b'{"sentence1": "a", "sentence2": "b"}', "gold_label is missing"),
    "an unknown label": (json_line("a", "b", "maybe").encode(), "unknown gold_label 'maybe'", *LABELS),
    "an empty label": (json_line("a", "b", "").encode(), "gold_label is empty"),
    "a list for a label": (json_line("a", "b", ["neutral"]).encode(), "unknown gold_label ['neutral']"),
    "a label of several lines": (json_line("a", "b", "x\ny\u2028z").encode(), "unknown gold_label 'x\\ny\\u2028z'"),
}

BAD_TABLE = {
    "a column too few": (b"neutral\ta", "2 columns where the header has 3"),
    "a column too many": (b"neutral\ta\tb\tc", "4 columns where the header has 3"),
    "Latin-1": ("neutral\tcaf\xe9\tb".encode("latin-1"), "not valid UTF-8 (byte 12 is 0xe9)", "caf"),
    "an empty premise": (b"neutral\t\tb", "sentence1 is empty"),
    "an empty hypothesis": (b"neutral\ta\t", "sentence2 is empty"),
    "an empty label": (b"\ta\tb", "gold_label is empty"),
    "an unknown label": (b"4\ta\tb", "unknown gold_label '4'"),
}

every_bad_row = pytest.mark.parametrize(
    "name, text, line, found",
    [
        pytest.param(name, text, line, found, id=f"{name[2:]}: {what}")
        for name, text, cases in (("a.jsonl", as_json, BAD_JSON), ("a.txt", as_table, BAD_TABLE))
        for what, (line, *found) in cases.items()
    ],
)


@every_bad_row
def test_a_bad_row_is_an_error_that_says_where_and_what(write, name, text, line, found):
    good = text().encode()
    path = write(name, good + b"\n" + line + b"\n" + good)
    number = good.count(b"\n") + 2
    message = complaint(path)
    assert message.startswith(f"{path}, line {number}: ")
    assert all(part in message for part in found)
    assert len(message) < len(str(path)) + 250


@every_bad_row
def test_a_bad_row_is_counted_where_it_may_be_skipped(write, name, text, line, found):
    path = write(name, text().encode() + line + b"\n" + line)
    dataset = SNLI(file=path, on_bad_row="skip")
    assert list(dataset) == ROWS
    assert (dataset.num_bad, dataset.num_unlabelled) == (2, 0)


def test_a_very_long_bad_line_gives_a_short_message(write):
    assert len(complaint(write("a.jsonl", b"x" * 3_000_000))) < 1000


@pytest.mark.parametrize(
    "header",
    ["gold_label\tsentence1\n", "neutral\ta\tb\n", "x,y\n", "\ufffe\n", b"gold_label\tsentence1\tsentence2\xff"],
    ids=["column missing", "no header", "commas", "noise", "not UTF-8"],
)
@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
def test_a_table_without_its_columns_is_always_an_error(write, header, on_bad_row):
    message = complaint(write("a.txt", header), on_bad_row=on_bad_row)
    assert ", line 1: header: no" in message


@pytest.mark.parametrize("content", ["", "\n", "\n \n"])
def test_a_table_that_is_empty_has_no_header(write, content):
    assert complaint(write("a.txt", content)).endswith(
        "a.txt is empty: there is no header with the names of the columns"
    )


@pytest.mark.parametrize("name, content", [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.txt", as_table([]))])
def test_a_file_without_rows_is_an_empty_dataset(write, name, content):
    dataset = SNLI(file=write(name, content))
    assert len(dataset) == 0 and list(dataset) == []


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    assert "No such file" in complaint(tmp_path / "nothing.jsonl", on_bad_row="skip")


def test_a_folder_is_no_file(tmp_path):
    assert "Is a directory" in complaint(tmp_path)


def test_there_are_two_ways_with_bad_rows():
    with pytest.raises(UsageError, match="on_bad_row is 'ignore'; it can be 'error' or 'skip'"):
        PairReader("a.jsonl", on_bad_row="ignore")


@given(
    st.lists(st.sampled_from([GOOD_LINE, b"gold_label\tsentence1\tsentence2", b"\n"]) | st.binary(max_size=20)),
    st.sampled_from(["a.jsonl", "a.txt"]),
    st.sampled_from(["error", "skip"]),
)
@settings(max_examples=80)
def test_any_bytes_are_rows_or_an_error_of_one_line(folder, parts, name, on_bad_row):
    path = folder / name
    path.write_bytes(b"\n".join(parts))
    try:
        rows = list(SNLI(file=path, on_bad_row=on_bad_row))
    except DataError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(len(row) == 3 and row[2] in LABELS for row in rows)


# The reader ---------------------------------------------------------------------------------------------------------


def test_an_unlabelled_pair_has_no_label(write):
    path = write("a.jsonl", '{"sentence1": "a", "sentence2": "b"}\n' + json_line("c", "d", "-"))
    reader = PairReader(path, labelled=False)
    assert list(reader) == [("a", "b", None), ("c", "d", None)]
    assert reader.num_unlabelled == 0


def test_an_unlabelled_table_needs_no_column_for_the_label(write):
    path = write("a.txt", "sentence2\tsentence1\nb\ta\n")
    assert list(PairReader(path, labelled=False)) == [("a", "b", None)]


def test_lines_from_elsewhere_are_called_by_the_name_they_are_given():
    reader = PairReader("standard input", lines=[GOOD_LINE, b"", b"oops"])
    with pytest.raises(DataError, match="^standard input, line 3: not valid JSON"):
        list(reader)


def test_lines_from_elsewhere_are_read_as_they_come():
    lines = iter([GOOD_LINE, b"oops"])
    assert next(iter(PairReader("standard input", lines=lines))) == tuple(ROWS[0])
    assert next(lines) == b"oops"


def test_reading_twice_counts_once(write):
    reader = PairReader(write("a.jsonl", as_json([*ROWS, ["a", "b", "-"], ["", "b", "neutral"]])), on_bad_row="skip")
    assert list(reader) == list(reader)
    assert (reader.num_unlabelled, reader.num_bad) == (1, 1)


# Many rows at once --------------------------------------------------------------------------------------------------

ODD_LINES = [*(line for line, *_ in BAD_JSON.values() if len(line) < 1000), b"", b"  ", b"\r"]
LINES = st.sampled_from([GOOD_LINE] * 5) | st.sampled_from(
    [
        *ODD_LINES,
        json_line("A.", "B.", "-").encode(),
        json_line("", None, "-").encode(),
        b'{"gold_label": "-"}',
        json_line("\u00e9\u2028", "B\u0085.", "neutral", ensure_ascii=False).encode(),
        GOOD_LINE + b"\r",
        codecs.BOM_UTF8 + GOOD_LINE,
    ]
)


def all_of(pairs, reader):
    """Rows up to the first bad one, what was counted, and what is said about it."""
    rows, message = [], None
    try:
        for row in pairs(reader):
            rows.append(tuple(row))
    except DataError as error:
        message = str(error)
    return rows, reader.num_unlabelled, reader.num_bad, message


def from_columns(reader):
    for columns in reader.columns():
        yield from zip(*columns)


@given(st.lists(LINES, max_size=12), st.sampled_from(["error", "skip"]), st.integers(1, 300), st.integers(1, 5))
@settings(max_examples=200)
def test_many_rows_at_once_are_read_as_one_by_one(folder, lines, on_bad_row, size, pairs_at_once):
    path, content = folder / "b.jsonl", b"\n".join(lines)
    assume(not describe(content))  # more of a file than of lines is looked at for that
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gluonnlp_snli_plugin.data.reader.pairs._BYTES_AT_ONCE", size)
        patch.setattr("gluonnlp_snli_plugin.data.reader.pairs._PAIRS_AT_ONCE", pairs_at_once)
        with open(path, "rb") as file:
            expected = all_of(iter, PairReader(path, on_bad_row, lines=file))
        by_row, by_column = (all_of(way, PairReader(path, on_bad_row)) for way in (iter, from_columns))
    assert by_row == expected
    assert by_column[1:] == expected[1:]
    if expected[-1] is None:
        assert by_column == expected


def test_columns_can_be_had_of_a_table_and_of_lines_from_elsewhere(write):
    for reader in (
        PairReader(write("a.txt", as_table())),
        PairReader("standard input", lines=as_json().encode().splitlines()),
        PairReader(write("a.jsonl", as_json())),
    ):
        assert [list(map(list, columns)) for columns in reader.columns()] == [list(map(list, zip(*ROWS)))]


def test_columns_of_unlabelled_rows_have_none(write):
    reader = PairReader(write("a.jsonl", '{"sentence1": "a", "sentence2": "b"}'), labelled=False)
    assert list(reader.columns()) == [[["a"], ["b"], [None]]]


def test_only_so_many_rows_are_held(write, monkeypatch):
    monkeypatch.setattr("gluonnlp_snli_plugin.data.reader.pairs._PAIRS_AT_ONCE", 10)
    monkeypatch.setattr("gluonnlp_snli_plugin.data.reader.pairs._BYTES_AT_ONCE", 300)
    path = write("a.jsonl", as_json(ROWS * 30))
    sizes = [len(columns[0]) for columns in PairReader(path).columns()]
    assert sum(sizes) == 90 and max(sizes) < 20
