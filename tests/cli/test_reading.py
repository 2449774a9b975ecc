"""Commands that read files of pairs: what they take, and what they tell of the rows that are lost."""

import csv
import io
import json
import shutil

import pytest

from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.data import cache


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory):
    """A run to which ``evaluate`` adds its answers."""
    return shutil.copytree(str(tiny_run), str(tmp_path_factory.mktemp("reading") / "out"))


@pytest.fixture
def say(capsys):
    """Runs a command; returns its status, its output and the lines that it says besides."""

    def run(*arguments):
        status = main(list(map(str, arguments)))
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


PAIRS = [("The dog is running.", "a dog is running"), ('The "cat", it is.', "not red")]


def as_csv(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


FILES = {
    "lines.jsonl": "".join(json.dumps({"premise": a, "hypothesis": b}) + "\n" for a, b in PAIRS),
    "labelled.jsonl": "".join(json.dumps({"premise": a, "hypothesis": b, "label": 7}) + "\n" for a, b in PAIRS),
    "array.json": json.dumps([{"sentence1": a, "sentence2": b} for a, b in PAIRS], indent=1),
    "request.json": json.dumps({"pairs": [{"premise": a, "hypothesis": b} for a, b in PAIRS]}),
    "table.tsv": "".join("\t".join(row) + "\n" for row in [("Sentence_A", "Sentence_B"), *PAIRS]),
    "table.csv": as_csv([("hypo", "premise"), *(pair[::-1] for pair in PAIRS)]),
}


@pytest.mark.parametrize("name", FILES)
def test_predict_takes_what_the_service_takes_and_every_file_of_pairs(say, trained, tmp_path, monkeypatch, name):
    (tmp_path / name).write_text(FILES[name])
    outputs = [say("predict", trained, "--file", tmp_path / name)]
    with open(tmp_path / name) as file:
        monkeypatch.setattr("sys.stdin", file)
        outputs.append(say("predict", trained, "--file", "-"))
    for status, out, said in outputs:
        answers = [json.loads(line) for line in out.splitlines()]
        assert status == 0 and said == []
        assert [(answer["sentence1"], answer["sentence2"]) for answer in answers] == PAIRS


def test_predict_tells_what_it_leaves_out_and_what_it_cuts(say, trained, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(as_csv([("one", "other"), *PAIRS, ("a", ""), ("dog " * 99, "cat"), ("b", "")]))
    status, out, said = say("predict", trained, "--file", path, "--columns", "premise=one,hypothesis=other")
    assert (status, said) == (1, [f"gluonnlp-snli: error: {path}, line 4: other is empty"])
    named = ("--file", path, "--columns", "premise=one,hypothesis=other", "--on-bad-row", "skip")
    status, out, said = say("predict", trained, *named)
    assert status == 0 and len(out.splitlines()) == 3
    assert said == [
        f"{path}: 2 of 5 rows cannot be used and are left out; first, line 4: other is empty",
        f"{path}: 1 of 3 pairs (33.3%) are longer than 32 tokens (max_len) and are cut",
    ]


def test_predict_tells_that_a_single_pair_was_cut(say, trained):
    status, out, said = say("predict", trained, "--premise", "dog " * 99, "--hypothesis", "a cat")
    assert status == 0 and json.loads(out)["label"]
    assert said == ["the pair: 1 of 1 pairs (100.0%) are longer than 32 tokens (max_len) and are cut"]


def test_evaluate_says_nothing_of_a_file_that_is_used_as_a_whole(say, trained, pairs_file):
    status, _, said = say("evaluate", trained, "--file", pairs_file)
    assert (status, said) == (0, [])


@pytest.mark.parametrize("smallest", [0, 1 << 20], ids=["with the cache", "without"])
def test_evaluate_tells_what_it_leaves_out_from_the_cache_as_from_the_file(
    say, trained, pairs_file, tmp_path, monkeypatch, smallest
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(cache, "_SMALLEST_FILE", smallest)
    numbers = {"entailment": 1, "neutral": 0, "contradiction": 2}
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    rows = [(row["sentence1"], row["sentence2"], numbers[row["gold_label"]]) for row in rows]
    rows[5:5] = [("a", "b", -1), ("a", "b", 9), ("", "b", 0), ("dog " * 99, "cat", 0)]
    path = tmp_path / "pairs.csv"
    path.write_text(as_csv([("one", "two", "three"), *rows]))
    explained = ("--columns", "premise=one,hypothesis=two,label=three", "--labels", "1=entailment,0=neutral,2=c")
    for _ in range(1 if smallest else 2):
        status, out, said = say("evaluate", trained, "--file", path, *explained, "--on-bad-row", "skip", "--json")
        figures = json.loads(out)
        assert status == 0 and figures["pairs"] == 121
        assert (figures["bad_rows_left_out"], figures["rows_without_gold_label"], figures["truncated"]) == (2, 1, 1)
        assert said[0].startswith(
            f"{path}: 2 of 124 rows cannot be used and are left out; first, line 8: unknown three"
        )
        assert said[1:] == [
            f"{path}: 1 of 124 rows have no gold label and are left out",
            f"{path}: 1 of 121 pairs (0.8%) are longer than 32 tokens (max_len) and are cut",
        ]
    assert (tmp_path / "xdg" / "gluonnlp_snli_plugin" / "encoded").exists() == (not smallest)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["predict", "OUT", "--premise", "a", "--hypothesis", "b", "--columns", "premise=x"], "give --file F too"),
        (["predict", "OUT", "--file", "FILE", "--columns", "x"], "--columns has 'x' where NAME=VALUE belongs"),
        (["evaluate", "OUT", "--file", "FILE", "--labels", "0=maybe"], "there is no class 'maybe'"),
        (["finetune", "--output-dir", "o", "--labels", "0:neutral"], "--labels names one class, '0:neutral'"),
    ],
)
def test_options_that_make_no_sense_are_one_line(say, trained, pairs_file, arguments, complaint):
    filled = [{"OUT": trained, "FILE": pairs_file}.get(argument, argument) for argument in arguments]
    status, out, said = say(*filled)
    assert status == 2 and out == "" and len(said) == 1 and complaint in said[0]


def test_the_case_of_a_class_that_is_told_by_another_spelling(say, tiny_name, shared_data, tmp_path):
    case = shared_data.parent / "cases" / "07_skip_drops_a_class"
    if not case.is_dir():
        pytest.skip(f"{case} is missing")
    files = ["--train-file", case / "train.jsonl", "--dev-file", case / "dev.jsonl", "--on-bad-row", "skip"]
    settings = ["--dataset-name", tiny_name, "--max-len", 32, "--epochs", 1, "--output-dir", tmp_path / "out"]
    status, _, said = say("finetune", *files, *settings)
    assert status == 0 and not any("left out" in line for line in said)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["data"]["train"]["pairs"] == 12


def test_the_case_of_a_corpus_in_json_lines(say, shared_data):
    from gluonnlp_snli_plugin.data.pretraining.corpus import read_documents

    case = shared_data.parent / "cases" / "17_jsonl_corpus" / "corpus.jsonl"
    if not case.is_file():
        pytest.skip(f"{case} is missing")
    assert next(read_documents([case])) == ["Two birds sing in tree 0.", "The painter is quiet."]
