"""Dropout depends on MXNet's seed; ``--dtype float16`` computes in bfloat16, with parameters of float32."""

import logging

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from mxnet.contrib import amp

pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")


def test_equal_runs_with_dropout_are_bit_identical(gpus, make_classifier, train, values_of):
    def trained(seed):
        net = make_classifier(mx.gpu(0), dropout=0.2, num_layers=1)
        mx.random.seed(seed)
        return train(net, mx.gpu(0), updates=3), values_of(net)

    with gpus():
        (losses, values), (same_losses, same_values), (other_losses, _) = map(trained, (3, 3, 4))
    assert losses == same_losses
    for name, array in values.items():
        np.testing.assert_array_equal(same_values[name], array, err_msg=name)
    assert not np.allclose(losses, other_losses, atol=1e-3)


def test_dropout_is_for_training_alone_and_differs_from_call_to_call(gpus, make_classifier, bert_inputs):
    with gpus():
        net, inputs = make_classifier(mx.gpu(0), dropout=0.2, num_layers=1), bert_inputs(ctx=mx.gpu(0))
        expected = make_classifier(mx.cpu(), num_layers=1)(*bert_inputs()).asnumpy()
        with mx.autograd.record(train_mode=False):
            recorded = net(*inputs)
        for predicted in (net(*inputs), recorded):
            np.testing.assert_allclose(predicted.asnumpy(), expected, atol=1e-4)
        with mx.autograd.train_mode():
            trained = [net(*inputs).asnumpy() for _ in range(2)]
        with mx.autograd.record():
            trained.append(net(*inputs).asnumpy())
    for number, logits in enumerate(trained):
        for other in (expected, *trained[:number]):
            assert np.abs(logits - other).max() > 1e-2


def test_two_places_have_masks_of_their_own(gpus, make_classifier, bert_inputs):
    with gpus(2):
        net = make_classifier([mx.gpu(0), mx.gpu(1)], dropout=0.2, num_layers=1)
        with mx.autograd.train_mode():
            first, second = (net(*bert_inputs(ctx=place)).asnumpy() for place in (mx.gpu(0), mx.gpu(1)))
    assert np.abs(first - second).max() > 1e-2


@pytest.fixture
def float32_losses(make_classifier, train):
    return train(make_classifier(mx.cpu()), mx.cpu(), updates=3)


def assert_near_but_of_less_precision(losses, expected):
    np.testing.assert_allclose(losses, expected, rtol=0.1)
    assert not np.allclose(losses, expected, rtol=1e-5)


def test_amp_computes_in_bfloat16(gpus, make_classifier, train, make_trainer, float32_losses, caplog):
    caplog.set_level(logging.INFO)
    with gpus():
        amp.init()
        net = make_classifier(mx.gpu(0))
        trainer = make_trainer(net)
        amp.init_trainer(trainer)
        with amp.scale_loss(mx.nd.ones(1), trainer) as scaled:
            assert scaled.asscalar() == 1
        amp.unscale(trainer)
        losses = train(net, mx.gpu(0), updates=3, trainer=trainer)
        assert {array.dtype for p in net.collect_params().values() for array in (p.data(), p.grad())} == {np.float32}
    assert "float16: gpu(0) computes in bfloat16" in [record.message for record in caplog.records]
    assert_near_but_of_less_precision(losses, float32_losses)


def test_a_net_cast_to_float16_computes_in_bfloat16(gpus, make_classifier, train, float32_losses, tmp_path):
    with gpus():
        net = make_classifier(mx.gpu(0))
        net.cast("float16")
        losses = train(net, mx.gpu(0), updates=3)
        net.save_parameters(str(tmp_path / "net.params"))
    assert_near_but_of_less_precision(losses, float32_losses)
    assert {array.dtype for array in mx.nd.load(str(tmp_path / "net.params")).values()} == {np.float32}


def test_a_net_cast_after_its_first_call_computes_in_bfloat16(gpus, make_classifier, bert_inputs):
    with gpus():
        net, inputs = make_classifier(mx.gpu(0)), bert_inputs(ctx=mx.gpu(0))
        before = net(*inputs).asnumpy()
        net.cast("float16")
        after = net(*inputs).asnumpy()
    np.testing.assert_allclose(after, before, atol=0.1)
    assert not np.allclose(after, before, atol=1e-4)


def test_a_device_without_bfloat16_computes_in_float32(gpus, make_classifier, train, float32_losses, monkeypatch):
    from gluonnlp_snli_plugin.errors import UsageError
    from gluonnlp_snli_plugin.xla.mesh import DeviceMesh

    def refuse(mesh, dtype):
        raise UsageError(f"no {dtype}")

    monkeypatch.setattr(DeviceMesh, "require", refuse)
    with gpus():
        net = make_classifier(mx.gpu(0))
        net.cast("float16")
        np.testing.assert_allclose(train(net, mx.gpu(0), updates=3), float32_losses, atol=1e-2)


def test_clipping_of_gradients_that_are_not_finite_warns(gpus, make_classifier, train):
    with gpus():
        net = make_classifier(mx.gpu(0))
        train(net, mx.gpu(0), updates=1)
        parameters = list(net.collect_params().values())
        parameters[0].grad()[:] = np.nan
        with pytest.warns(UserWarning, match="nan or inf is detected"):
            nlp.utils.clip_grad_global_norm(parameters, 1.0)
        norm, ratio, is_finite = nlp.utils.grad_global_norm(parameters, 1.0)
        assert np.isnan(norm.asscalar()) and np.isnan(ratio.asscalar()) and is_finite.asscalar() == 0
