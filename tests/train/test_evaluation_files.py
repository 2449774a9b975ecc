"""What a run is scored on: several files, segments of corpora, and files of another number of classes."""

import json
import shutil

import pytest

from gluonnlp_snli_plugin import evaluate, finetune
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, Stopped, UsageError
from gluonnlp_snli_plugin.evaluate.predictions import read_predictions
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

E = "entailment"


@pytest.fixture(autouse=True)
def _empty_figures(empty_figures):
    """Pages are looked at elsewhere."""


@pytest.fixture(scope="module")
def files(pairs_file, tmp_path_factory):
    """Files of pairs: of other classes, of half the pairs, and under a name twice."""
    folder = tmp_path_factory.mktemp("files")
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    two = [{**row, "gold_label": E if row["gold_label"] == E else "non-entailment"} for row in rows]
    (folder / "b").mkdir()
    for name, content in (("two.v1.jsonl", two), ("half.jsonl", rows[:60]), ("b/half.jsonl", rows[60:])):
        (folder / name).write_text("\n".join(map(json.dumps, content)) + "\n")
    (folder / "mixed.jsonl").write_text("\n".join(map(json.dumps, rows[:3] + two[:3])) + "\n")
    return folder


@pytest.fixture
def train(tiny_name, pairs_file, tmp_path):
    """Fine-tune the tiny BERT; returns (summary, folder)."""

    def start(name="out", **options):
        settings = {"dataset_name": tiny_name, "train_file": pairs_file, "dev_file": pairs_file, "seed": 1}
        settings.update(output_dir=tmp_path / name, max_len=32, epochs=1, batch_size=16, lr=3e-3)
        return finetune(**{**settings, **options}), tmp_path / name

    return start


def test_every_file_is_scored_and_has_a_section_in_the_report(train, files, pairs_file):
    dev, test = (
        [pairs_file, files / "half.jsonl"],
        [files / "half.jsonl", files / "b/half.jsonl", files / "two.v1.jsonl"],
    )
    summary, folder = train(dev_file=dev, test_file=test)
    names = dict(zip(("dev", "dev_half", "test", "test_half", "test_two"), (*dev, *test)))
    for name, file in names.items():
        assert summary[f"{name}_accuracy"] == evaluate(folder, file).accuracy
        assert read_predictions(folder, name).evaluation.accuracy == summary[f"{name}_accuracy"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(f"Answers: <bdi>{name}</bdi>" in page for name in names)
    assert set(json.loads((folder / "config.json").read_text())["data"]) == {"train", *names}


def test_further_files_have_no_effect_on_the_model(train, files):
    _, alone = train("alone")
    _, more = train("more", dev_file=[*_dev(alone), files / "half.jsonl"], test_file=[files / "two.v1.jsonl"])
    names = ("metrics.jsonl", "predictions/dev.jsonl")
    assert [json.loads(line)["loss"] for line in (alone / names[0]).read_text().splitlines()] == [
        json.loads(line)["loss"] for line in (more / names[0]).read_text().splitlines()
    ]
    assert (alone / names[1]).read_bytes() == (more / names[1]).read_bytes()


def _dev(folder):
    return json.loads((folder / "config.json").read_text())["settings"]["dev_file"]


def test_names_of_files_that_are_the_same_are_told_apart(train, files, pairs_file):
    other = files / "b" / "prüfung - 测试.jsonl"
    shutil.copy(str(pairs_file), str(other))
    summary, folder = train(test_file=[pairs_file, files / "half.jsonl", files / "b" / "half.jsonl", other])
    names = {"test", "test_half", "test_half_2", "test_prüfung_测试"}
    assert {f"{name}_accuracy" for name in names} <= set(summary)
    assert names <= {path.stem for path in (folder / "predictions").glob("*.jsonl")}
    assert "Answers: <bdi>test_prüfung_测试</bdi>" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("use", ["dev_file", "test_file"])
def test_a_file_of_two_classes_is_scored_by_what_is_not_entailment(train, files, use, caplog):
    file = files / "two.v1.jsonl"
    summary, folder = train(**{use: file})
    name = use[: -len("_file")]
    assert f"{file} has two classes: answers that are not entailment count as not_entailment" in caplog.messages
    assert summary[f"{name}_accuracy"] == evaluate(folder, file).accuracy
    assert read_predictions(folder, name).pairs.labels == (E, "not_entailment")
    assert "remark" in json.loads((folder / "config.json").read_text())["data"][name]
    if name == "dev":
        losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert 0 < losses[-1]["loss"] < 1.2 and losses[-1]["accuracy"] == summary["dev_accuracy"]


def test_a_run_of_two_classes_is_scored_on_a_file_of_three(train, files, pairs_file, caplog):
    two = files / "two.v1.jsonl"
    summary, folder = train(labels=["non-entailment", E], train_file=two, dev_file=two, test_file=pairs_file)
    told = f"the model has two classes: labels of {pairs_file} that are not entailment count as non-entailment"
    assert told in caplog.messages and summary["test_accuracy"] == evaluate(folder, pairs_file).accuracy
    assert read_predictions(folder, "test").pairs.labels == ("non-entailment", E)


def test_labels_of_two_classes_and_of_three_are_refused_before_training(train, files):
    with pytest.raises(DataError, match="mixed.jsonl has the labels .* and not_entailment"):
        train(test_file=files / "mixed.jsonl")


def test_a_file_may_be_of_another_task(train, hans_folder, glue_folder):
    hans, rte = hans_folder / "heuristics_evaluation_set.txt", glue_folder / "RTE" / "dev.tsv"
    summary, folder = train(test_file=[f"HANS:{hans}", f"RTE:{rte}"])
    assert summary["test_accuracy"] == evaluate(folder, hans, task="HANS").accuracy
    assert summary["test_dev_accuracy"] == evaluate(folder, rte, task="RTE").accuracy
    assert read_predictions(folder, "test").pairs.labels == (E, "non-entailment")
    with pytest.raises(UsageError, match="dev.tsv has the classes 0, 1, the model entailment"):
        train("mrpc", test_file=f"MRPC:{glue_folder}/MRPC/dev.tsv")


def test_a_file_for_training_and_a_corpus_for_evaluation_go_together(train, hans_folder):
    summary, folder = train(test_file="HANS:dev", corpus_root=hans_folder)
    assert summary["test_accuracy"] == evaluate(folder, task="HANS", corpus_root=hans_folder).accuracy
    with pytest.raises(Stopped):
        train("broken", dev_file="HANS:dev", corpus_root=hans_folder, max_seconds=1e-9)
    moved = folder.parent / "moved"
    shutil.copytree(str(hans_folder), str(moved))
    resumed = finetune(resume=str(folder.parent / "broken"), max_seconds=0, corpus_root=moved)
    assert 0 < resumed["dev_accuracy"] < 1


def test_a_task_that_does_not_exist_is_named(train):
    with pytest.raises(UsageError, match="no task 'HANZ'; there are"):
        train(test_file="HANZ:dev")
    with pytest.raises(UsageError, match="--dev-file HANS:test: .* HANS has no segment of that name; there are train"):
        train(dev_file="HANS:test")


def test_all_segments_of_a_corpus_that_are_there_are_scored(train, glue_folder, tmp_path):
    corpus = {"task": "MNLI", "train_file": None, "dev_file": None}
    summary, folder = train(corpus_root=glue_folder, **corpus)
    dev = glue_folder / "MNLI" / "dev_mismatched.tsv"
    assert summary["dev_mismatched_accuracy"] == evaluate(folder, dev).accuracy
    assert "Answers: <bdi>dev_mismatched</bdi>" in (folder / "report.html").read_text(encoding="utf-8")
    shutil.copytree(str(glue_folder / "MNLI"), str(tmp_path / "MNLI"))
    (tmp_path / "MNLI" / "dev_mismatched.tsv").unlink()
    assert "dev_mismatched_accuracy" not in train("less", corpus_root=tmp_path, **corpus)[0]


def test_a_resumed_run_scores_the_same_files(train, files, tmp_path):
    whole, _ = train("whole", test_file=[files / "half.jsonl", files / "two.v1.jsonl"])
    with pytest.raises(Stopped):
        train("broken", test_file=[files / "half.jsonl", files / "two.v1.jsonl"], max_seconds=1e-9)
    shutil.copytree(str(files), str(tmp_path / "moved"))
    moved = [tmp_path / "moved" / "half.jsonl", tmp_path / "moved" / "two.v1.jsonl"]
    resumed = finetune(resume=str(tmp_path / "broken"), max_seconds=0, test_file=moved)
    assert all(resumed[name] == value for name, value in whole.items() if name.endswith("accuracy"))
    for others in (moved[:1], [moved[0], f"HANS:{moved[1]}"]):
        with pytest.raises(
            UsageError, match="the run was begun with --test-file .*: give as many files, in that order"
        ):
            finetune(resume=str(tmp_path / "broken"), test_file=others)


def test_a_run_that_an_earlier_version_began_is_resumed(train, pairs_file, tmp_path):
    whole, _ = train("whole", test_file=pairs_file)
    with pytest.raises(Stopped):
        train("broken", test_file=pairs_file, max_seconds=1e-9)
    path = tmp_path / "broken" / "config.json"
    record = json.loads(path.read_text())
    record["settings"].update(dev_file=str(pairs_file), test_file=str(pairs_file))  # there could be one each
    path.write_text(json.dumps(record))
    assert finetune(resume=str(tmp_path / "broken"), max_seconds=0)["test_accuracy"] == whole["test_accuracy"]


def test_the_command_takes_several_and_shows_all_scores(tiny_name, pairs_file, files, tmp_path, capsys):
    options = ["--train-file", pairs_file, "--dev-file", pairs_file, "--test-file", files / "half.jsonl"]
    options += ["--test-file", files / "two.v1.jsonl", "--max-len", 32, "--epochs", 1, "--dataset-name", tiny_name]
    assert main(["finetune", *map(str, options), "--output-dir", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == [
        f"dev accuracy       {summary['dev_accuracy']:.4f} (epoch 1)",
        f"test accuracy      {summary['test_accuracy']:.4f}",
        f"test_two accuracy  {summary['test_two_accuracy']:.4f}",
    ]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    place = config["repeat"].index("--test-file")
    assert config["repeat"][place + 1 : place + 3] == [str(files / "half.jsonl"), str(files / "two.v1.jsonl")]


@pytest.mark.parametrize(
    "options, told",
    [
        ({"test_file": ["a", "a"]}, "--test-file names a twice"),
        ({"dev_file": [""]}, "--dev-file is empty: name a file"),
        ({"test_file": [3]}, "--test-file names 3, which is not a path"),
        ({"dev_file": 3}, "--dev-file is 3; it must be a file, or a list of files"),
        ({"train_file": None, "dev_file": None, "test_file": "a"}, "--test-file goes with --train-file and --dev-file"),
    ],
)
def test_what_makes_no_sense_is_one_line(options, told):
    with pytest.raises(UsageError, match=told):
        FinetuneConfig.of(**{"output_dir": "out", "train_file": "t", "dev_file": "d", **options})


def test_a_share_is_part_of_a_name_here():
    config = FinetuneConfig.of(output_dir="out", train_file="t", dev_file="d=0.5", test_file="HANS:x=1")
    assert (config.dev_file, config.test_file) == (("d=0.5",), ("HANS:x=1",))
    assert FinetuneConfig.split_path("test_file", "HANS:x=1") == ("HANS:", "x=1", "")
    assert FinetuneConfig.split_path("test_file", "HANS:dev") == ("HANS:dev", "", "")
