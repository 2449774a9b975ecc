"""Files of pairs as people have them: formats, names of columns, spellings of labels."""

import csv
import gzip
import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI, SNLITask

ROWS = [
    ("A man sleeps.", 'He "rests".', "entailment"),
    ("A man sleeps.", "A man runs, then.", "contradiction"),
    ("Two dogs; play.", "Two dogs play outside.", "neutral"),
]
NAMES = ("premise", "hypothesis", "label")


@pytest.fixture
def write(tmp_path):
    """Writes a file of some content, str or bytes; returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


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


# Columns ------------------------------------------------------------------------------------------------------------

KNOWN = [
    ("sentence1", "sentence2", "gold_label"),
    ("premise", "hypothesis", "label"),
    ("premise", "hypo", "label"),
    ("sentence_A", "sentence_B", "entailment_label"),
    ("sentence_A", "sentence_B", "entailment_judgment"),
    ("Sentence1", "Sentence2", "gold_label"),
    ("PREMISE", "Hypothesis", "Label"),
    ("text_a", "text_b", "label"),
    ("text", "hypothesis", "gold"),
    ("context", "statement", "label"),
    ("evidence", "claim", "label"),
    (" sentence 1", "sentence-2 ", "gold label"),
]


@pytest.mark.parametrize("names", KNOWN, ids=",".join)
def test_columns_are_known_by_the_names_that_corpora_give_them(write, names):
    rows = [("0", *row, "x") for row in ROWS]
    names = ("pairID", *names, f"{names[0]}_parse")
    for path in (
        write("a.tsv", as_tsv(rows, names)),
        write("a.csv", as_csv(rows, names)),
        write("a.jsonl", as_json_lines(rows, names)),
    ):
        assert list(PairReader(path)) == ROWS
        assert list(PairReader(path, labelled=False)) == ROWS


@pytest.mark.parametrize("text, name", [(as_tsv, "a.tsv"), (as_csv, "a.csv"), (as_json_lines, "a.jsonl")])
def test_two_columns_that_could_be_one_are_an_error_that_names_the_option(write, text, name):
    path = write(name, text([(*row, "no") for row in ROWS], ("sentence1", "hypothesis", "label", "premise")))
    assert complaint(path).endswith(
        "'sentence1', 'premise' can each be the premise: say which with --columns premise=NAME"
    )
    assert list(PairReader(path, columns="premise=sentence1")) == ROWS
    assert list(PairReader(path, columns={"premise": "Sentence 1"})) == ROWS
    path = write(name, text([(*row, "no") for row in ROWS], ("premise", "hypothesis", "label", "gold_label")))
    assert "can each be the label" in complaint(path)
    assert list(PairReader(path, labelled=False)) == [(*row[:2], None) for row in ROWS]


@pytest.mark.parametrize("text, name", [(as_tsv, "a.tsv"), (as_csv, "a.csv"), (as_json_lines, "a.jsonl")])
def test_columns_of_other_names_can_be_named(write, text, name):
    path = write(name, text(names=("first, one", "second=2", "what")))
    assert complaint(path).endswith(
        "no premise, no hypothesis and no label among 'first, one', 'second=2', 'what': name the columns with "
        "--columns premise=NAME,hypothesis=NAME,label=NAME"
    )
    for columns in (
        '"premise=first, one", hypothesis=second=2 ,label=what',
        {"premise": "first, one", "hypothesis": "second=2", "label": "what"},
    ):
        assert list(PairReader(path, columns=columns)) == ROWS
        assert SNLI(file=path, columns=columns).premises == [row[0] for row in ROWS]
    assert "no column 'x' (--columns) among 'first, one'," in complaint(path, columns="label=x")


@pytest.mark.parametrize(
    "columns, message",
    [
        ("premise", "--columns has 'premise' where NAME=VALUE belongs; write --columns premise=NAME,"),
        ("premise=a,premise=b", "--columns names premise twice"),
        ("premise=a,hypothesis=a", "--columns names one column twice"),
        ("premiss=a", "--columns has no role 'premiss'; write --columns premise=NAME"),
        ('"premise=a', '--columns "premise=a: unexpected end'),
    ],
)
def test_columns_that_make_no_sense_are_refused(columns, message):
    with pytest.raises(UsageError) as info:
        PairReader("a", columns=columns)
    assert str(info.value).startswith(message)


@pytest.mark.parametrize("text, name", [(as_tsv, "a.tsv"), (as_csv, "a.csv"), (as_json_lines, "a.jsonl")])
def test_beside_snlis_own_columns_no_other_counts(write, text, name):
    """As in the files that ``evaluate --predictions`` writes, where ``label`` is the answer of the model."""
    names = ("sentence1", "sentence2", "gold_label", "label", "premise")
    path = write(name, text([(*row, "neutral", "x") for row in ROWS], names))
    assert list(PairReader(path)) == list(PairReader(path, labelled=False)) == ROWS
    assert {label for *_, label in PairReader(path, columns="label=label,premise=sentence1")} == {"neutral"}


def test_rows_of_json_may_have_columns_of_their_own(write):
    lines = [dict(zip(names, row)) for names in KNOWN[:3] for row in ROWS]
    path = write("a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert list(PairReader(path)) == ROWS * 3
    assert [row for part in PairReader(path).columns() for row in zip(*part)] == ROWS * 3


def test_a_header_with_one_annotator_and_rows_with_five(write):
    """GLUE's copy of SNLI."""
    names = "index captionID sentence1 sentence2 label1 gold_label".split()
    rows = [
        "0 c premise hypothesis entailment entailment".split(),
        "1 c premise other neutral contradiction contradiction contradiction contradiction contradiction".split(),
        "2 c premise third neutral entailment neutral contradiction neutral -".split(),
    ]
    path = write("train.tsv", as_tsv(rows, names))
    reader = PairReader(path)
    assert list(reader) == [("premise", "hypothesis", "entailment"), ("premise", "other", "contradiction")]
    assert reader.num_unlabelled == 1


@pytest.mark.parametrize(
    "row",
    [
        "0 c premise with hypothesis entailment entailment".split(),  # a tab within a sentence
        "0 c premise hypothesis".split(),
        "0 c premise hypothesis e e e e e e neutral".split(),
    ],
)
def test_only_annotators_labels_may_be_more_or_fewer(write, row):
    path = write("train.tsv", as_tsv([row], "index captionID sentence1 sentence2 label1 gold_label".split()))
    assert complaint(path) == f"line 2: {len(row)} columns where the header has 6"


# Labels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, name", [(as_tsv, "a.tsv"), (as_json_lines, "a.jsonl")])
def test_spellings_of_the_labels_are_known(write, text, name):
    spelled = {
        "entailment": ["ENTAILMENT", " Entailment ", "entails", "entailed", "e", "E"],
        "contradiction": ["CONTRADICTION", "contradictory", "Contradicts", "c"],
        "neutral": ["Neutral", "n", "NEUTRAL "],
    }
    labels = [(spelling, label) for label, spellings in spelled.items() for spelling in spellings]
    path = write(name, text([("a", f"b{i}", spelling) for i, (spelling, _) in enumerate(labels)]))
    for rows in (PairReader(path), SNLI(file=path)):
        assert [label for *_, label in rows] == [label for _, label in labels]
    assert {*SNLITask.label_alias.values(), *SNLITask.class_labels} == set(LABELS)


NUMBERED = [("a", "b", 0), ("a", "c", 1), ("a", "d", 2), ("a", "e", -1)]


@pytest.mark.parametrize("text, name", [(as_tsv, "a.tsv"), (as_csv, "a.csv"), (as_json_lines, "a.jsonl")])
@pytest.mark.parametrize("order", [("entailment", "neutral", "contradiction"), LABELS])
def test_numbers_mean_what_the_user_says_and_are_never_guessed(write, text, name, order):
    path = write(name, text(NUMBERED))
    message = complaint(path)
    assert "unknown label" in message and "--labels NUMBER=CLASS" in message
    assert not any(label in message for label in LABELS)  # in no order that could be copied
    for labels in (",".join(f"{i}={label}" for i, label in enumerate(order)), dict(zip("012", order))):
        reader = PairReader(path, labels=labels)
        assert [label for *_, label in reader] == list(order) and reader.num_unlabelled == 1
        assert SNLI(file=path, labels=labels).labels == list(order)


def test_what_the_user_says_comes_before_what_is_known(write):
    path = write("a.jsonl", as_json_lines([("a", "b", "Yes"), ("a", "c", "E"), ("a", "d", "?"), ("a", "e", True)]))
    reader = PairReader(path, labels='yes="Entails", e=neutral,?=-,true=c')
    assert list(reader) == [("a", "b", "entailment"), ("a", "c", "neutral"), ("a", "e", "contradiction")]
    assert reader.num_unlabelled == 1


@pytest.mark.parametrize(
    "labels, message",
    [
        ("0=entailment,0=neutral", "--labels names 0 twice"),
        ("A=entailment,a=neutral", "--labels names a twice"),
        (
            "entailment,neutral,contradiction",
            "--labels has 'entailment' where NAME=VALUE belongs; write --labels SPELL",
        ),
        ("0=maybe", "--labels 0=maybe: there is no class 'maybe', only contradiction, entailment, neutral"),
    ],
)
def test_labels_that_make_no_sense_are_refused(labels, message):
    with pytest.raises(UsageError) as info:
        PairReader("a", labels=labels)
    assert str(info.value).startswith(message)


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


# Other columns -------------------------------------------------------------------------------------------------------

GENRES = ("fiction", "", "travel")
OF_GENRE = [(*row, genre) for row, genre in zip(ROWS, GENRES)]
WITH_GENRE = (*NAMES, "Genre")


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.tsv", as_tsv(OF_GENRE, WITH_GENRE)),
        ("a.csv", as_csv(OF_GENRE, WITH_GENRE)),
        ("a.jsonl", as_json_lines(OF_GENRE, WITH_GENRE)),
        ("a.json", json.dumps(objects(OF_GENRE, WITH_GENRE))),
    ],
)
def test_the_values_of_other_columns_follow_the_label(write, name, content):
    reader = PairReader(write(name, content), others=["genre"])
    assert list(reader) == OF_GENRE
    assert [list(column) for columns in reader.columns() for column in columns][3] == list(GENRES)


def test_rows_that_are_left_out_have_no_value_either(write):
    rows = [*OF_GENRE, ("a", "b", "-", "none"), ("", "b", "neutral", "bad")]
    for name, content in (("a.tsv", as_tsv(rows, WITH_GENRE)), ("a.jsonl", as_json_lines(rows, WITH_GENRE))):
        assert list(PairReader(write(name, content), "skip", others=["Genre"])) == OF_GENRE


def test_another_column_that_is_missing_is_told_with_those_there_are(write):
    told = "no column 'gender' among 'premise', 'hypothesis', 'label', 'Genre'"
    tsv, lines = as_tsv(OF_GENRE, WITH_GENRE), as_json_lines(OF_GENRE, WITH_GENRE)
    assert complaint(write("a.tsv", tsv), others=["gender"]) == f"line 1: header: {told}"
    assert complaint(write("a.jsonl", lines), others=["gender"]) == f"line 1: {told}"
    assert complaint(write("b.jsonl", lines + as_json_lines()), others=["genre"]) == "line 4: Genre is missing"


# Cases of the workplace ---------------------------------------------------------------------------------------------


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
