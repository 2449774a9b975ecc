"""Files of pairs as people have them: their formats, what is told of them, and several of them."""

import csv
import gzip
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_files import NAMES, ROWS, as_csv, as_json_lines, as_tsv, complaint, objects

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import DataError
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI

# Formats ------------------------------------------------------------------------------------------------------------

FILES = {
    "a.jsonl": as_json_lines(),
    "a.ndjson": as_json_lines(),
    "a.tsv": as_tsv(),
    "a.csv": as_csv(),
    "semicolons.csv": as_csv(delimiter=";"),
    "tabs.csv": as_csv(delimiter="\t"),
    "array.json": json.dumps(objects()),
    "indented array.json": json.dumps(objects(), indent=2),
    "lines.json": as_json_lines(),
    "lines.txt": as_json_lines(),
    "tabs.txt": as_tsv(),
    "commas.txt": as_csv(),
    "no suffix, lines": as_json_lines(),
    "no suffix, an array": json.dumps(objects()),
    "no suffix, tabs": as_tsv(),
    "no suffix, commas": as_csv(),
    "request.json": json.dumps({"pairs": objects(), "explain": False}),
    "indented request.json": json.dumps({"pairs": objects()}, indent=2),
    "requests.jsonl": json.dumps({"pairs": objects()[:2]}) + "\n" + json.dumps({"pairs": objects()[2:]}),
    "blank lines before.csv": "\n \n" + as_csv(),
    "blank lines before.json": "\n \n" + json.dumps(objects()),
}
CHANGED = {
    "as it is": lambda name, content: (name, content),
    "gzipped": lambda name, content: (f"{name}.gz", gzip.compress(content)),
    "gzipped under its own name": lambda name, content: (name, gzip.compress(content)),
    "byte order mark": lambda name, content: (name, b"\xef\xbb\xbf" + content),
    "CRLF": lambda name, content: (name, content.replace(b"\r", b"").replace(b"\n", b"\r\n")),
}


@pytest.mark.parametrize("change", CHANGED)
def test_every_format_is_read(write, change):
    for name, content in FILES.items():
        path = write(*CHANGED[change](name, content.encode()))
        assert list(PairReader(path)) == ROWS, name
        assert [row for part in PairReader(path).columns() for row in zip(*part)] == ROWS, name


@pytest.mark.parametrize("name", FILES)
def test_lines_from_elsewhere_are_read_like_those_of_a_file_without_suffix(name):
    if name not in ("a.tsv", "tabs.csv"):  # which quotes stand for themselves in
        lines = FILES[name].encode().split(b"\n")
        assert list(PairReader("standard input", labelled=False, lines=iter(lines))) == ROWS


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20).filter(
    str.strip
)


@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(LABELS)), min_size=1, max_size=4), data=st.data())
def test_any_text_comes_back_from_csv_and_from_a_json_array(tmp_path_factory, rows, data):
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    path.write_bytes(as_csv(rows, quoting=quoting).encode())
    assert list(PairReader(path)) == rows
    path.write_bytes(json.dumps(objects(rows)).encode())
    assert list(PairReader(path.rename(path.with_suffix(".json")))) == rows


def test_a_cell_of_csv_may_hold_line_ends_and_rows_are_named_by_their_first_line(write):
    path = write("a.csv", 'premise,hypothesis,label\n"A\nB","C, ""D""",neutral\n\nx,y\n')
    assert complaint(path) == "line 5: 2 columns where the header has 3"
    reader = PairReader(path, "skip")
    assert list(reader) == [("A\nB", 'C, "D"', "neutral")]
    assert (reader.num_bad, reader.first_bad) == (1, "line 5: 2 columns where the header has 3")


@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
def test_a_quote_that_is_never_closed_is_an_error_not_one_bad_row(write, on_bad_row):
    path = write("a.csv", 'premise,hypothesis,label\na,b,neutral\n"a,b,neutral\n' + "a,b,neutral\n" * 50)
    assert complaint(path, on_bad_row=on_bad_row).startswith("line 3: a cell of more than 131,072 characters, or with")


def test_bad_rows_of_csv_are_named_and_left_out_alone(write):
    content = as_csv().encode() + b'a,"b"c,neutral\n' + "caf\xe9,b,neutral\n".encode("latin-1") + b"A.,B.,neutral\n"
    path = write("a.csv", content)
    assert complaint(path).startswith("line 5: not valid CSV (")
    reader = PairReader(path, "skip")
    assert list(reader) == [*ROWS, ("A.", "B.", "neutral")] and reader.num_bad == 2


def test_a_row_of_an_array_is_named_by_its_number(write):
    path = write("a.json", json.dumps([*objects(), {"premise": "a", "label": "neutral"}]))
    assert complaint(path) == "row 4: hypothesis is missing"
    path = write("b.jsonl", as_json_lines() + json.dumps({"pairs": [*objects(), 7]}))
    assert complaint(path) == "line 4, pair 4: not a JSON object: '7'"


def test_a_broken_array_is_an_error_and_a_broken_first_line_a_bad_row(write):
    assert complaint(write("a.json", json.dumps(objects())[:-1]), on_bad_row="skip").startswith("is not valid JSON: ")
    reader = PairReader(write("b.json", "{oops\n" + as_json_lines()), "skip")
    assert list(reader) == ROWS and reader.first_bad.startswith("line 1: not valid JSON (")


@pytest.mark.parametrize(
    "content, kind",
    [
        (as_tsv().encode("utf-16"), "UTF-16 text"),
        (b"PAR1\x15\x04\x15", "a Parquet file"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00" + bytes(16) + b"[Content_Types].xml", "an office document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page"),
        (gzip.compress(b"PAR1\x15\x04\x15", mtime=0), "a Parquet file"),
    ],
    ids=["UTF-16", "Parquet", "spreadsheet", "LFS", "HTML", "Parquet, gzipped"],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.tsv", "a.csv", "a.json", "a"])
def test_a_file_that_is_something_else_is_named_for_what_it_is(write, name, content, kind):
    assert complaint(write(name, content), on_bad_row="skip").startswith(f"is {kind}")


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-9], lambda whole: whole[:30] + b"x" * 20 + whole[50:]],
    ids=["cut short", "overwritten"],
)
def test_a_damaged_gzip_file_is_named(write, damage):
    path = write("a.jsonl.gz", damage(gzip.compress(as_json_lines(ROWS * 9).encode())))
    assert complaint(path, on_bad_row="skip").startswith("is a damaged gzip file: ")


# What is told -------------------------------------------------------------------------------------------------------


def test_the_dataset_tells_what_it_leaves_out(write, caplog):
    path = write("a.jsonl", as_json_lines([("a", "b", "-"), *ROWS, ("a", "b", "maybe"), ("a", "", "neutral")]))
    with caplog.at_level(logging.INFO, "gluonnlp_snli_plugin"):
        dataset = SNLI(file=path, on_bad_row="skip")
    assert len(dataset) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 of 6 rows cannot be used and are left out; first, line 5: unknown label 'maybe'; expected one of "
        "entailment, contradiction, neutral, or - for none (other spellings: --labels)",
        f"{path}: 1 of 6 rows have no gold label and are left out",
    ]


# Several files, and some rows of them --------------------------------------------------------------------------------

OF_LANGUAGES = [(*row, language) for row in ROWS for language in ("de", "fr")]
WITH_LANGUAGE = (*NAMES, "language")


@pytest.mark.parametrize("kind, text", [("jsonl", as_json_lines), ("tsv", as_tsv), ("csv", as_csv)])
def test_several_files_are_read_one_after_the_other(write, kind, text):
    files = [write(f"{i}.{kind}", text([row])) for i, row in enumerate(ROWS)]
    reader = PairReader(files)
    assert list(reader) == list(reader) == ROWS
    (columns,) = reader.columns()
    assert list(zip(*columns)) == ROWS


def test_what_is_wrong_in_one_of_several_files_names_it(write):
    files = [write("a.jsonl", as_json_lines()), write("b.jsonl", as_json_lines() + "oops")]
    with pytest.raises(DataError, match=r"b\.jsonl, line 4: not valid JSON"):
        list(PairReader(files))
    reader = PairReader(files, on_bad_row="skip")
    assert list(reader) == ROWS * 2 and reader.num_bad == 1
    assert reader.first_bad.startswith(f"{files[1]}, line 4: ")
    with pytest.raises(DataError, match=r"c\.jsonl: No such file"):
        list(PairReader([*files[:1], "c.jsonl"]))


@pytest.mark.parametrize("end", ["", "\n \n"], ids=["all at once", "row by row"])
@pytest.mark.parametrize("kind, text", [("jsonl", as_json_lines), ("tsv", as_tsv), ("csv", as_csv), ("json", None)])
def test_rows_are_chosen_by_the_value_of_another_column(write, kind, text, end):
    text = text or (lambda rows, names: json.dumps(objects(rows, names)))
    path = write(f"a.{kind}", text(OF_LANGUAGES, WITH_LANGUAGE) + end)
    assert list(PairReader(path, only={"language": "fr"})) == ROWS
    assert list(PairReader(path, only={"language": "en"})) == []
    assert len(list(PairReader(path))) == 6


def test_rows_that_are_not_chosen_may_be_bad_and_are_not_counted(write):
    rows = [*OF_LANGUAGES, ("", "b", "maybe", "de"), ("a", "b", "-", "de")]
    for name, text in (("a.jsonl", as_json_lines), ("a.tsv", as_tsv)):
        reader = PairReader(write(name, text(rows, WITH_LANGUAGE)), only={"language": "fr"})
        assert list(reader) == ROWS and (reader.num_bad, reader.num_unlabelled) == (0, 0)


def test_a_file_without_the_column_that_chooses_is_an_error(write):
    assert complaint(write("a.jsonl", as_json_lines()), only={"language": "fr"}) == "line 1: language is missing"
    told = "line 1: header: no columns are called language; there must be one"
    assert complaint(write("a.tsv", as_tsv()), only={"language": "fr"}) == told


# Files that people have ---------------------------------------------------------------------------------------------


def test_the_cases_of_files_that_people_have(shared_data):
    cases = shared_data.parent / "cases"
    if not cases.is_dir():
        pytest.skip(f"{cases} is missing")

    def labels_of(name, **kwargs):
        return [label[0] for *_, label in PairReader(cases / name, **kwargs)]

    assert labels_of("08_glue_snli/train.tsv") == ["e", "c"]
    assert labels_of("09_fields_and_labels/contradictory.tsv") == ["e", "c", "n"]
    assert labels_of("09_fields_and_labels/upper.tsv") == ["e", "c", "n"]
    assert labels_of("09_fields_and_labels/label.json") == ["e"]
    numbers = "0=entailment,1=neutral,2=contradiction"
    assert labels_of("09_fields_and_labels/numbers.jsonl", labels=numbers) == ["e", "c", "n"]
    assert "--labels NUMBER=CLASS" in complaint(cases / "09_fields_and_labels/numbers.jsonl")
    assert labels_of("16_messages/pairs.csv") == ["e"]
    assert complaint(cases / "16_messages/utf16.tsv") == "is UTF-16 text (convert it to UTF-8)"
    assert len(labels_of("07_skip_drops_a_class/train.jsonl")) == 12
