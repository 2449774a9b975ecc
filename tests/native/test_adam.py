"""Adam and AdamW for all parameters at once make the updates of MXNet's ``Trainer``."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators
from gluonnlp_snli_plugin.native.adam import Adam

pytestmark = pytest.mark.usefixtures("native_operators")

EPSILON = {"bertadam": 1e-6, "adam": 1e-8}
SHAPES = [(50, 7), (7,), (1,), (3, 5, 2), (200, 300), (16384,)]


def _parameters(contexts=None):
    random = np.random.RandomState(0)
    parameters = []
    for i, shape in enumerate(SHAPES):
        parameter = mx.gluon.Parameter(f"p{i}", shape=shape)
        parameter.initialize(ctx=contexts or [mx.cpu()])
        parameter.set_data(mx.nd.array(random.normal(size=shape)))
        parameters.append(parameter)
    return parameters


def _gradients(step, scale=1.0):
    random = np.random.RandomState(100 + step)
    return [random.normal(0, scale, shape).astype(np.float32) for shape in SHAPES]


def _backward(parameters, gradients):
    """Give the parameters these gradients, on all their devices, as a loss does."""
    losses = []
    with mx.autograd.record():
        for parameter, gradient in zip(parameters, gradients):
            for data in parameter.list_data():
                losses.append((data * mx.nd.array(gradient, data.context)).sum())
    mx.autograd.backward(losses)


def _trainer(parameters, rule, wd):
    settings = {"learning_rate": 1.0, "epsilon": EPSILON[rule], "wd": wd}
    by_name = {parameter.name: parameter for parameter in parameters}
    return mx.gluon.Trainer(by_name, rule, settings, update_on_kvstore=False)


def _trainers_update(trainer, parameters, lr, clip):
    """What GluonNLP's fine-tuning script does after ``allreduce_grads``."""
    if clip:
        nlp.utils.clip_grad_global_norm(parameters, clip, check_isfinite=False)
    trainer.set_learning_rate(lr)
    trainer.update(1)


def _values(parameters):
    return [parameter.data().asnumpy() for parameter in parameters]


def _assert_same(ours, theirs, before):
    """What the updates have changed is the same to 1e-4, all that MXNet's own float32 arithmetic allows."""
    for a, b, start in zip(ours, theirs, before):
        for one, other in zip(a.list_data(), b.list_data()):
            tolerance = 5e-7 + 1e-4 * np.abs(other.asnumpy() - start).max()
            np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("clip", [0.0, 1.0, 1e6], ids=["no clipping", "clipped", "too short to clip"])
@pytest.mark.parametrize("wd", [0.0, 0.1])
@pytest.mark.parametrize("rule", ["bertadam", "adam"])
def test_twenty_updates_are_those_of_mxnets_trainer(rule, wd, clip):
    ours, theirs = _parameters(), _parameters()
    before = _values(ours)
    for parameters in (ours, theirs):
        parameters[1].wd_mult = 0.0
        parameters[2].lr_mult = 0.5
        parameters[3].lr_mult, parameters[3].wd_mult = 2.0, 3.0
    adam, trainer = Adam(ours, rule, EPSILON[rule], wd, clip), _trainer(theirs, rule, wd)
    for step in range(20):
        lr = 0.01 * (20 - step) / 20
        gradients = _gradients(step, scale=(0.001, 1.0, 30.0)[step % 3])
        _backward(ours, gradients)
        _backward(theirs, gradients)
        adam.update(lr)
        _trainers_update(trainer, theirs, lr, clip)
    _assert_same(ours, theirs, before)
    assert all((a != b).any() for a, b in zip(before, _values(ours)))


@pytest.mark.parametrize("rule", ["bertadam", "adam"])
def test_each_of_several_devices_makes_the_update_of_mxnets_trainer(rule):
    contexts = [mx.cpu(0), mx.cpu(1)]
    ours, theirs = _parameters(contexts), _parameters(contexts)
    before = _values(ours)
    adam, trainer = Adam(ours, rule, EPSILON[rule], 0.0, 1.0), _trainer(theirs, rule, 0.0)
    for step in range(5):
        for parameters in (ours, theirs):
            _backward(parameters, _gradients(step))
        adam.update(0.01)
        _trainers_update(trainer, theirs, 0.01, 1.0)
    _assert_same(ours, theirs, before)
    for parameter in ours:
        one, other = parameter.list_data()
        assert one.context != other.context
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


@pytest.mark.parametrize("wd", [0.0, 0.1])
@pytest.mark.parametrize("rule", ["bertadam", "adam"])
def test_twenty_updates_are_those_of_the_formula(rule, wd):
    parameters = _parameters()
    adam = Adam(parameters, rule, EPSILON[rule], wd, 0.0)
    weights = [weight.astype(np.float64) for weight in _values(parameters)]
    means, variances = ([np.zeros(shape) for shape in SHAPES] for _ in range(2))
    for step in range(1, 21):
        gradients = _gradients(step)
        _backward(parameters, gradients)
        adam.update(0.01)
        lr = 0.01 if rule == "bertadam" else 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for i, gradient in enumerate(gradients):
            gradient = gradient + (wd * weights[i] if rule == "adam" else 0)
            means[i] = 0.9 * means[i] + 0.1 * gradient
            variances[i] = 0.999 * variances[i] + 0.001 * gradient**2
            move = means[i] / (np.sqrt(variances[i]) + EPSILON[rule])
            weights[i] -= lr * (move + (wd * weights[i] if rule == "bertadam" else 0))
    for ours, expected in zip(_values(parameters), weights):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


def test_a_rate_of_zero_moves_momentum_but_no_weight():
    parameters = _parameters()
    before = _values(parameters)
    adam = Adam(parameters, "bertadam", 1e-6, 0.01, 1.0)
    _backward(parameters, _gradients(0))
    adam.update(0.0)
    for a, b in zip(before, _values(parameters)):
        np.testing.assert_array_equal(a, b)
    _backward(parameters, [np.zeros(shape, np.float32) for shape in SHAPES])
    adam.update(0.01)
    assert all((a != b).any() for a, b in zip(before, _values(parameters)))


def test_the_gradients_stay_as_they_are():
    parameters = _parameters()
    gradients = _gradients(0)
    adam = Adam(parameters, "bertadam", 1e-6, 0.01, 0.1)
    _backward(parameters, gradients)
    adam.update(0.01)
    for parameter, gradient in zip(parameters, gradients):
        np.testing.assert_array_equal(parameter.grad().asnumpy(), gradient)


@pytest.mark.parametrize("most", [0.0, 0.5, 1e6])
def test_the_clip_factor_is_that_of_the_global_norm(most):
    gradients = _gradients(0)
    norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients))
    out = operators.clip_factor([mx.nd.array(gradient) for gradient in gradients], most).asnumpy()
    np.testing.assert_allclose(out, [norm, min(1.0, most / norm) if most else 1.0], rtol=1e-6)


def test_gradients_of_zero_are_not_clipped():
    assert operators.clip_factor([mx.nd.zeros((3, 4))], 1.0).asnumpy().tolist() == [0.0, 1.0]


# What is no number ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gradients_whose_norm_is_no_number_change_no_weight_and_no_momentum(value):
    """MXNet's ``Trainer`` makes NaN of the weights, or of some of them; a run on it cannot go on."""
    ours, untroubled, theirs = _parameters(), _parameters(), _parameters()
    bad = _gradients(0)
    bad[4][17, 5] = value
    adam, other = (Adam(parameters, "bertadam", 1e-6, 0.01, 1.0) for parameters in (ours, untroubled))
    trainer = _trainer(theirs, "bertadam", 0.01)
    for parameters, update in (
        (ours, lambda: adam.update(0.01)),
        (theirs, lambda: _trainers_update(trainer, theirs, 0.01, 1.0)),
    ):
        _backward(parameters, bad)
        update()
    for a, b in zip(_values(ours), _values(untroubled)):
        np.testing.assert_array_equal(a, b)
    assert any(np.isnan(weight).any() for weight in _values(theirs))
    for parameters, optimizer in ((ours, adam), (untroubled, other)):
        _backward(parameters, _gradients(1))
        optimizer.update(0.01)
    for a, b in zip(_values(ours), _values(untroubled)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("factor", [np.nan, np.inf, -np.inf])
def test_a_factor_that_is_not_finite_leaves_everything_as_it_was(factor):
    arrays = [mx.nd.array(_gradients(step)[0]) for step in range(4)]
    before = [array.asnumpy() for array in arrays]
    operators.adam(*([array] for array in arrays), mx.nd.array([factor]), [0.1], [0.1])
    for array, expected in zip(arrays, before):
        np.testing.assert_array_equal(array.asnumpy(), expected)


def test_arrays_of_different_shapes_are_refused():
    arrays = [[mx.nd.zeros((3, 4))] for _ in range(3)]
    with pytest.raises(mx.MXNetError, match="not of its weight's shape"):
        operators.adam(arrays[0], [mx.nd.zeros((4, 3))], arrays[1], arrays[2], mx.nd.ones(1), [0.1], [0.1])
