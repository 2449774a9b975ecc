"""Several files and corpora to train on together, each read as its task says, with a share of each in every epoch."""

import json
import logging
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import finetune, registry
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.evaluate.predictions import read_predictions
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.tasks.task import PairTask, register

AT_ONCE = 1e-9  # seconds: a run with this limit makes one update
SHORT = {"entailment": "e", "contradiction": "c", "neutral": "n"}


@pytest.fixture
def rows(pairs_file):
    return [json.loads(line) for line in pairs_file.read_text().splitlines()]


@pytest.fixture
def write(tmp_path):
    """Writes JSON lines into a file of this name; returns its path as text."""

    def start(name, rows):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return start


@pytest.fixture
def train(tiny_name, pairs_file, tmp_path):
    """Fine-tune the tiny BERT for two epochs; returns the folder."""

    def start(train_file, name="out", **options):
        settings = {"max_len": 32, "epochs": 2, "batch_size": 16, "lr": 3e-3, "seed": 1, "log_steps": 3, "dropout": 0.1}
        settings.update(dataset_name=tiny_name, dev_file=str(pairs_file), output_dir=str(tmp_path / name))
        finetune(**{**settings, "train_file": train_file, **options})
        return tmp_path / name

    return start


def as_anli(rows):
    """Rows as ANLI's files have them."""
    return [
        {"context": row["sentence1"], "hypothesis": row["sentence2"], "label": SHORT[row["gold_label"]]} for row in rows
    ]


def record(folder):
    return json.loads((folder / "config.json").read_text())


def result(folder):
    """Metrics without times, and the weights of the newest checkpoint."""
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in metrics:
        line.pop("pairs_per_second", None)
    newest = max((folder / "checkpoints").iterdir())
    return metrics, load_file(str(newest / "arrays.safetensors"))


def assert_same(one, other):
    (metrics, arrays), (other_metrics, other_arrays) = result(one), result(other)
    assert metrics == other_metrics and set(arrays) == set(other_arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)


# Several files --------------------------------------------------------------------------------------------------------


def test_whole_files_are_trained_on_as_one_that_holds_them_all(train, rows, write, pairs_file):
    parts = [write("a.jsonl", rows[:50]), write("b.jsonl", rows[50:])]
    assert_same(train(parts, "mixed"), train(str(pairs_file), "whole"))


def test_a_share_is_the_part_of_a_file_that_an_epoch_takes_and_the_log_says_so(train, rows, write, caplog):
    a, b = write("a.jsonl", rows[:60]), write("b.jsonl", rows[60:100])
    with caplog.at_level(logging.INFO, "gluonnlp_snli_plugin"):
        folder = train([f"{a}=0.5", f"{b}=2"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["updates"] == 2 * 7  # of 30 and 80 pairs an epoch, in batches of 16
    told = [one.getMessage() for one in caplog.records if "in each epoch" in one.getMessage()]
    assert told == [f"{a}: 30 of 60 pairs in each epoch (share 0.5)", f"{b}: 80 of 40 pairs in each epoch (share 2)"]


def test_a_share_of_one_file_alone_is_a_part_of_it(train, pairs_file):
    folder = train({str(pairs_file): 0.25})
    assert json.loads((folder / "summary.json").read_text())["updates"] == 2 * 2
    found = record(folder)["data"]
    assert set(found) == {"train", "dev"}
    assert (found["train"]["pairs"], found["train"]["pairs_an_epoch"], found["train"]["share"]) == (120, 30, 0.25)


def test_the_record_and_the_report_name_every_file_with_its_counts(train, rows, write):
    a, b = write("a.jsonl", rows[:60]), write("b.jsonl", [*rows[60:100], {**rows[0], "gold_label": "-"}])
    folder = train([f"{a}=0.5", b])
    found = record(folder)["data"]
    assert list(found) == ["train", "train 1", "train 2", "dev"]
    counts = {"pairs": 100, "pairs_an_epoch": 70, "rows_without_gold_label": 1, "bad_rows_left_out": 0, "truncated": 0}
    assert found["train"] == {"source": f"{a}, {b}", **counts}
    assert (found["train 1"]["source"], found["train 1"]["pairs"]) == (a, 60)
    assert (found["train 2"]["share"], found["train 2"]["pairs_an_epoch"]) == (1, 40)
    assert len(found["train 2"]["sha256"]) == 64 and found["train 2"]["rows_without_gold_label"] == 1
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "in an epoch" in page and "train 2" in page and "a.jsonl=0.5" in page and "100 training pairs" in page
    assert record(folder)["settings"]["train_file"] == [f"{a}=0.5", b]


def test_the_recorded_command_repeats_the_run(train, rows, write, tmp_path, capsys):
    folder = train([write("a.jsonl", rows[:60]) + "=0.5", "MultiNLI:" + write("b.jsonl", rows[60:])])
    words = record(folder)["repeat"][1:]
    words[words.index("--output-dir") + 1] = str(tmp_path / "again")
    assert main(words) == 0
    assert_same(tmp_path / "again", folder)
    assert main([*words, "--resume"]) == 0  # it is complete
    words[words.index("--train-file") + 1] += "1"
    assert main([*words, "--resume"]) == 2
    assert "the run was begun with --train-file" in capsys.readouterr().err


def test_a_class_may_be_missing_in_a_file_but_not_in_all(train, rows, write):
    sides = [[row for row in rows if (row["gold_label"] == "neutral") == is_neutral] for is_neutral in (True, False)]
    neutral, others = write("neutral.jsonl", sides[0]), write("others.jsonl", sides[1])
    train([neutral, others])
    with pytest.raises(DataError, match=r"neutral.jsonl, .*more.jsonl: no pair has the label entailment or contradict"):
        train([neutral, write("more.jsonl", sides[0][:5])], "other")


# Files of other tasks -------------------------------------------------------------------------------------------------


def test_a_file_is_read_as_its_task_says_and_its_classes_are_those_of_the_run(train, rows, write, pairs_file, tmp_path):
    @register
    class Mine(PairTask):
        name = "Mine"
        class_labels = ("neutral", "contradiction", "entailment")
        label_alias = {"yes": "entailment", "no": "contradiction", "maybe": "neutral"}
        own_columns = ("first", "second", "verdict")

    try:
        words = {"entailment": "yes", "contradiction": "no", "neutral": "maybe"}
        mine = [{"first": r["sentence1"], "second": r["sentence2"], "verdict": words[r["gold_label"]]} for r in rows]
        parts = [write("a.jsonl", rows[:50]), "Mine:" + write("b.jsonl", mine[50:])]
        mixed = train(parts, "mixed")
        assert load_model(mixed).settings.labels == ("entailment", "contradiction", "neutral")
        assert load_model(mixed).settings.task == "SNLI"
        assert_same(mixed, train(str(pairs_file), "whole"))
    finally:
        del registry.task._entries["mine"]


def test_the_spellings_of_the_run_are_not_those_of_a_file_with_a_task(train, rows, write, pairs_file):
    numbers = dict(zip(("entailment", "contradiction", "neutral"), range(3)))
    own = [{"p": r["sentence1"], "h": r["sentence2"], "l": numbers[r["gold_label"]]} for r in rows]
    a, b = write("own.jsonl", own[:50]), write("anli.jsonl", as_anli(rows[50:]))
    spelt = {"columns": {"premise": "p", "hypothesis": "h", "label": "l"}}
    spelt.update(labels={"0": "entailment", "1": "contradiction", "2": "neutral"}, dev_file=write("dev.jsonl", own))
    mixed = train([a, f"ANLI:{b}"], "mixed", **spelt)
    assert_same(mixed, train(str(pairs_file), "whole"))
    with pytest.raises(DataError, match="anli.jsonl, line 1: no column 'p' "):
        train([a, b], "other", **spelt)


def test_classes_of_the_users_own_mix_too(train, rows, write):
    own = [{**row, "gold_label": {"neutral": "no"}.get(row["gold_label"], "yes")} for row in rows]
    files = [write("a.jsonl", own[:60]), write("b.jsonl", own[60:]) + "=0.5"]
    folder = train(files, labels="yes,no", dev_file=files[0])
    assert load_model(folder).settings.labels == ("yes", "no")
    assert record(folder)["data"]["train"]["pairs_an_epoch"] == 90


# Corpora --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def corpora(write, rows, tmp_path):
    """SNLI, MultiNLI and ANLI as their archives unpack, in one folder."""
    for segment in ("train", "dev", "test"):
        write(f"corpora/snli_1.0/snli_1.0_{segment}.jsonl", rows[:48])
        write(f"corpora/multinli_1.0/multinli_1.0_{segment}.jsonl", rows[48:78])
        for number in (1, 2, 3):
            write(f"corpora/anli_v1.0/R{number}/{segment}.jsonl", as_anli(rows[60 + number : 60 + 3 * number]))
    return str(tmp_path / "corpora")


def test_corpora_are_mixed_by_name_and_evaluated_on_the_tasks_own_pairs(train, corpora):
    folder = train(
        ["SNLI:train", "MultiNLI:train=0.5", "ANLI:train=2"], dev_file=None, corpus_root=corpora, epochs=1, log_steps=1
    )
    found = record(folder)["data"]
    assert [found[f"train {i}"]["pairs_an_epoch"] for i in (1, 2, 3)] == [48, 15, 24]
    assert found["train 3"]["source"].count("train.jsonl") == 3
    assert found["dev"]["source"].endswith("snli_1.0_dev.jsonl") and found["test"]["pairs"] == 48
    assert (folder / "predictions" / "test.jsonl").exists()


def test_a_corpus_and_a_file_are_mixed(train, corpora, pairs_file):
    folder = train(["SNLI:train", f"{pairs_file}=0.1"], corpus_root=corpora)
    found = record(folder)["data"]
    assert found["train"]["pairs_an_epoch"] == 60 and found["dev"]["source"] == str(pairs_file)
    assert "test" not in found


def test_corpora_with_pairs_in_common_are_refused(train, corpora):
    with pytest.raises(UsageError, match=r"--train-file ANLI:train and ANLI-R2:train both have .*R2/train.jsonl: omit"):
        train(["ANLI:train", "ANLI-R2:train"], dev_file=None, corpus_root=corpora)


@pytest.mark.parametrize(
    "file, told",
    [
        ("missing.jsonl", "missing.jsonl: No such file"),
        ("empty.jsonl", "empty.jsonl has no labelled pairs"),
        ("unlabelled.jsonl=0.5", "unlabelled.jsonl has no labelled pairs: 1 row without gold label"),
        ("MultiNLI:train", "multinli_1.0_train.jsonl is missing: get MultiNLI from .*multinli"),
    ],
)
def test_what_cannot_be_used_is_one_line(train, rows, write, tmp_path, monkeypatch, file, told):
    monkeypatch.chdir(tmp_path)
    write("empty.jsonl", [])
    write("unlabelled.jsonl", [{**rows[0], "gold_label": "-"}])
    with pytest.raises(PluginError, match=told) as refused:
        train([write("a.jsonl", rows), file])
    assert "\n" not in str(refused.value)


# Resuming and ranks ---------------------------------------------------------------------------------------------------


def _resumed(folder, **options):
    """Resumes a run until it is complete, an update at a time."""
    for _ in range(40):
        try:
            finetune(resume=str(folder), **options)
        except Stopped:
            continue
        return
    raise AssertionError("it does not end")


def test_a_run_that_stops_after_every_update_ends_as_one_that_never_did(train, rows, write):
    files = [write("a.jsonl", rows[:60]) + "=0.4", "ANLI:" + write("b.jsonl", as_anli(rows[60:])) + "=1.3"]
    whole = train(files, "whole", epochs=3, batch_size=24)
    with pytest.raises(Stopped):
        train(files, "broken", epochs=3, batch_size=24, max_seconds=AT_ONCE)
    _resumed(whole.parent / "broken")
    assert_same(whole.parent / "broken", whole)
    one, other = (read_predictions(path, "dev").probabilities for path in (whole, whole.parent / "broken"))
    np.testing.assert_array_equal(one, other)


@pytest.fixture
def broken(train, rows, write, tmp_path):
    """A run on two files that has made one update: the folder and the files."""
    a, b = write("a.jsonl", rows[:60]), write("b.jsonl", rows[60:])
    with pytest.raises(Stopped):
        train([f"{a}=0.5", f"SNLI:{b}"], "broken", max_seconds=AT_ONCE)
    return tmp_path / "broken", a, b


def test_files_may_move_but_neither_change_nor_get_another_share(broken, tmp_path):
    folder, a, b = broken
    moved = str(tmp_path / "moved.jsonl")
    shutil.move(b, moved)
    with pytest.raises(UsageError, match=r"/b.jsonl is missing; if it has moved, give the new path: --train-file PATH"):
        finetune(resume=str(folder))
    begun = f"the run was begun with --train-file {a}=0.5 SNLI:{b}: give as many files, in that order, with their tasks"
    for others in ([a, f"SNLI:{moved}"], [f"{a}=0.5", moved], [f"{a}=0.5"], [f"SNLI:{moved}", f"{a}=0.5"]):
        with pytest.raises(UsageError, match=begun):
            finetune(resume=str(folder), train_file=others)
    with pytest.raises(
        PluginError, match=r"the content of the train 1 data \(.*moved.jsonl\) has changed; the content"
    ):
        finetune(resume=str(folder), train_file=[f"{moved}=0.5", f"SNLI:{a}"])
    with pytest.raises(Stopped):
        finetune(resume=str(folder), train_file=[f"{a}=0.5", f"SNLI:{moved}"])
    assert record(folder)["settings"]["train_file"] == [f"{a}=0.5", f"SNLI:{moved}"]
    finetune(resume=str(folder), max_seconds=0)


def test_it_can_be_resumed_from_another_folder(train, rows, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.jsonl", rows[:60])
    write("b.jsonl", rows[60:])
    with pytest.raises(Stopped):
        train(["a.jsonl=0.5", "SNLI:b.jsonl"], max_seconds=AT_ONCE)
    monkeypatch.chdir("/")
    finetune(resume=str(tmp_path / "out"), max_seconds=0)


def test_a_run_that_an_earlier_version_began_is_resumed(train, pairs_file, tmp_path):
    file = tmp_path / "x=0.5"  # which an earlier version took for a name
    shutil.copy(str(pairs_file), str(file))
    with pytest.raises(Stopped):
        train(file, max_seconds=AT_ONCE)
    found = record(tmp_path / "out")
    assert found["settings"]["train_file"] == [f"{file}=1"]
    settings = found["settings"]
    del settings["corpus_root"]
    settings.update(train_file=str(file), snli_root=None)
    (tmp_path / "out" / "config.json").write_text(json.dumps(found))
    finetune(resume=str(tmp_path / "out"), max_seconds=0)
    assert_same(tmp_path / "out", train(str(pairs_file), "whole"))


def test_two_ranks_divide_the_same_pairs_and_are_resumed(train, rows, write, command, tiny_name, tmp_path):
    a, b = write("a.jsonl", rows[:60]), write("b.jsonl", rows[60:])
    alone = train([f"{a}=0.5", f"{b}=1.5"], "alone", batch_size=16, dropout=0.0)
    words = [
        "--dataset-name",
        tiny_name,
        "--train-file",
        f"{a}=0.5",
        f"{b}=1.5",
        "--dev-file",
        *record(alone)["settings"]["dev_file"],
    ]
    words += "--max-len 32 --epochs 2 --batch-size 8 --lr 3e-3 --seed 1 --log-steps 3 --dropout 0".split()
    together = command("finetune", *words, "--np", "2", "--output-dir", tmp_path / "two")
    assert together.returncode == 0, together.stderr
    assert together.stderr.count("90 of 60 pairs in each epoch (share 1.5)") == 1
    (metrics, arrays), (other_metrics, other_arrays) = result(alone), result(tmp_path / "two")
    assert [line["update"] for line in metrics] == [line["update"] for line in other_metrics]
    for name, array in arrays.items():
        np.testing.assert_allclose(array, other_arrays[name], atol=2e-4, err_msg=name)
    stopped = command("finetune", *words, "--np", "2", "--output-dir", tmp_path / "broken", "--max-seconds", AT_ONCE)
    assert stopped.returncode == 75
    resumed = command("finetune", "--resume", tmp_path / "broken", "--max-seconds", "0")
    assert resumed.returncode == 0, resumed.stderr
    assert_same(tmp_path / "broken", tmp_path / "two")
