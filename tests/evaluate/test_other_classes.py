"""A model's answers for files of another number of classes, and the scores by the columns of a file."""

import json
import shutil

import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, UsageError

E, OTHER = "entailment", "non-entailment"
TWO = "answers that are not entailment count as"


@pytest.fixture(scope="module")
def hans(hans_folder):
    return hans_folder / "heuristics_evaluation_set.txt"


@pytest.fixture(scope="module")
def rows(hans):
    header, *rows = (line.split("\t") for line in hans.read_text().splitlines())
    return [dict(zip(header, row)) for row in rows]


@pytest.fixture(scope="module")
def right(tiny_run, rows):
    """Which of the pairs of HANS the tiny model gets right, by the sum of its probabilities."""
    answers = Predictor.load(tiny_run)([(row["sentence1"], row["sentence2"]) for row in rows])
    return np.array([(a.probabilities[E] > 0.5) == (row["gold_label"] == E) for a, row in zip(answers, rows)])


@pytest.fixture
def ask(tiny_run, tmp_path, capsys):
    """What the command prints for the tiny model, as text or as JSON, and its messages."""

    def start(*options, status=0):
        (tmp_path / "model").symlink_to(tiny_run / "model")
        assert main(["evaluate", str(tmp_path / "model"), *map(str, options)]) == status
        (tmp_path / "model").unlink()
        printed = capsys.readouterr()
        said = [line for line in printed.err.splitlines() if not line.endswith("are cut")]
        return (json.loads(printed.out) if "--json" in options else printed.out), said

    return start


@pytest.fixture
def write(tmp_path):
    """Writes pairs with these labels, in SNLI's columns."""

    def write_file(*labels):
        path = tmp_path / "pairs.jsonl"
        pairs = ({"sentence1": "the man", "sentence2": f"a dog {i}", "gold_label": x} for i, x in enumerate(labels))
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        return path

    return write_file


def test_what_is_not_entailment_is_summed(tiny_run, hans, right):
    scores = evaluate(tiny_run, hans)
    assert scores.labels == (E, "not_entailment") and scores.accuracy == right.mean()
    assert scores.confusion.sum(axis=1).tolist() == [24, 32]
    assert evaluate(tiny_run, hans, task="HANS").labels == (E, OTHER)
    np.testing.assert_array_equal(evaluate(tiny_run, hans, task="HANS").confusion, scores.confusion)


def test_what_is_summed_is_said_in_one_line(ask, hans):
    figures, said = ask("--file", hans, "--json")
    assert said == [f"{hans} has two classes: {TWO} not_entailment"] and figures["remark"] == said[0]
    figures, said = ask("--task", "HANS", "--file", hans, "--json")
    assert said == [f"{hans} has two classes: {TWO} {OTHER}"]


def test_a_corpus_is_named_by_its_task(ask, hans_folder, right, tiny_run):
    printed, said = ask("--task", "hans", "--corpus-root", hans_folder)
    assert printed.startswith(f"accuracy {right.mean():.4f} (56 pairs)") and OTHER in printed
    assert said == [f"HANS-dev has two classes: {TWO} {OTHER}"]
    printed, _ = ask("--task", "HANS", "--corpus-root", hans_folder, "--segment", "dev", "train")
    assert [line.split()[:2] for line in printed.splitlines()[1:4]] == [
        *(["HANS-dev", "56"], ["HANS-train", "56"], ["all", "112"]),
    ]
    python = evaluate(tiny_run, task="HANS", corpus_root=hans_folder, segment="train")
    assert python.accuracy == right.mean()


def test_several_models_are_averaged_before_they_are_scored(tiny_run, hans, right, ask):
    assert evaluate([tiny_run, tiny_run], hans).accuracy == right.mean()


def test_predict_reads_the_same_labels(tiny_run, write, capsys):
    named = ["predict", str(tiny_run), "--file", str(write(0, 1)), "--labels", "0=not_entailment,1=entailment"]
    assert main(named) == 0 and len(capsys.readouterr().out.splitlines()) == 2


def test_predict_has_the_classes_of_the_model_too(tiny_run, write, capsys):
    assert main(["predict", str(tiny_run), "--file", str(write(0)), "--labels", "a,b"]) == 2
    assert (
        "the model's classes are entailment, contradiction, neutral and cannot be renamed: omit --labels"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("name, no", [("RTE", "not_entailment"), ("QNLI", "not_entailment"), ("WNLI", "0")])
def test_tasks_of_glue_are_scored_by_their_own_classes(ask, glue_folder, tiny_run, name, no):
    figures, (said,) = ask("--task", name, "--corpus-root", glue_folder, "--json")
    assert said == f"{name}-dev has two classes: {TWO} {no}" and figures["pairs"] == 8 and no in figures["labels"]
    scores = evaluate(tiny_run, task=name, corpus_root=glue_folder)
    assert scores.accuracy == figures["accuracy"] and scores.confusion.sum(axis=1).tolist() == [4, 4]


def test_a_corpus_may_have_several_segments_for_evaluation(ask, glue_folder):
    figures, said = ask("--task", "MNLI", "--corpus-root", glue_folder, "--json", "--by", "genre")
    assert [one["file"] for one in figures["files"]] == ["MNLI-dev_matched", "MNLI-dev_mismatched"] and not said
    assert figures["all"]["labels"] == ["neutral", "entailment", "contradiction"]
    assert sum(group["pairs"] for group in figures["all"]["by"]["genre"].values()) == 16


def test_other_spellings_of_two_classes_are_given(tiny_run, write):
    labels = {"1": E, "0": "not_entailment"}
    assert evaluate(tiny_run, write(0, 1, 1), labels=labels).confusion.sum(axis=1).tolist() == [2, 1]
    assert evaluate(tiny_run, write(0, 1, 1), task="WNLI").labels == ("0", "1")


def test_files_of_different_classes_have_a_row_each_and_no_sum(ask, hans, pairs_file):
    printed, _ = ask("--file", hans, pairs_file, "--by", "gold_label")
    heading, first, second, *more = printed.splitlines()
    assert "F1 not_entailment" in heading and "F1 neutral" in heading
    assert first.startswith(str(hans)) and first.count("–") == 2 and second.count("–") == 1
    assert not any(line.startswith("all") for line in more)
    assert more[:2] == ["", str(hans)] and more[2].split()[:2] == ["gold_label", "pairs"]
    figures, _ = ask("--file", hans, pairs_file, "--json")
    assert figures["all"] is None and len(figures["files"]) == 2


@pytest.mark.parametrize(
    "labels, told",
    [
        ((E, "neutral", "not_entailment"), "pairs.jsonl has the labels neutral and not_entailment: a file has two"),
        ((E, "maybe"), "line 2: unknown gold_label 'maybe'; expected one of entailment, contradiction, neutral, not"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_compared_are_one_line(ask, write, labels, told):
    _, (said,) = ask("--file", write(*labels), status=1)
    assert told in said


@pytest.mark.parametrize(
    "options, told",
    [
        ([], "which pairs? give --file F, or --task NAME to read the corpus of a task"),
        (["--file", "F", "--segment", "dev"], "--segment belongs to the corpus of a task: give --task NAME"),
        (["--corpus-root", "D", "--file", "F"], "--corpus-root belongs to the corpus of a task"),
        (["--task", "HANS", "--segment", "test"], "HANS has no segment 'test'; there are train, dev"),
        (["--file", "HANS:FILE"], "--file HANS:FILE: there is no such file; write --task HANS --file FILE"),
        (["--file", "HANS:dev"], "there is no such file; write --task HANS --segment dev"),
        (["--task", "nothing"], "no task 'nothing'; there are:"),
        (["--task", "MRPC", "--file", "FILE"], "FILE has the classes 0, 1, the model entailment, contradiction, neut"),
        (["--labels", "a,b,c", "--file", "F"], "contradiction, neutral and cannot be renamed: omit --labels"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(ask, tmp_path, options, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("#1 String\t#2 String\tQuality\na\tb\t1\n")
    _, (said,) = ask(*options, status=2)
    assert told in said


def test_python_takes_one_file_and_says_so(tiny_run, hans, hans_folder):
    with pytest.raises(UsageError, match=r"file is \[.*\]; evaluate scores one: call it for each"):
        evaluate(tiny_run, [hans, hans])
    with pytest.raises(UsageError, match=r"segment is \['dev', 'train'\]; evaluate scores one"):
        evaluate(tiny_run, task="HANS", corpus_root=hans_folder, segment=["dev", "train"])
    with pytest.raises(UsageError, match=r"--labels is \['a', 'b'\]; it must be a dict, or a text: SPELLING=CLASS"):
        evaluate(tiny_run, hans, labels=["a", "b"])
    assert not evaluate(tiny_run, hans, by=None).by


def test_python_wants_a_file_or_a_task(tiny_run, hans, hans_folder):
    with pytest.raises(UsageError, match="which pairs"):
        evaluate(tiny_run)
    with pytest.raises(UsageError, match="segment and corpus_root belong to the corpus"):
        evaluate(tiny_run, hans, corpus_root=hans_folder)


# By column ------------------------------------------------------------------------------------------------------------


def test_each_value_of_a_column_is_scored(tiny_run, hans, rows, right):
    scores = evaluate(tiny_run, hans, task="HANS", by=["heuristic", "subcase"])
    assert list(scores.by["heuristic"]) == ["lexical_overlap", "subsequence", "constituent"]
    assert len(scores.by["subcase"]) == 7
    for field, groups in scores.by.items():
        for value, one in groups.items():
            chosen = np.array([row[field] == value for row in rows])
            assert (one.num_pairs, one.accuracy) == (chosen.sum(), right[chosen].mean())
    assert evaluate(tiny_run, hans, by="heuristic").by["heuristic"]["constituent"].num_pairs == 16


def test_the_table_has_the_shares_of_right_answers_by_gold_label(ask, hans, rows, right):
    printed, _ = ask("--task", "HANS", "--file", hans, "--by", "heuristic", "subcase")
    _, heuristics, subcases = printed.split("\nheuristic ")[0], *printed.split("\nheuristic ")[1].split("\nsubcase ")
    heading, first, *_ = heuristics.splitlines()
    assert heading.split("  ")[-2:] == [f"gold {E}", f"gold {OTHER}"]
    share = {
        label: right[[row["heuristic"] == "lexical_overlap" and row["gold_label"] == label for row in rows]].mean()
        for label in (E, OTHER)
    }
    assert first.split()[0:2] == ["lexical_overlap", "24"]
    assert first.split()[-2:] == [f"{share[E]:.4f}", f"{share[OTHER]:.4f}"]
    swap = next(line for line in subcases.splitlines() if line.startswith("ln_subject/object_swap"))
    assert swap.split()[1] == "8" and swap.split()[-2] == "–"


def test_json_has_the_scores_of_each_group(ask, hans, hans_folder):
    figures, _ = ask("--file", hans, "--by", "Heuristic", "--json")
    groups = figures["by"]["Heuristic"]
    assert sum(group["pairs"] for group in groups.values()) == 56
    assert set(groups["subsequence"]["accuracy_by_gold"]) == {E, "not_entailment"}
    figures, _ = ask("--file", hans, hans, "--by", "heuristic", "--json")
    assert figures["all"]["by"]["heuristic"]["constituent"]["pairs"] == 32


def test_rows_that_are_left_out_are_in_no_group(tiny_run, tmp_path):
    rows = [("a man", "a dog", E, "x"), ("a man", "a cat", "-", "none"), ("", "a cat", E, "bad"), ("a", "b", E, "")]
    names = ("sentence1", "sentence2", "gold_label", "genre")
    for name, text in (
        ("a.tsv", "".join("\t".join(row) + "\n" for row in (names, *rows))),
        ("a.jsonl", "".join(json.dumps(dict(zip(names, row))) + "\n" for row in rows)),
    ):
        (tmp_path / name).write_text(text)
        groups = evaluate(tiny_run, tmp_path / name, "skip", by="genre").by["genre"]
        assert {value: one.num_pairs for value, one in groups.items()} == {"x": 1, "(empty)": 1}


def test_values_may_be_of_any_kind(tiny_run, tmp_path):
    values = [1, "1", None, True, [1, "x"], " 1 "]
    rows = [{"sentence1": "a", "sentence2": "b", "gold_label": E, "value": value} for value in values]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    groups = evaluate(tiny_run, tmp_path / "a.jsonl", by="value").by["value"]
    assert {value: one.num_pairs for value, one in groups.items()} == {"1": 3, "(empty)": 1, "true": 1, '[1,"x"]': 1}


def test_a_column_that_cannot_be_scored_by_is_one_line(ask, tiny_run, hans, tmp_path):
    _, (said,) = ask("--file", hans, "--by", "genre", status=1)
    assert "no column 'genre' among 'gold_label', " in said and "'heuristic', 'subcase', 'template'" in said
    lines = [json.dumps({"sentence1": f"a {i}", "sentence2": "b", "gold_label": E}) for i in range(201)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match="column sentence1 has 201 different values, more than the 200 of a table"):
        evaluate(tiny_run, tmp_path / "a.jsonl", by="sentence1")
    assert len(evaluate(tiny_run, tmp_path / "a.jsonl", by="sentence2").by["sentence2"]) == 1


def test_predictions_carry_the_values(ask, hans, tmp_path, rows):
    ask("--file", hans, "--by", "heuristic", "--predictions", tmp_path / "answers.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [answer["fields"] for answer in answers] == [{"heuristic": row["heuristic"]} for row in rows]
    assert answers[0]["gold_label"] in ("entailment", "not_entailment")


@pytest.mark.parametrize("name, text", [("answers.jsonl", "{}"), ("blank.jsonl", "{}\n "), ("document.json", "[{}]")])
def test_a_file_of_predictions_is_scored_by_the_columns_in_it(ask, hans, tmp_path, name, text):
    expected, _ = ask("--file", hans, "--by", "subcase", "heuristic", "--json")
    ask("--file", hans, "--by", "subcase", "heuristic", "--predictions", tmp_path / "answers")
    lines = (tmp_path / "answers").read_text().splitlines()
    (tmp_path / name).write_text(text.replace("{}", ("," if "[" in text else "\n").join(lines)))
    figures, _ = ask("--file", tmp_path / name, "--by", "subcase", "Heuristic", "--json")
    assert figures["by"]["Heuristic"] == expected["by"]["heuristic"]
    assert figures["by"]["subcase"] == expected["by"]["subcase"]


def test_columns_that_are_called_as_those_of_predictions_are_the_datas(ask, tmp_path):
    texts = [{"sentence1": f"a {i}", "sentence2": "b", "gold_label": E, "label": f"L{i % 2}"} for i in range(6)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    expected, _ = ask("--file", tmp_path / "a.jsonl", "--by", "label", "--predictions", tmp_path / "p.jsonl", "--json")
    found, _ = ask("--file", tmp_path / "p.jsonl", "--by", "label", "--json")
    assert found["by"] == expected["by"] and set(found["by"]["label"]) == {"L0", "L1"}


def test_the_report_keeps_the_columns_that_the_same_pairs_were_scored_by(tiny_run, hans, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(str(tiny_run), str(run))
    for by, there in ((["heuristic"], 1), ([], 1), (["subcase"], 2)):
        assert main(["evaluate", str(run), "--file", str(hans), *(["--by", *by] if by else [])]) == 0
        page = (run / "report.html").read_text(encoding="utf-8")
        assert page.count("Scores by <bdi>") == there
    other = tmp_path / "other" / hans.name
    other.parent.mkdir()
    other.write_text("\n".join(hans.read_text().splitlines()[:-1]))
    assert main(["evaluate", str(run), "--file", str(other)]) == 0
    assert (run / "report.html").read_text(encoding="utf-8").count("Scores by <bdi>") == 2
    lines = run / "predictions" / f"{hans.stem}.jsonl"
    lines.write_text("damaged")
    assert main(["evaluate", str(run), "--file", str(hans)]) == 0  # which replaces it
    assert "fields" not in json.loads(lines.read_text().splitlines()[0])
