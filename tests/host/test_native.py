"""What a script trains on CPU uses the C++ operators, until it is undone; the result is that of MXNet's own."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model import BERTClassifier

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.host.native import use_native_operators
from gluonnlp_snli_plugin.native import is_accelerated

pytestmark = pytest.mark.usefixtures("native_operators")


@pytest.fixture
def changes():
    changes = registry.Changes()
    yield changes
    changes.undo()


@pytest.fixture
def classifier(make_bert, bert_inputs):
    """Makes a net as the script does, always with the same weights."""

    def make(devices=None):
        net = BERTClassifier(make_bert(ctx=devices), num_classes=3, dropout=0.0)
        net.classifier.initialize(mx.init.Normal(0.3), ctx=devices)
        net(*bert_inputs(ctx=devices and devices[0]))  # some layers learn the size of their inputs only now
        return net

    return make


def _train(classifier, bert_inputs, check_isfinite, updates=8, ctx=None, max_norm=1):
    """The calls of GluonNLP's fine-tuning script; its net, and what clipping returned."""
    net = classifier(ctx)
    net.hybridize(static_alloc=True)
    trainer = mx.gluon.Trainer(
        net.collect_params(), "bertadam", {"learning_rate": 1e-3, "wd": 0.01}, update_on_kvstore=False
    )
    for parameter in net.collect_params(".*beta|.*gamma|.*bias").values():
        parameter.wd_mult = 0.0
    parameters = [parameter for parameter in net.collect_params().values() if parameter.grad_req != "null"]
    cross_entropy = mx.gluon.loss.SoftmaxCELoss()
    norms = []
    for seed in range(updates):
        with mx.autograd.record():
            losses = [
                cross_entropy(net(*bert_inputs(seed=seed, ctx=one)), mx.nd.array([0, 1, 2, 0], one)).mean()
                for one in ctx or [mx.cpu()]
            ]
        mx.autograd.backward(losses)
        trainer.allreduce_grads()
        norm = nlp.utils.clip_grad_global_norm(parameters, max_norm, check_isfinite)
        norms.append(float(norm.asscalar()))
        trainer.update(1)
    values = [parameter.data((ctx or [mx.cpu()])[0]).asnumpy() for parameter in net.collect_params().values()]
    return net, values, norms


def _assert_alike(first, second):
    for a, b in zip(first, second):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("check_isfinite", [True, False])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_the_scripts_own_calls_give_the_same_weights(changes, classifier, bert_inputs, check_isfinite, max_norm):
    stock, expected, expected_norms = _train(classifier, bert_inputs, check_isfinite, max_norm=max_norm)
    use_native_operators(changes)
    net, values, norms = _train(classifier, bert_inputs, check_isfinite, max_norm=max_norm)
    assert is_accelerated(net) and not is_accelerated(stock)
    _assert_alike(values, expected)
    np.testing.assert_allclose(norms, expected_norms, rtol=1e-4)
    assert any((a != b).any() for a, b in zip(values, _train(classifier, bert_inputs, True, 0)[1]))


def test_on_several_devices_clipping_is_left_to_gluonnlp(changes, classifier, bert_inputs):
    devices = [mx.cpu(0), mx.cpu(1)]
    expected = _train(classifier, bert_inputs, True, ctx=devices)[1]
    use_native_operators(changes)
    _assert_alike(_train(classifier, bert_inputs, True, ctx=devices)[1], expected)


def test_gradients_that_are_no_numbers_are_warned_of_as_before(changes, classifier):
    use_native_operators(changes)
    net = classifier()
    parameters = list(net.collect_params().values())
    parameters[0].list_grad()[0][:] = np.nan
    with pytest.warns(UserWarning, match="nan or inf is detected"):
        nlp.utils.clip_grad_global_norm(parameters, 1)


def test_a_net_without_a_bert_is_left_alone(changes):
    use_native_operators(changes)
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(3), mx.gluon.nn.LayerNorm())
    net.initialize()
    net.hybridize()
    assert net(mx.nd.ones((2, 5))).shape == (2, 3) and not is_accelerated(net)


def test_undoing_gives_everything_back(classifier):
    before = (
        mx.gluon.HybridBlock.hybridize,
        nlp.optimizer.BERTAdam._update_impl,
        nlp.utils.clip_grad_global_norm,
        nlp.utils.parameter.clip_grad_global_norm,
    )
    changes = registry.Changes()
    use_native_operators(changes)
    changes.undo()
    net = classifier()
    net.hybridize()
    assert not is_accelerated(net)
    assert before == (
        mx.gluon.HybridBlock.hybridize,
        nlp.optimizer.BERTAdam._update_impl,
        nlp.utils.clip_grad_global_norm,
        nlp.utils.parameter.clip_grad_global_norm,
    )
