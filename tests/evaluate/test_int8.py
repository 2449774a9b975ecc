"""A net with 8-bit integers gives nearly the answers of the net that it was made of."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from accelerated_nets import operators_of

from gluonnlp_snli_plugin import Predictor, evaluate, finetune
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.model.inference import logits, probabilities
from gluonnlp_snli_plugin.native import accelerate, operators, stock_products
from gluonnlp_snli_plugin.native.int8 import pack, quantize

needs_operator = pytest.mark.usefixtures("int8_operator")


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


@pytest.fixture(params=["as it was loaded", "accelerated", "accelerated with AMX"])
def accelerated(request, monkeypatch):
    """Does that with a net, whatever this processor has."""

    def change(net):
        monkeypatch.setattr(operators, "has_amx", lambda: request.param.endswith("AMX"))
        if request.param != "as it was loaded":
            accelerate(net)

    return change


@needs_operator
@pytest.mark.parametrize("batch_size", [1, 32])
def test_nearly_the_same_answers(model, encoded, accelerated, batch_size):
    before = logits(model.net, encoded, [mx.cpu()], batch_size)
    accelerated(model.net)
    after = logits(quantize(model.net), encoded, [mx.cpu()], batch_size)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() >= 0.95
    np.testing.assert_allclose(probabilities(after), probabilities(before), atol=0.1)
    assert not (before == after).all()


@needs_operator
def test_only_the_logits_are_left_to_float32(model, accelerated):
    accelerated(model.net)
    in_float32 = operators_of(model.net)
    with stock_products(model.net):
        expected = operators_of(model.net).count("FullyConnected") - 1
    after = operators_of(quantize(model.net))
    assert operators_of(model.net) == in_float32
    assert after.count("FullyConnected") == 1
    assert after.count("_snli_dense_int8") == expected > 4 * len(model.net.bert.encoder.transformer_cells)
    assert not {"LeakyReLU", "_snli_gelu"} & set(after)  # part of the dense layers now
    assert "Concat" not in after  # what interleaves the weights has done its work


@needs_operator
def test_the_net_itself_stays_as_it_is(model, encoded):
    before = logits(model.net, encoded, [mx.cpu()])
    quantized = quantize(model.net)
    logits(quantized, encoded, [mx.cpu()])
    assert (logits(model.net, encoded, [mx.cpu()]) == before).all()
    assert quantized.num_classes == model.net.num_classes


@needs_operator
def test_an_answer_depends_neither_on_the_batch_nor_on_the_padding(model, encoded):
    quantized = quantize(model.net)
    quantized.hybridize(static_alloc=True)
    alone = logits(quantized, encoded, [mx.cpu()], batch_size=1)
    for batch_size in (7, 64, 120):
        together = logits(quantized, encoded, [mx.cpu()], batch_size)
        np.testing.assert_allclose(together, alone, atol=0.02)


def test_packed_weights_are_within_half_a_step():
    weight = np.random.default_rng(0).normal(size=(70, 10)).astype(np.float32)
    weight[3] = 0
    packed, columns = pack(weight, np.arange(70, dtype=np.float32))
    assert packed.shape == (2, 3, 64, 4) and columns.shape == (3, 128)
    restored = packed.transpose(0, 2, 1, 3).reshape(128, 12) * columns[0][:, None]
    assert (np.abs(restored[:70, :10] - weight) <= columns[0, :70, None] * 0.501).all()
    assert not restored[70:].any() and not restored[:, 10:].any()
    np.testing.assert_allclose(columns[1], restored.sum(axis=1), atol=1e-5)
    assert columns[2, :71].tolist() == [*range(70), 0]


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


@needs_operator
def test_a_processor_without_instructions_for_it_cannot_quantize(model, monkeypatch):
    monkeypatch.setattr(operators, "has_int8", lambda: False)
    with pytest.raises(UsageError, match="on this processor, which has no VNNI; leave it out$"):
        quantize(model.net)


def test_no_other_precision(folder):
    with pytest.raises(UsageError, match="unknown dtype 'int4'; choose from float32, bfloat16, int8"):
        Predictor.load(folder, dtype="int4")
