"""SNLI's files, in both formats, as they are and as they should not be."""

import codecs
import json
import pickle

import gluonnlp as nlp
import mxnet as mx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import DataError, DownloadError, PluginError, UsageError
from gluonnlp_snli_plugin.system.filetypes import describe
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI

ROWS = [
    ["A man sleeps.", "A person rests.", "entailment"],
    ["A man sleeps.", "A man runs.", "contradiction"],
    ["Two dogs play.", "Two dogs play outside.", "neutral"],
]


def json_line(premise, hypothesis, label, **kwargs):
    return json.dumps({"sentence1": premise, "sentence2": hypothesis, "gold_label": label}, **kwargs)


def as_json(rows=ROWS, **kwargs):
    return "".join(json_line(*row, **kwargs) + "\n" for row in rows)


def as_raw_json(rows=ROWS):
    return as_json(rows, ensure_ascii=False)


def as_table(rows=ROWS):
    lines = [("gold_label", "sentence1", "sentence2"), *((label, a, b) for a, b, label in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


@pytest.fixture
def write(tmp_path):
    """Writes a file of the given name and content (str or bytes) and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("snli")


def complaint(path, **kwargs):
    """The one line that reading `path` fails with."""
    with pytest.raises(DataError) as info:
        SNLI(file=path, **kwargs)
    message = str(info.value)
    assert len(message.splitlines()) == 1 and message.isprintable()
    assert message.startswith(str(path))
    return message


# The formats --------------------------------------------------------------------------------------------------------


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


# The dataset --------------------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(write):
    return SNLI(file=write("a.jsonl", as_json()))


def test_rows_are_lists_of_premise_hypothesis_and_label(dataset):
    assert isinstance(dataset, mx.gluon.data.Dataset)
    assert len(dataset) == 3
    assert dataset[1] == ["A man sleeps.", "A man runs.", "contradiction"]
    assert type(dataset[1]) is list


def test_a_slice_is_a_list_of_rows(dataset):
    assert dataset[0:2] == ROWS[:2]
    assert dataset[::-1] == ROWS[::-1]
    assert dataset[5:] == []


def test_an_index_counts_from_the_end_too_and_has_bounds(dataset):
    assert dataset[-1] == ROWS[-1]
    for i in (3, -4):
        with pytest.raises(IndexError):
            dataset[i]


def test_gluons_dataset_methods_work(dataset):
    assert list(dataset.transform(lambda row: row[2])) == [row[2] for row in ROWS]
    assert list(dataset.filter(lambda row: row[2] != "neutral")) == ROWS[:2]
    assert list(dataset.take(1)) == ROWS[:1]
    assert [row for rank in range(2) for row in dataset.shard(2, rank)] == ROWS


def test_the_columns_can_be_had_without_the_rows(dataset):
    assert [dataset.premises, dataset.hypotheses, dataset.labels] == [list(column) for column in zip(*ROWS)]


def test_a_dataset_travels_to_another_process(dataset):
    assert list(pickle.loads(pickle.dumps(dataset))) == ROWS


# The official files -------------------------------------------------------------------------------------------------


def test_json_lines_are_preferred_to_the_table(write, tmp_path):
    write("snli_1.0_dev.txt", as_table(ROWS[1:]))
    write("snli_1.0_dev.jsonl", as_json())
    assert list(SNLI("dev", root=tmp_path)) == ROWS


def test_the_table_is_read_where_there_is_nothing_else(write, tmp_path):
    path = write("snli_1.0_test.txt", as_table())
    dataset = SNLI("test", root=str(tmp_path))
    assert list(dataset) == ROWS
    assert dataset.path == path


def test_the_files_may_be_in_the_folder_that_the_archive_unpacks_to(write, tmp_path):
    write("snli_1.0/snli_1.0_train.jsonl", as_json())
    assert list(SNLI(root=tmp_path)) == ROWS


def test_the_default_place_is_in_gluonnlps_home(write, tmp_path, monkeypatch):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    write("datasets/snli/snli_1.0_dev.jsonl", as_json())
    assert list(SNLI("dev")) == ROWS


def test_a_tilde_in_the_folder_is_the_home_of_the_user(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("corpora/snli_1.0_dev.jsonl", as_json())
    assert list(SNLI("dev", root="~/corpora")) == ROWS


def test_where_there_are_no_files_the_official_archive_is_called_for(write, tmp_path):
    write("snli_1.0.zip", "no archive")
    with pytest.raises(DownloadError, match="snli_1.0.zip"):
        SNLI("dev", root=tmp_path)


def test_a_file_by_name_needs_no_folder(write, tmp_path):
    assert list(SNLI("dev", root=tmp_path / "nothing", file=str(write("b.jsonl", as_json())))) == ROWS


@pytest.mark.parametrize("segment", ["validation", "Dev", "", None])
def test_an_unknown_segment_is_an_error_that_lists_the_segments(tmp_path, segment):
    with pytest.raises(PluginError, match="train, dev, test") as info:
        SNLI(segment, root=tmp_path)
    assert repr(segment) in str(info.value)


@pytest.mark.parametrize("name", ["SNLI", "snli"])
def test_gluonnlp_creates_the_dataset_by_name(write, tmp_path, name):
    write("snli_1.0_dev.jsonl", as_json())
    dataset = nlp.data.create(name, segment="dev", root=str(tmp_path))
    assert isinstance(dataset, SNLI)
    assert list(dataset) == ROWS


def test_gluonnlp_lists_the_dataset_with_its_segments():
    assert "snli" in nlp.data.list_datasets()
    assert nlp.data.list_datasets("SNLI") == {"segment": ["train", "dev", "test"]}
