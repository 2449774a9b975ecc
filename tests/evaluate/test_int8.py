"""``--dtype int8`` gives nearly the answers of float32."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, finetune
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.model.inference import probabilities


@pytest.fixture(scope="module", params=["mlp", "pooled"])
def folder(request, tiny_run, tiny_name, pairs_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "out"
    if request.param == "mlp":
        shutil.copytree(str(tiny_run), str(folder))
    else:
        files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
        settings = dict(max_len=32, lr=3e-3, epochs=12, batch_size=16, head=request.param)
        finetune(dataset_name=tiny_name, output_dir=str(folder), **settings, **files)
    return folder


@pytest.fixture
def model(folder):
    return load_model(folder)


@pytest.mark.usefixtures("int8_operator")
def test_nearly_the_same_answers(folder, encoded):
    before, after = (
        probabilities(Predictor.load(folder, dtype=dtype).logits(encoded)) for dtype in ("float32", "int8")
    )
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() >= 0.95
    np.testing.assert_allclose(after, before, atol=0.1)
    assert not (before == after).all()


@pytest.mark.usefixtures("int8_operator", "empty_figures")
def test_on_the_command_line_and_in_python(folder, pairs_file, capsys):
    accuracy = evaluate(folder, pairs_file, dtype="int8").accuracy
    assert accuracy == pytest.approx(evaluate(folder, pairs_file).accuracy, abs=0.05)
    assert main(["evaluate", str(folder), "--file", str(pairs_file), "--dtype", "int8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == accuracy
    assert main(["predict", str(folder), "--file", str(pairs_file), "--dtype", "int8"]) == 0
    labels = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    gold = [json.loads(line)["gold_label"] for line in pairs_file.read_text().splitlines()]
    assert np.mean([label == other for label, other in zip(labels, gold)]) == pytest.approx(accuracy)


def test_not_on_a_gpu(folder):
    with pytest.raises(UsageError, match="--dtype int8 is for CPU"):
        Predictor.load(folder, [mx.gpu()], dtype="int8")


def test_no_other_precision(folder):
    with pytest.raises(UsageError, match="unknown dtype 'int4'; choose from float32, bfloat16, int8"):
        Predictor.load(folder, dtype="int4")
