"""Matrix products of bfloat16: nearly the same net, with float32 parameters."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.native import accelerate, is_accelerated, operators, restore
from gluonnlp_snli_plugin.train.finetuning import finetune
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig


@pytest.fixture(params=["mlp", "pooled", "mean"])
def net(request, make_bert):
    net = SNLIBertClassifier(make_bert(use_pooler=request.param == "pooled"), 3, request.param, 20, 0.0)
    net.classifier.initialize(mx.init.Normal(0.3))
    net.hybridize(static_alloc=True)
    return net


def _outputs_and_gradients(net, inputs):
    with mx.autograd.record():
        logits = net(*inputs)
        loss = mx.gluon.loss.SoftmaxCELoss()(logits, mx.nd.array([0, 1, 2, 0])).mean()
    loss.backward()
    return logits.asnumpy(), [parameter.grad().asnumpy() for parameter in net.collect_params().values()]


@pytest.mark.usefixtures("native_operators")
@pytest.mark.parametrize("is_hybrid", [False, True])
def test_logits_and_gradients_are_those_of_float32_to_bfloat16s_precision(net, bert_inputs, is_hybrid):
    inputs = bert_inputs()
    net.hybridize(is_hybrid, static_alloc=True)
    expected, expected_gradients = _outputs_and_gradients(net, inputs)
    assert accelerate(net, "bfloat16")
    logits, gradients = _outputs_and_gradients(net, inputs)
    assert logits.dtype == np.float32 and all(gradient.dtype == np.float32 for gradient in gradients)
    difference = np.abs(logits - expected).max() / np.abs(expected).max()
    assert 1e-5 < difference < 5e-2  # not float32, and not far from it
    norm = np.sqrt(sum((gradient**2).sum() for gradient in expected_gradients))
    rest = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(gradients, expected_gradients)))
    assert rest < 5e-2 * norm


@pytest.mark.usefixtures("native_operators")
def test_gradients_of_several_passes_are_added_up_where_that_is_asked_for(net, bert_inputs):
    inputs = bert_inputs()
    accelerate(net, "bfloat16")
    _, once = _outputs_and_gradients(net, inputs)
    for parameter in net.collect_params().values():
        parameter.grad_req = "add"
    net.hybridize(static_alloc=True)  # the graph is built anew
    for _ in range(2):
        _, twice = _outputs_and_gradients(net, inputs)
    for one, two in zip(once, twice):
        np.testing.assert_allclose(two, 2 * one, atol=1e-6)


@pytest.mark.usefixtures("native_operators")
def test_restoring_gives_float32_back(net, bert_inputs):
    inputs = bert_inputs()
    expected = net(*inputs).asnumpy()
    accelerate(net, "bfloat16")
    restore(net)
    np.testing.assert_array_equal(net(*inputs).asnumpy(), expected)


def test_a_net_is_left_as_it_is_where_mxnet_is_to_add_up_gradients_in_place(net, monkeypatch):
    monkeypatch.setenv("MXNET_EXEC_INPLACE_GRAD_SUM_CAP", "2")
    assert not accelerate(net, "bfloat16") and not is_accelerated(net)


@pytest.mark.usefixtures("native_operators", "empty_figures")
def test_a_run_in_bfloat16_learns_as_well(tiny_name, pairs_file, tmp_path, monkeypatch):
    monkeypatch.setattr(operators, "has_amx", lambda: True)  # slow where there is none, and the same
    settings = {
        "dataset_name": tiny_name,
        "train_file": str(pairs_file),
        "dev_file": str(pairs_file),
        "epochs": 16,
        "seed": 1,
        "lr": 3e-3,
        "batch_size": 16,
        "max_len": 32,
    }
    assert finetune(output_dir=str(tmp_path / "out"), dtype="bfloat16", **settings)["dev_accuracy"] > 0.9


def test_what_cannot_be_is_refused_in_one_line(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="--dtype bfloat16 needs the C\\+\\+ operators"):
        FinetuneConfig.of(output_dir="out", dtype="bfloat16", no_native=True)
    monkeypatch.setattr(operators, "are_available", lambda: True)
    monkeypatch.setattr(operators, "has_amx", lambda: False)
    with pytest.raises(UsageError, match="on this processor, which has no AMX; leave it out$"):
        finetune(output_dir=str(tmp_path / "out"), sample=True, dtype="bfloat16")
    monkeypatch.setenv("MXNET_EXEC_INPLACE_GRAD_SUM_CAP", "2")
    with pytest.raises(UsageError, match="MXNET_EXEC_INPLACE_GRAD_SUM_CAP: unset it"):
        finetune(output_dir=str(tmp_path / "out"), sample=True, dtype="bfloat16")
