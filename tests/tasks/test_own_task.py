"""A task that a user describes and registers in a file of their own: two classes with other names."""

import json

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, export, finetune, registry
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.evaluate.predictions import read_predictions
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.tasks.task import PairTask, find_task, register, schema_of

SUPPORT, OTHER = "supports", "says nothing"


@pytest.fixture(scope="module")
def task():
    """The task, registered while these tests run."""

    class Claims(PairTask):
        name = "Claims"
        class_labels = (SUPPORT, OTHER)
        label_alias = {"yes": SUPPORT, "no": OTHER}
        columns = {"premise": ("passage",), "hypothesis": ("claim",), "label": ("verdict",)}
        files = {"train": ("train.tsv", "old/train.tsv"), "dev": ("dev.tsv",), "dev_long": ("dev.tsv",)}

    yield register(Claims)
    del registry.task._entries["claims"], registry.dataset._entries["claims"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The folder of its corpus: a claim is supported if it repeats the passage's verb."""
    folder = tmp_path_factory.mktemp("claims")
    verbs = ("sleeping", "awake", "running", "eating")
    nouns = ("man", "woman", "dog", "cat")
    rows = [
        f"the {noun} is {verb}.\tthe {noun} is {verb if answer == 'YES' else 'outside'}.\t{answer}"
        for noun in nouns
        for verb in verbs
        for answer in ("YES", "no")
    ]
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_text("\n".join(["passage\tclaim\tverdict", *rows * 2]) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(task, corpus, tiny_name, tmp_path_factory):
    """Output folder and summary of a run that was told the name of the task and nothing else about it."""
    folder = tmp_path_factory.mktemp("own-task") / "out"
    settings = {"max_len": 32, "lr": 3e-3, "epochs": 8, "batch_size": 16, "seed": 1}
    summary = finetune(
        task="claims", corpus_root=str(corpus), dataset_name=tiny_name, output_dir=str(folder), **settings
    )
    return folder, summary


def test_gluonnlp_finds_the_task_and_its_dataset(task, corpus):
    found = nlp.data.get_task("claims")
    assert isinstance(found, task) and found.class_labels == [SUPPORT, OTHER] and found.is_pair
    dataset = nlp.data.create("Claims", segment="dev", root=str(corpus))
    assert dataset[0] == ["the man is sleeping.", "the man is sleeping.", SUPPORT]
    assert dataset[1][2] == OTHER
    assert nlp.data.list_datasets("Claims")["segment"] == ["train", "dev", "dev_long"]


def test_several_segments_of_one_use_are_a_list_as_gluonnlp_has_it(task, corpus):
    found = task(root=str(corpus))
    assert [name for name, _ in found.dataset_dev()] == ["dev", "dev_long"]
    assert found.dataset_test() == [] and found.dataset_train()[0] == "train"


def test_the_model_learns_the_classes_of_the_task_and_takes_them_along(run):
    folder, summary = run
    assert summary["dev_accuracy"] > 0.8
    settings = load_model(folder).settings
    assert (settings.labels, settings.task) == ((SUPPORT, OTHER), "Claims")
    recorded = json.loads((folder / "config.json").read_text())
    assert recorded["settings"]["task"] == "claims" and set(recorded["data"]) == {"train", "dev", "dev_long"}
    assert summary["dev_long_accuracy"] == summary["dev_accuracy"]


def test_predictions_and_scores_name_the_classes_of_the_task(run, corpus):
    folder, summary = run
    (prediction,) = Predictor.load(folder)([("the man is eating.", "the man is eating.")])
    assert list(prediction.probabilities) == [SUPPORT, OTHER] and prediction.label in (SUPPORT, OTHER)
    scores = evaluate(folder, corpus / "dev.tsv")
    assert scores.accuracy == pytest.approx(summary["dev_accuracy"])
    assert scores.labels == (SUPPORT, OTHER) and scores.confusion.shape == (2, 2)
    kept = read_predictions(folder, "dev")
    assert kept.pairs.labels == (SUPPORT, OTHER) and kept.evaluation.accuracy == scores.accuracy


def test_predict_and_export_find_the_columns_of_the_task(run, corpus, tmp_path, capsys):
    assert main(["predict", str(run[0]), "--file", str(corpus / "dev.tsv")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 64
    export(run[0], "model", tmp_path / "to", corpus / "dev.tsv")


def test_a_test_file_may_be_given_for_a_corpus_without_test_pairs(task, corpus, tiny_name, tmp_path):
    files = {"train_file": corpus / "train.tsv", "dev_file": corpus / "dev.tsv", "test_file": corpus / "dev.tsv"}
    summary = finetune(
        task="claims", dataset_name=tiny_name, output_dir=tmp_path / "out", epochs=1, max_len=32, **files
    )
    assert summary["test_accuracy"] == summary["dev_accuracy"]


def test_a_corpus_without_pairs_for_evaluation_cannot_be_fine_tuned_on(tmp_path):
    @register
    class Half(PairTask):
        name, class_labels, files = "Half", ("one", "two"), {"train": ("train.tsv",)}

    with pytest.raises(UsageError, match="--task Half has no dev segment: give --train-file and --dev-file"):
        finetune(task="Half", output_dir=str(tmp_path / "out"))
    del registry.task._entries["half"], registry.dataset._entries["half"]


def test_the_report_shows_the_classes_of_the_task(run):
    page = (run[0] / "report.html").read_text(encoding="utf-8")
    assert f'<th scope="row">{SUPPORT}</th>' in page and f'<th scope="col">{OTHER}</th>' in page
    assert "entailment" not in page


def test_a_label_of_another_task_is_refused_with_the_labels_there_are(run, corpus, tmp_path):
    wrong = tmp_path / "wrong.tsv"
    wrong.write_text("passage\tclaim\tverdict\na\tb\tneutral\n")
    with pytest.raises(DataError, match=f"unknown verdict 'neutral'; expected one of {SUPPORT}, '{OTHER}'"):
        evaluate(run[0], wrong)


def test_models_of_different_tasks_are_not_averaged(run, tiny_run, corpus):
    with pytest.raises(UsageError, match="the models have different classes"):
        evaluate([run[0], tiny_run], corpus / "dev.tsv")


def test_a_model_whose_task_is_not_registered_reads_its_labels_as_they_are_spelt():
    assert schema_of(("b", "a"), "nowhere").labels == ("b", "a")
    assert schema_of(("neutral", "entailment", "contradiction"), "SNLI") == find_task("snli").schema
    assert schema_of(("x", "y"), "SNLI").label_alias == {}


@pytest.mark.parametrize(
    "options, told",
    [
        ({"task": "Clams"}, "no task 'Clams'; there are: .*SNLI"),
        ({"task": "Claims", "sample": True}, "--sample has pairs of the task SNLI"),
    ],
)
def test_a_task_that_cannot_be_used_is_one_line(task, tmp_path, options, told):
    with pytest.raises(UsageError, match=told):
        finetune(output_dir=str(tmp_path / "out"), **options)


@pytest.mark.parametrize(
    "description, told",
    [
        ({"class_labels": ("one",)}, "it has 1 class_labels; a classifier needs at least 2"),
        ({"class_labels": ("one", "One")}, "two of its class_labels are the same"),
        ({"class_labels": "ab"}, "class_labels is 'ab'; it must be a list of printable names"),
        ({"class_labels": ("one", "t\x1b[31mwo")}, "must be a list of printable names"),
        ({"class_labels": ("one", "-")}, "a class has a spelling of no_label"),
        ({"label_alias": {"x": "three"}}, "label_alias names three, which is not a class"),
        ({"name": "a b"}, "its name is 'a b'"),
        ({"columns": {"premise": ("a",)}}, "columns must name premise, hypothesis, label"),
        ({"own_columns": ("a", "b")}, "own_columns must be the names of premise, hypothesis, label"),
    ],
)
def test_a_description_that_is_not_consistent_is_refused_where_it_is_written(description, told):
    with pytest.raises(UsageError, match=told):
        type("Mine", (PairTask,), {"name": "Mine", "class_labels": ("one", "two"), **description})
