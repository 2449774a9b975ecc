"""GLUE's tasks from local files of the official layout: GluonNLP's own datasets, and ``finetune --task``."""

import json
import pickle
import urllib.request

import gluonnlp as nlp
import numpy as np
import pytest
from gluonnlp.data import glue
from mxnet.metric import F1, Accuracy, CompositeEvalMetric, EvalMetric

import gluonnlp_snli_plugin
from gluonnlp_snli_plugin import evaluate, finetune, registry
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, PluginError, UsageError
from gluonnlp_snli_plugin.tasks.nli import LABELS as SNLI_LABELS
from gluonnlp_snli_plugin.tasks.task import PairTask, find_task
from gluonnlp_snli_plugin.train.finetuning import Best

DATASETS = {
    "GlueRTE": "RTE",
    "GlueQNLI": "QNLI",
    "GlueWNLI": "WNLI",
    "GlueQQP": "QQP",
    "GlueMRPC": "MRPC",
    "GlueSTSB": "STS-B",
    "GlueCoLA": "CoLA",
    "GlueSST2": "SST-2",
    "GlueMNLI": "MNLI",
}
LABELS = {
    "RTE": {"not_entailment", "entailment"},
    "QNLI": {"not_entailment", "entailment"},
    "MNLI": {"neutral", "entailment", "contradiction"},
    "STS-B": {"0.500", "4.000"},
}


@pytest.fixture(scope="module")
def root(glue_folder):
    return glue_folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The host of GluonNLP's data is gone: asking for it fails the test."""

    def refuse(*args, **_):
        raise AssertionError(f"asked for {args}")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(glue, "download", refuse)
    monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)


@pytest.mark.parametrize("dataset, task", DATASETS.items())
def test_gluonnlps_datasets_read_the_folder_of_glue(root, dataset, task):
    files = sorted((root / task).iterdir())
    assert len(files) == (5 if task == "MNLI" else 3)
    for file in files:
        has_labels, is_single = not file.stem.startswith("test"), task in ("CoLA", "SST-2")
        for folder in (root, root / task):
            rows = nlp.data.create(dataset, segment=file.stem, root=str(folder))
            assert len(rows) == 8 and len(rows[0]) == (1 if is_single else 2) + has_labels
            assert rows[0][0].startswith("a woman is " if is_single else 'the "man" is ')
            assert not has_labels or {row[-1] for row in rows} == LABELS.get(task, {"0", "1"})


def test_all_fields_are_returned_where_asked_for(root):
    assert nlp.data.GlueRTE("dev", root=str(root), return_all_fields=True)[0][0] == "0"


def test_a_dataset_can_be_pickled_as_before(root):
    dataset = nlp.data.GlueMRPC("dev", root=str(root))
    assert list(pickle.loads(pickle.dumps(dataset))) == list(dataset)


@pytest.mark.parametrize("dataset, task", DATASETS.items())
def test_a_missing_file_is_one_line_that_says_which_and_where_glue_is(dataset, task, tmp_path):
    segment = "dev_matched" if task == "MNLI" else "dev"
    with pytest.raises(DataError) as info:
        nlp.data.create(dataset, segment=segment, root=str(tmp_path))
    message = str(info.value)
    assert message.startswith(f"{tmp_path}/{task}/{segment}.tsv is missing: ")
    assert "https://gluebenchmark.com/tasks" in message and "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_too_few_columns_is_one_line(tmp_path):
    (tmp_path / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\ta\n")
    with pytest.raises(DataError, match="train.tsv, line 3, has fewer columns than GLUE's own file"):
        nlp.data.GlueRTE("train", root=str(tmp_path))
    (tmp_path / "train.tsv").write_bytes(b"index\xff\n")
    with pytest.raises(DataError, match="train.tsv is not valid UTF-8"):
        nlp.data.GlueRTE("train", root=str(tmp_path))


@pytest.mark.parametrize(
    "dataset, label",
    [("GlueRTE", "1"), ("GlueMNLI", "maybe"), ("GlueCoLA", ""), ("GlueSTSB", "nan"), ("GlueSTSB", "x")],
)
def test_a_label_of_another_task_is_one_line(root, tmp_path, dataset, label):
    lines = (root / DATASETS[dataset] / "train.tsv").read_text().splitlines()
    cells = lines[-1].split("\t")
    cells[1 if dataset == "GlueCoLA" else -1] = label
    (tmp_path / "train.tsv").write_text("\n".join([*lines[:-1], "\t".join(cells)]) + "\n")
    with pytest.raises(DataError, match=f"train.tsv, row 8: '{label}' is not a label of GLUE's {DATASETS[dataset]}"):
        nlp.data.create(dataset, segment="train", root=str(tmp_path))


def test_incomplete_rows_of_qqp_are_left_out_as_gluonnlp_does(root, tmp_path):
    (tmp_path / "train.tsv").write_text((root / "QQP" / "train.tsv").read_text() + "7\t8\n")
    with pytest.warns(UserWarning, match="1 incomplete samples"):
        assert len(nlp.data.GlueQQP("train", root=str(tmp_path))) == 8


def test_another_host_is_asked_as_gluonnlp_does_it(root, monkeypatch):
    asked = []
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:1/")
    monkeypatch.setattr(glue, "download", lambda url, **_: asked.append(url) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        nlp.data.GlueRTE("train", root=str(root))
    assert asked == ["http://127.0.0.1:1/gluon/dataset/GLUE/RTE/train-ec2b2467.zip"]


def test_deactivating_puts_gluonnlps_own_way_back(root):
    active = glue._GlueDataset.__init__, glue.GlueMRPC.__init__
    gluonnlp_snli_plugin.deactivate()
    try:
        assert glue._GlueDataset.__init__ is active[0].__wrapped__
        assert glue.GlueMRPC.__init__ is active[1].__wrapped__
        with pytest.raises(AssertionError, match="asked for"):
            nlp.data.GlueRTE("train", root=str(root))
    finally:
        gluonnlp_snli_plugin.activate()


# Fine-tuning ---------------------------------------------------------------------------------------------------------

PAIRS = ["RTE", "QNLI", "WNLI", "MNLI", "MRPC", "QQP"]


@pytest.mark.parametrize("name", PAIRS)
def test_fine_tuning_takes_the_pair_classification_tasks(root, name, tiny_name, tmp_path, empty_figures):
    out = tmp_path / "out"
    settings = {"dataset_name": tiny_name, "epochs": 1, "max_len": 32, "batch_size": 4, "no_native": True}
    summary = finetune(task=name, corpus_root=str(root), output_dir=str(out), **settings)
    segment = "dev_matched" if name == "MNLI" else "dev"
    scores = evaluate(out, root / name / f"{segment}.tsv")
    assert scores.accuracy == summary["dev_accuracy"]
    assert list(scores.labels) == nlp.data.get_task(name).class_labels
    sources = {use: facts["source"] for use, facts in json.loads((out / "config.json").read_text())["data"].items()}
    others = {"dev_mismatched": f"{root}/{name}/dev_mismatched.tsv"} if name == "MNLI" else {}
    assert sources == {"train": f"{root}/{name}/train.tsv", "dev": f"{root}/{name}/{segment}.tsv", **others}


@pytest.mark.parametrize("name", PAIRS)
def test_the_tasks_are_described_as_gluonnlp_has_them(name):
    ours, theirs = find_task(name)(), nlp.data.get_task(name)
    assert type(theirs).__module__ == "gluonnlp.data.classification"
    assert ours.class_labels == theirs.class_labels and ours.is_pair == theirs.is_pair
    assert ours.metrics.get()[0] == theirs.metrics.get()[0]


@pytest.mark.parametrize("name", ["MRPC", "QQP"])
def test_paraphrases_are_measured_by_f1_too(root, name, tiny_name, tmp_path, empty_figures, capsys):
    out = tmp_path / "out"
    files = ["--train-file", root / name / "train.tsv", "--dev-file", root / name / "dev.tsv"]
    files += ["--test-file", root / name / "dev.tsv", "--dataset-name", tiny_name, "--output-dir", out]
    settings = ["--epochs", 12, "--max-len", 32, "--batch-size", 4, "--lr", 3e-3, "--no-native"]
    assert main(["finetune", "--task", name, *map(str, [*files, *settings])]) == 0
    summary = json.loads((out / "summary.json").read_text())
    f1 = evaluate(out, root / name / "dev.tsv").per_class["1"]["f1"]
    assert summary["dev_f1"] == summary["test_f1"] == pytest.approx(f1, abs=1e-6) and f1 > 0.5
    said = capsys.readouterr()
    assert f"dev f1         {f1:.4f}\n" in said.out and f"test f1        {f1:.4f}\n" in said.out
    last = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["kind"] == "dev" and "f1" in last


def test_a_checkpoint_holds_what_is_measured_besides_accuracy():
    best, resumed = (Best(None, None, None, None, None) for _ in range(2))
    assert set(best.state_dict()) == set(Best._CHANGES)  # of a task that is measured by accuracy alone
    best.figures = {"f1": 0.5}
    resumed.load_state_dict(json.loads(json.dumps(best.state_dict())))
    assert resumed.figures == {"f1": 0.5}


class _Errors(EvalMetric):
    """The share of wrong answers, so that the highest figure is that of the worst model."""

    def __init__(self):
        super().__init__("errors")

    def update(self, labels, preds):
        self.num_inst += labels[0].shape[0]
        self.sum_metric += int((preds[0].asnumpy().argmax(axis=1) != labels[0].asnumpy()).sum())


def _accuracy_and_errors():
    metric = CompositeEvalMetric()
    metric.add(Accuracy())
    metric.add(_Errors())
    return metric


@pytest.mark.parametrize("made, choose", [(_Errors, min), (_accuracy_and_errors, max)], ids=["errors", "accuracy"])
def test_the_best_model_has_the_highest_first_figure(tiny_name, pairs_file, tmp_path, empty_figures, made, choose):
    class Measured(PairTask):
        name, class_labels, metric = "Measured", SNLI_LABELS, made

    registry.task("Measured")(Measured)
    try:
        settings = {"max_len": 32, "epochs": 6, "batch_size": 16, "lr": 3e-3, "output_dir": tmp_path / "out"}
        summary = finetune(
            task="Measured", dataset_name=tiny_name, train_file=pairs_file, dev_file=pairs_file, **settings
        )
    finally:
        del registry.task._entries["measured"]
    lines = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    accuracies = [line["accuracy"] for line in lines if line["kind"] == "dev"]
    assert len(set(accuracies)) > 1
    assert summary["dev_accuracy"] == choose(accuracies)
    assert summary["dev_errors"] == pytest.approx(1 - choose(accuracies))
    assert summary["best_epoch"] == 1 + accuracies.index(choose(accuracies))


def test_a_figure_may_be_called_some_accuracy(tiny_name, pairs_file, tmp_path, empty_figures, capsys):
    class Measured(PairTask):
        name, class_labels = "Measured", SNLI_LABELS

        @staticmethod
        def metric():
            return Accuracy(name="balanced_accuracy")

        @classmethod
        def figures(cls, scores, labels):
            return {"balanced_accuracy": 0.25}

    registry.task("Measured")(Measured)
    try:
        options = ["--task", "Measured", "--dataset-name", tiny_name, "--max-len", 32, "--epochs", 1]
        options += ["--train-file", pairs_file, "--dev-file", pairs_file, "--test-file", pairs_file]
        assert main(["finetune", *map(str, options), "--output-dir", str(tmp_path / "out")]) == 0
    finally:
        del registry.task._entries["measured"]
    lines = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == ["dev accuracy", "dev balanced_accuracy", "test accuracy", "test balanced_accuracy"]


def test_a_metric_that_does_not_fit_the_classes_is_told():
    class Three(PairTask):
        name, class_labels, metric = "Three", ("a", "b", "c"), F1

    with pytest.raises(PluginError, match="the metric of task Three cannot measure its classes: .*binary"):
        Three.figures(np.eye(3, dtype=np.float32), np.arange(3))
    assert find_task("SNLI").figures(np.eye(3, dtype=np.float32), np.arange(3)) == {}


def test_a_task_of_glue_without_files_names_the_one_that_is_missing(tiny_name, tmp_path):
    with pytest.raises(DataError, match=r"RTE/train\.tsv is missing: get RTE from https://gluebenchmark\.com/tasks"):
        finetune(
            task="RTE",
            corpus_root=str(tmp_path),
            vocab=tiny_name,
            output_dir=str(tmp_path / "out"),
            max_len=32,
            backbone="bert_2_16_2",
        )


@pytest.mark.parametrize(
    "name, kind",
    [
        ("STS-B", "its answers are numbers, not classes; gluonnlp-snli run with"),
        ("CoLA", "it classifies single sentences; gluonnlp-snli run with"),
        ("SST", "it classifies single sentences"),
    ],
)
def test_what_is_not_a_task_of_pair_classification_is_refused(name, kind, tmp_path):
    with pytest.raises(UsageError, match=f"{name} is not a task of pair classification: {kind}"):
        finetune(task=name, output_dir=str(tmp_path / "out"))


def test_a_name_of_no_task_is_refused_with_those_there_are(tmp_path):
    for name in ("RTEE", "LCQMC"):  # the second is GluonNLP's, and classifies pairs whose files are not known here
        with pytest.raises(UsageError, match=f"no task '{name}'; there are: .*RTE"):
            finetune(task=name, output_dir=str(tmp_path / "out"))
