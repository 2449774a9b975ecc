"""int8: a model folder of MXNet's own 8-bit operators, which every command takes."""

import json

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.formats import export, int8
from gluonnlp_snli_plugin.system.files import digest
from gluonnlp_snli_plugin.tasks.snli import SNLI


@pytest.fixture(scope="module")
def exported(tiny_run, pairs_file, tmp_path_factory):
    return export(tiny_run, "int8", tmp_path_factory.mktemp("export") / "to", pairs_file)


def test_it_says_what_it_costs_and_brings(exported):
    assert set(exported.more) == {"same labels", "accuracy", "speed"}
    nodes = json.loads((exported.folder / "model-symbol.json").read_text())["nodes"]
    assert sum(node["op"] == "_contrib_quantize_v2" for node in nodes) > 4


def test_every_command_takes_it(capsys, exported, tiny_run, pairs_file):
    before, after = evaluate(tiny_run, pairs_file).accuracy, evaluate(exported.folder, pairs_file).accuracy
    assert after == pytest.approx(before, abs=0.1)
    assert main(["predict", str(exported.folder), "--premise", "The dog is running.", "--hypothesis", "a dog"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] in ("entailment", "contradiction", "neutral")
    net, vocab = nlp.model.get_model("snli_bert_classifier", params_dir=str(exported.folder))
    assert net(mx.nd.array([[2, 6, 3]]), mx.nd.zeros((1, 3)), mx.nd.array([3])).shape == (1, 3) and len(vocab) == 77


def test_batches_of_any_shape_give_the_same_answers(exported, pairs_file):
    dataset = SNLI(file=pairs_file)
    pairs = list(zip(dataset.premises, dataset.hypotheses))[:20]
    together = Predictor.load(exported.folder)(pairs)
    alone = [Predictor.load(exported.folder, batch_size=1)([pair])[0] for pair in pairs]
    for one, other in zip(together, alone):
        np.testing.assert_allclose(list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-4)


def test_a_sentencepiece_model_goes_with_it(make_model, spiece, pairs_file, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "_MOST_CHANGED", 1)
    monkeypatch.setattr(int8, "TOLERANCE", 1e3)
    export(make_model("pooled", spiece), "int8", tmp_path / "to", pairs_file)
    assert Predictor.load(tmp_path / "to")([("the dog is red", "a dog")])[0].label


def test_it_is_as_it_is(exported, tmp_path):
    with pytest.raises(UsageError, match="the model is an 8-bit one already"):
        Predictor.load(exported.folder, dtype="int8")
    with pytest.raises(UsageError, match="holds an 8-bit model: export the model that it was made from"):
        export(exported.folder, "symbol", tmp_path / "to")
    with pytest.raises(UsageError, match="holds an 8-bit model, which is for CPU"):
        Predictor.load(exported.folder, [mx.gpu(0)])


def test_pairs_must_be_given(tiny_run, tmp_path):
    with pytest.raises(UsageError, match="--format int8 needs --file F"):
        export(tiny_run, "int8", tmp_path / "to")


def test_too_many_other_labels_leave_nothing(tiny_run, pairs_file, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "_MOST_CHANGED", -1)
    with pytest.raises(CheckpointError, match="of the labels on .* are others than before"):
        export(tiny_run, "int8", tmp_path / "to", pairs_file)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda text: text[: len(text) // 2], "model-symbol.json is damaged"),
        (lambda text: "[]", "model-symbol.json is damaged"),
        (lambda text: text.replace('"LayerNorm"', '"Custom"'), "has the operator Custom, which no 8-bit model"),
        (lambda text: text.replace('"axis": "-1"', '"axis": "many"'), "model-symbol.json is damaged"),
    ],
)
def test_a_damaged_graph_is_one_line(exported, tmp_path, change, complaint):
    for file in exported.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    graph, config = tmp_path / "model-symbol.json", json.loads((tmp_path / "config.json").read_text())
    graph.write_text(change(graph.read_text()))
    with pytest.raises(CheckpointError, match="is damaged: its content is not what"):
        Predictor.load(tmp_path)
    config["files"]["graph"]["sha256"] = digest(graph)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=complaint) as caught:
        Predictor.load(tmp_path)
    assert "\n" not in str(caught.value)
