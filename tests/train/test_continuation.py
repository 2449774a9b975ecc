"""Continued fine-tuning: a run that starts from a fine-tuned model, head included where the classes are the same."""

import json
import re
import shutil

import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, finetune
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import CheckpointError, PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.evaluate.predictions import read_predictions
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.model_folder import load_model, weights_sha256
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

AT_ONCE = 1e-9  # seconds: a run with this limit makes one update
PAIRS = [("The man is sleeping.", "a man is sleeping"), ("The dog is red.", "two dog are red")]


@pytest.fixture
def train(pairs_file, tmp_path):
    """Fine-tune for an epoch; returns (summary, folder)."""

    def start(model, name="new", **options):
        files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
        settings = {"epochs": 1, "batch_size": 16, "lr": 3e-4, "seed": 2, "output_dir": str(tmp_path / name)}
        return finetune(**{"init_from": str(model), **files, **settings, **options}), tmp_path / name

    return start


@pytest.fixture(scope="module")
def pooled_run(tiny_name, pairs_file, tmp_path_factory):
    """The output folder of a run with the head that all formats have; not fully trained, so that scores differ."""
    folder = tmp_path_factory.mktemp("pooled-run") / "out"
    settings = {"max_len": 32, "lr": 3e-3, "epochs": 6, "batch_size": 16, "seed": 1, "head": "pooled"}
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    finetune(dataset_name=tiny_name, output_dir=str(folder), **settings, **files)
    return folder


def _record(folder):
    return json.loads((folder / "config.json").read_text())


def _dev(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "dev"]


def _relabelled(source, target, names):
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    target.write_text("\n".join(json.dumps({**row, "gold_label": names[row["gold_label"]]}) for row in rows) + "\n")
    return target


@pytest.mark.parametrize("engine", ["mxnet", "xla"])
def test_the_first_evaluation_is_that_of_the_model(train, pooled_run, pairs_file, engine):
    if engine == "xla":
        pytest.importorskip("jax")
    _, folder = train(pooled_run, lr=1e-9, engine=engine, batch_size=120, dropout=0.0)  # one program to compile
    first, *_ = _dev(folder)
    assert (first["epoch"], first["update"]) == (0, 0)
    scores = evaluate(pooled_run, pairs_file)
    assert first["accuracy"] == scores.accuracy and 0.4 < scores.accuracy < 1
    before = read_predictions(pooled_run, "dev").probabilities
    np.testing.assert_allclose(read_predictions(folder, "dev").probabilities, before, atol=2e-6)


def test_a_model_that_training_makes_worse_is_kept(train, tiny_run, capsys):
    words = ["finetune", "--init-from", str(tiny_run), "--epochs", "1", "--lr", "0.5", "--clip", "0"]
    summary, folder = train(tiny_run, lr=0.5, clip=0.0)
    assert (summary["best_epoch"], summary["best_update"]) == (0, 0)
    assert summary["dev_accuracy"] == json.loads((tiny_run / "summary.json").read_text())["dev_accuracy"]
    pages = [(folder / "report.html").read_text(encoding="utf-8")]
    assert "the initial model" in pages[0] and f"continued from {tiny_run}" in pages[0]
    record = _record(folder)
    words += ["--train-file", *record["settings"]["train_file"], "--dev-file", *record["settings"]["dev_file"]]
    assert main([*words, "--output-dir", str(folder), "--overwrite"]) == 0
    assert "(before the first update)" in capsys.readouterr().out


def test_backbone_head_tokenizer_and_length_come_from_the_model_and_are_recorded(train, pooled_run):
    _, folder = train(pooled_run)
    before, after = load_model(pooled_run).settings, load_model(folder).settings
    assert after == before
    record = _record(folder)
    assert record["settings"]["init_from"] == str(pooled_run)
    assert (record["settings"]["head"], record["settings"]["max_len"]) == ("pooled", 32)
    sha256 = weights_sha256(pooled_run)
    assert record["initial_model"] == {"backbone": "bert_2_16_2", "sha256": sha256, "head": "kept"}
    assert f"sha256 {sha256}" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_command_of_a_continued_run_names_what_would_otherwise_be_the_models(train, pooled_run):
    _, folder = train(pooled_run, task="SNLI")
    (line,) = re.findall("gluonnlp-snli finetune .*", (folder / "report.html").read_text(encoding="utf-8"))
    assert "--task SNLI" in line and "--max-len 32" in line and "--truncation longest_first" in line


def test_length_truncation_and_dropout_can_be_others(train, pooled_run):
    _, folder = train(pooled_run, max_len=24, truncation="ratio", dropout=0.2)
    settings = load_model(folder).settings
    assert (settings.max_len, settings.truncation, settings.dropout, settings.hparams["dropout"]) == (
        *(24, "ratio"),
        *(0.2, 0.2),
    )


def test_classes_in_another_order_permute_the_head(train, pooled_run):
    labels = ["neutral", "contradiction", "entailment"]
    _, folder = train(pooled_run, lr=1e-9, labels=labels)
    assert load_model(folder).settings.labels == tuple(labels)
    assert _record(folder)["initial_model"]["head"] == "kept"
    for one, other in zip(Predictor.load(pooled_run)(PAIRS), Predictor.load(folder)(PAIRS)):
        assert list(other.probabilities) == labels
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-5)


def test_other_classes_get_a_new_head_and_one_line_says_so(train, pooled_run, pairs_file, tmp_path, caplog):
    names = {"entailment": "yes", "contradiction": "no", "neutral": "no"}
    file = str(_relabelled(pairs_file, tmp_path / "binary.jsonl", names))
    with caplog.at_level("INFO"):
        _, folder = train(pooled_run, labels="yes,no", train_file=file, dev_file=file, lr=1e-9)
    told = [r.getMessage() for r in caplog.records if "the head is new" in r.getMessage()]
    assert told == [
        f"the head is new: {pooled_run} has the classes entailment, contradiction, neutral; this run has yes, no"
    ]
    assert [line["epoch"] for line in _dev(folder)] == [1]  # a new head says nothing before it is trained
    assert _record(folder)["initial_model"]["head"] == "new"
    before, after = load_model(pooled_run).net, load_model(folder).net
    weight = after.classifier[1].weight.data().asnumpy()
    assert weight.shape == (2, 16) and 0 < np.abs(weight).max() < 0.1
    key = after.bert.pooler.weight.data().asnumpy()
    np.testing.assert_allclose(key, before.bert.pooler.weight.data().asnumpy(), atol=1e-6)


def test_classes_of_the_users_own_come_with_the_model(train, pooled_run, pairs_file, tmp_path):
    own = {"entailment": "supports", "contradiction": "refutes", "neutral": "says nothing"}
    file = str(_relabelled(pairs_file, tmp_path / "own.jsonl", own))
    files = {"train_file": file, "dev_file": file}
    _, first = train(pooled_run, "first", labels=list(own.values()), epochs=2, **files)
    _, second = train(first, "second", **files)
    assert load_model(second).settings.labels == tuple(own.values())
    assert _record(second)["settings"]["labels"] == "supports,refutes,says nothing"
    assert _dev(second)[0]["accuracy"] == evaluate(first, file).accuracy
    codes = str(_relabelled(pairs_file, tmp_path / "codes.jsonl", dict(zip(own, "012"))))
    spelt = {"labels": dict(zip("012", own.values())), "train_file": codes, "dev_file": codes}
    _, third = train(first, "third", **spelt)
    assert _dev(third)[0]["accuracy"] == _dev(second)[0]["accuracy"]
    assert _record(third)["settings"]["classes"] == "supports,refutes,says nothing"
    _, fourth = train(first, "fourth", task="SNLI")  # which has other classes
    assert _record(fourth)["initial_model"]["head"] == "new"


@pytest.mark.parametrize("format", ["model", "huggingface", "gluonnlp"])
def test_any_model_that_has_weights_can_be_continued(train, pooled_run, tiny_name, tmp_path, format):
    export(pooled_run, format, tmp_path / "to")
    model, options = tmp_path / "to", {}
    if format == "gluonnlp":
        model, options = model / "model_bert_SNLI.params", {"dataset_name": tiny_name, "truncation": "longest_first"}
    _, folder = train(model, lr=1e-9, **options)
    assert _dev(folder)[0]["accuracy"] == _dev(pooled_run)[-1]["accuracy"]
    assert len(_record(folder)["initial_model"]["sha256"]) == 64


def test_two_ranks_score_it_first_too(pooled_run, pairs_file, tmp_path, command):
    words = ["--init-from", pooled_run, "--train-file", pairs_file, "--dev-file", pairs_file, "--epochs", "1"]
    done = command("finetune", *words, "--output-dir", tmp_path / "new", "--np", "2", "--batch-size", "16")
    assert done.returncode == 0, done.stderr
    assert _dev(tmp_path / "new")[0]["accuracy"] == _dev(pooled_run)[-1]["accuracy"]


def test_a_run_that_was_begun_before_there_was_such_an_option_is_resumed(tiny_name, pairs_file, tmp_path):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    with pytest.raises(Stopped):
        finetune(dataset_name=tiny_name, output_dir=str(tmp_path), max_len=32, max_seconds=AT_ONCE, **files)
    record = _record(tmp_path)
    del record["initial_model"], record["settings"]["init_from"], record["settings"]["classes"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    finetune(resume=str(tmp_path), max_seconds=0)


def test_an_onnx_model_cannot(train, pooled_run, tmp_path):
    pytest.importorskip("onnxruntime")
    export(pooled_run, "onnx", tmp_path / "to")
    with pytest.raises(UsageError, match="an ONNX model cannot be trained: give the model that it was made from"):
        train(tmp_path / "to")


@pytest.mark.parametrize("more", [{}, pytest.param({"engine": "xla"}, marks=pytest.mark.long)], ids=str)
def test_a_resumed_run_ends_as_the_whole_one(train, pooled_run, tmp_path, more):
    if more:
        pytest.importorskip("jax")
    _, whole = train(pooled_run, "whole", epochs=2, **more)
    with pytest.raises(Stopped):
        train(pooled_run, "broken", epochs=2, max_seconds=AT_ONCE, **more)
    finetune(resume=str(tmp_path / "broken"), max_seconds=0)
    assert _dev(tmp_path / "broken") == _dev(whole)
    assert weights_sha256(tmp_path / "broken") == weights_sha256(whole)


def test_the_model_may_move_but_not_change_before_a_run_is_resumed(train, pooled_run, tiny_run, tmp_path):
    shutil.copytree(str(pooled_run), str(tmp_path / "model_uncased"))  # which could be a name of the store, too
    with pytest.raises(Stopped):
        train(tmp_path / "model_uncased", max_seconds=AT_ONCE)
    folder = str(tmp_path / "new")
    shutil.move(str(tmp_path / "model_uncased"), str(tmp_path / "moved"))
    with pytest.raises(UsageError, match="model_uncased is missing; if it has moved, give the new path: --init-from"):
        finetune(resume=folder, max_seconds=0)
    shutil.rmtree(str(tmp_path / "moved" / "model"))
    shutil.copytree(str(tiny_run / "model"), str(tmp_path / "moved" / "model"))
    with pytest.raises(PluginError, match="began: initial_model sha256 was [0-9a-f]{64}, is [0-9a-f]{64};"):
        finetune(resume=folder, init_from=str(tmp_path / "moved"), max_seconds=0)
    shutil.rmtree(str(tmp_path / "moved"))
    shutil.copytree(str(pooled_run), str(tmp_path / "moved"))
    finetune(resume=folder, init_from=str(tmp_path / "moved"), max_seconds=0)
    assert _record(tmp_path / "new")["settings"]["init_from"] == str(tmp_path / "moved")


def test_the_recorded_command_repeats_the_run(train, pooled_run, pairs_file, tmp_path):
    _, folder = train(pooled_run)
    words = _record(folder)["repeat"][1:]
    words[words.index("--output-dir") + 1] = str(tmp_path / "again")
    assert main(words) == 0
    assert _dev(tmp_path / "again") == _dev(folder)
    assert main([*words, "--resume"]) == 0  # it is complete


@pytest.mark.parametrize(
    "options, told",
    [
        ({"backbone": "bert_2_16_2"}, "--init-from OUT has a backbone and a vocabulary: omit --backbone"),
        ({"dataset_name": "tiny_uncased"}, "omit --dataset-name"),
        ({"vocab": "v"}, "omit --vocab"),
        ({"cased": True}, "omit --cased"),
        ({"sample": True, "train_file": None, "dev_file": None}, "--sample has its own pairs.*omit --init-from"),
        ({"head": "mlp"}, "--head is mlp; the model in OUT has pooled: omit --head"),
        ({"hidden_units": 3}, "--hidden-units is 3; the model in OUT has 256: omit --hidden-units"),
        ({"max_len": 65}, "--max-len is 65; bert_2_16_2 takes inputs of up to 64"),
        ({"output_dir": "OUT"}, "--init-from OUT is in --output-dir OUT: give another --output-dir"),
        ({"init_from": "OUT/model", "output_dir": "OUT"}, "--init-from OUT/model is in --output-dir OUT"),
        ({"labels": "yes"}, "--labels names one class"),
    ],
)
def test_what_contradicts_the_model_is_one_line(train, pooled_run, monkeypatch, options, told):
    monkeypatch.chdir(pooled_run.parent)
    shutil.copytree(str(pooled_run), "OUT", dirs_exist_ok=True)
    with pytest.raises(UsageError, match=told) as refused:
        train("x", **{"init_from": "OUT", **options})
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_model_is_named(train, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere holds no model"):
        train(tmp_path / "nowhere")


def test_a_model_of_a_registered_task_keeps_the_task(pooled_run, pairs_file):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    config = FinetuneConfig.of(init_from=str(pooled_run), output_dir="new", **files)
    assert (config.task, config.labels, config.classes) == ("SNLI", None, None)


def test_the_settings_of_a_model_folder_are_read_without_its_weights(pooled_run, pairs_file, tmp_path):
    shutil.copytree(str(pooled_run), str(tmp_path / "model"))
    for path in (tmp_path / "model").rglob("*.params"):
        path.unlink()
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    options = {"init_from": str(tmp_path / "model"), "output_dir": str(tmp_path / "new"), **files}
    assert FinetuneConfig.of(**options).head == "pooled"
    with pytest.raises(CheckpointError, match=r"weights-.*\.params is missing"):
        finetune(**options)
