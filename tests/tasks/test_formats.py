"""The formats of files of pairs, as they are and as editors leave them."""

import codecs
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snli_files import ROWS, as_json, as_table

from gluonnlp_snli_plugin.errors import DataError
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI


def as_raw_json(rows=ROWS):
    return as_json(rows, ensure_ascii=False)


@pytest.mark.parametrize("segment", ["dev", "test"])
def test_both_official_formats_give_the_same_rows(shared_data, segment):
    from_json, from_table = (
        SNLI(file=shared_data / "snli_format" / f"snli_1.0_{segment}.{kind}") for kind in ("jsonl", "txt")
    )
    assert list(from_json) == list(from_table)
    assert len(from_json) == 10


def test_the_first_official_rows_are_those_of_the_corpus(shared_data):
    dataset = SNLI("dev", root=shared_data / "snli_format")
    assert dataset[0] == [
        "Two women are embracing while holding to go packages.",
        "The sisters are hugging goodbye while holding to go packages after just eating lunch.",
        "neutral",
    ]
    assert set(dataset.labels) == set(LABELS)


def test_all_pairs_of_a_larger_file_are_read(shared_data):
    dataset = SNLI(file=shared_data / "snli_mini" / "snli_mini_dev.jsonl")
    assert (len(dataset), dataset.num_unlabelled, dataset.num_bad) == (1001, 0, 0)


def test_both_formats_of_the_same_rows_are_read_alike(write):
    assert list(SNLI(file=write("a.jsonl", as_json()))) == list(SNLI(file=write("a.txt", as_table()))) == ROWS


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.TXT"])
def test_the_name_says_that_a_file_is_a_table(write, name):
    assert list(SNLI(file=write(name, as_table()))) == ROWS


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a", "a.txt"])
def test_json_lines_are_recognized_under_any_name_but_a_tables(write, name):
    assert list(SNLI(file=write(name, as_json()))) == ROWS


def test_columns_are_found_by_their_names_in_any_order(write):
    table = "sentence2\tpairID\tgold_label\tsentence1\nIt is wet.\t7\tneutral\tIt rains.\n"
    assert list(SNLI(file=write("a.txt", table))) == [["It rains.", "It is wet.", "neutral"]]


def test_multinlis_own_table_is_read_with_annotators_labels_missing_at_the_end(write):
    header = "gold_label sentence1_parse sentence1 sentence2 promptID pairID genre label1 label2 label3 label4 label5"
    rows = [
        'neutral\t(ROOT (NP "x"))\tThe "new" rights.\tEveryone likes\t1\t1n\tslate\tneutral\tneutral\tneutral\t-\t-',
        "entailment\t(ROOT)\tIt's 5\" long.\tIt is long.\t2\t2e\ttelephone\tentailment",
        "-\t(ROOT)\ta\tb\t3\t3e\tfiction\tentailment\t\t\t\t",
    ]
    dataset = SNLI(file=write("multinli_1.0_train.txt", "\n".join([header.replace(" ", "\t"), *rows])))
    assert list(dataset) == [
        ['The "new" rights.', "Everyone likes", "neutral"],
        ["It's 5\" long.", "It is long.", "entailment"],
    ]
    assert dataset.num_unlabelled == 1


@pytest.mark.parametrize("annotators", [1, 5])
def test_glues_mnli_is_read_and_its_quotes_stand_for_themselves(write, annotators):
    labels = [f"label{i + 1}" for i in range(annotators)]
    names = ["index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"]
    names += ["sentence1_parse", "sentence2_parse", "sentence1", "sentence2", *labels, "gold_label"]
    row = [
        "0",
        "63735",
        "63735n",
        "slate",
        *"( a ) ( b ) (R) (R)".split()[:4],
        '"Well, he said',
        'a 12" b ',
        *labels,
        "neutral",
    ]
    dataset = SNLI(file=write("dev_matched.tsv", "\n".join(map("\t".join, [names, row]))))
    assert list(dataset) == [['"Well, he said', 'a 12" b ', "neutral"]]
    with pytest.raises(DataError, match="line 1: header: no label among 'index', .*: name the column with --columns"):
        SNLI(file=write("test_matched.tsv", "\n".join(map("\t".join, [names[:10], row[:10]]))))


def test_multinlis_json_lines_are_read(write):
    row = {"annotator_labels": ["neutral"], "genre": "slate", "gold_label": "neutral", "pairID": "1n", "promptID": "1"}
    row.update(sentence1="a", sentence1_parse="(a)", sentence2="b", sentence2_binary_parse="( b )")
    assert list(SNLI(file=write("multinli_1.0_dev_matched.jsonl", json.dumps(row)))) == [["a", "b", "neutral"]]


def test_other_fields_are_of_no_interest(write):
    row = {"labels": [], "sentence2": "b", "x": {"gold_label": "-"}, "gold_label": "neutral", "sentence1": "a"}
    assert list(SNLI(file=write("a.jsonl", json.dumps(row)))) == [["a", "b", "neutral"]]


@pytest.mark.parametrize("name, text", [("a.jsonl", as_json), ("a.txt", as_table)])
def test_rows_without_a_gold_label_are_left_out_and_counted(write, name, text):
    rows = [*ROWS[:1], ["A.", "B.", "-"], *ROWS[1:], ["", "", "-"]]
    dataset = SNLI(file=write(name, text(rows)))
    assert list(dataset) == ROWS
    assert (dataset.num_unlabelled, dataset.num_bad) == (2, 0)


@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n  \n"),
        lambda text: codecs.BOM_UTF8.decode() + text,
        lambda text: text + "\r\n\n",
    ],
    ids=["no newline at the end", "CRLF", "blank lines", "byte order mark", "blank lines at the end"],
)
@pytest.mark.parametrize("name, text", [("a.jsonl", as_json), ("a.txt", as_table)])
def test_what_editors_do_to_a_file_does_no_harm(write, name, text, mangle):
    dataset = SNLI(file=write(name, mangle(text())))
    assert list(dataset) == ROWS
    assert dataset.num_bad == 0


@pytest.mark.parametrize("separator", ["\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
@pytest.mark.parametrize("name, text", [("a.jsonl", as_raw_json), ("a.txt", as_table)])
def test_only_a_newline_ends_a_line(write, name, text, separator):
    rows = [[f"A man{separator}sleeps.", f"He{separator}rests.", "entailment"]] * 2
    assert list(SNLI(file=write(name, text(rows)))) == rows


def test_escapes_in_json_are_text(write):
    rows = [['a\nb\t"c"', "null \x00 and \U0001f600", "neutral"]]
    assert list(SNLI(file=write("a.jsonl", as_json(rows)))) == rows


def test_of_duplicate_keys_the_last_one_counts(write):
    line = '{"sentence1": "old", "sentence2": "b", "gold_label": "-", "sentence1": "new", "gold_label": "neutral"}'
    assert list(SNLI(file=write("a.jsonl", line))) == [["new", "b", "neutral"]]


def test_a_very_long_line_is_read(write):
    row = ["word " * 500_000, "b", "neutral"]
    assert list(SNLI(file=write("a.jsonl", as_json([row])))) == [row]


def test_a_premise_that_comes_again_is_kept_once(write):
    dataset = SNLI(file=write("a.jsonl", as_json()))
    assert dataset.premises[0] is dataset.premises[1]


def sentences(**kwargs):
    """Text that is no white space, of characters as ``st.characters`` is told."""
    characters = st.characters(blacklist_categories=["Cs"], **kwargs)
    return st.text(characters, min_size=1, max_size=20).filter(lambda text: not text.isspace())


def rows_of(texts):
    return st.lists(st.tuples(texts, texts, st.sampled_from(LABELS)).map(list))


@given(rows_of(sentences()), st.booleans())
@settings(max_examples=60)
def test_any_text_comes_back_from_json_lines(folder, rows, ensure_ascii):
    path = folder / "a.jsonl"
    path.write_bytes(as_json(rows, ensure_ascii=ensure_ascii).encode())
    assert list(SNLI(file=path)) == rows


@given(rows_of(sentences(blacklist_characters="\t\r\n")))
@settings(max_examples=60)
def test_any_text_comes_back_from_a_table(folder, rows):
    path = folder / "a.txt"
    path.write_bytes(as_table(rows).encode())
    assert list(SNLI(file=path)) == rows
