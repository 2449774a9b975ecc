"""Columns and labels of files of pairs: names that are known, and names that the user gives."""

import json

import pytest
from pair_files import NAMES, ROWS, as_csv, as_json_lines, as_tsv, complaint, objects

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI, SNLITask

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
