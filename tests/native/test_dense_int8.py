"""A dense layer of 8-bit integers: nearly one of float32, and exact where its numbers are integers."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native.classifier import DenseLayer

pytestmark = pytest.mark.usefixtures("int8_operator")


def _dense(x, weight, bias, activation=None):
    return DenseLayer(weight, bias, activation, "int8")(x)


def _random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 16, 4), (7, 65, 9), (200, 130, 33), (3, 64, 64)])
@pytest.mark.parametrize("activation", [None, "gelu", "relu"])
def test_it_is_a_dense_layer(shape, activation):
    rows, units, width = shape
    x, weight, bias = _random(rows, width), _random(units, width), _random(units)
    expected = mx.nd.array(x @ weight.T + bias)
    if activation:
        expected = mx.nd.LeakyReLU(expected, act_type="gelu") if activation == "gelu" else mx.nd.relu(expected)
    # Half a step of each weight and of each input, independent of one another.
    error = np.sqrt(width / 12) * (np.abs(weight).max() / 127 + np.ptp(x) / 255)
    np.testing.assert_allclose(_dense(x, weight, bias, activation), expected.asnumpy(), atol=5 * error)


@pytest.mark.parametrize("rows, width", [(13, 70), (77, 128)])  # AMX takes 64 inputs at a time
def test_products_of_small_integers_are_exact(rows, width):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (rows, width)).astype(np.float32)
    weight = random.integers(-127, 128, (100, width)).astype(np.float32)
    x[:, 0], x[:, 1], weight[:, 0] = 0, 255, 127
    np.testing.assert_allclose(_dense(x, weight, np.zeros(100, np.float32)), x @ weight.T, rtol=1e-5, atol=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so_and_in_its_row(value):
    x = _random(3, 40)
    x[1, 7] = value
    out = _dense(x, _random(64, 40), _random(64))
    assert np.isnan(out[1]).all() and np.isfinite(out[[0, 2]]).all()


def test_rows_of_one_number():
    weight, bias = _random(64, 40), _random(64)
    for value in (0, -2.5):
        out = _dense(np.full((1, 40), value, np.float32), weight, bias)
        np.testing.assert_allclose(out[0], value * weight.sum(axis=1) + bias, atol=0.5)
