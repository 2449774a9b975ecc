"""Dense layers with packed weights: what products in float64 give, to rounding, and the same bits however computed."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native.classifier import DenseLayer
from gluonnlp_snli_plugin.system import threads

pytestmark = pytest.mark.usefixtures("packed_products")

# rows, inputs, units: less than a tile, whole tiles, groups of rows and blocks of depth, and what is left over
SHAPES = [(1, 1, 1), (3, 5, 7), (14, 16, 32), (29, 65, 31), (57, 384, 96), (70, 400, 129), (300, 64, 40)]
SHAPES += [(20, 1024, 33)]  # rows that begin a page apart

ACTIVATIONS = {
    "gelu": lambda x: mx.nd.LeakyReLU(x, act_type="gelu"),
    "approx_gelu": lambda x: 0.5 * x * (1 + mx.nd.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": mx.nd.relu,
    "tanh": mx.nd.tanh,
}


@pytest.mark.parametrize("rows, inputs, units", SHAPES)
def test_values(assert_same, normal, rows, inputs, units):
    x, weight, bias = normal(rows, inputs), normal(units, inputs), normal(units)
    expected = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    assert_same([DenseLayer(weight, bias)(x)], [expected])


@pytest.mark.parametrize("rows, inputs, units", [(3, 5, 7), (33, 65, 31), (100, 400, 96)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_is_applied_to_the_sums(assert_same, normal, rows, inputs, units, activation):
    x, weight, bias = normal(rows, inputs), normal(units, inputs), normal(units)
    expected = ACTIVATIONS[activation](mx.nd.array(DenseLayer(weight, bias)(x)))
    assert_same([DenseLayer(weight, bias, activation)(x)], [expected.asnumpy()])


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_nan_stays_so_and_in_its_row(activation):
    x = np.ones((2, 40), np.float32)
    x[0, 3] = np.nan
    out = DenseLayer(np.ones((2, 40), np.float32), np.zeros(2, np.float32), activation)(x)
    assert np.isnan(out[0]).all() and np.isfinite(out[1]).all()


def test_infinity_stays_so_and_in_its_row():
    x = np.ones((2, 40), np.float32)
    x[1, 5] = np.inf
    out = DenseLayer(np.ones((2, 40), np.float32), np.zeros(2, np.float32))(x)
    assert np.isposinf(out[1]).all() and (out[0] == 40).all()


@pytest.mark.parametrize("rows", [1, 20, 57, 500])
def test_a_row_has_the_same_bits_in_any_batch_by_any_number_of_threads(normal, monkeypatch, rows):
    x, layer = normal(500, 400), DenseLayer(normal(100, 400), normal(100))
    whole = layer(x)
    try:
        for number in ("1", "3"):
            monkeypatch.setenv(threads.VARIABLE, number)
            threads.use_cores([mx.cpu()])
            np.testing.assert_array_equal(layer(x[:rows]), whole[:rows])
    finally:
        monkeypatch.undo()
        threads.use_cores([mx.cpu()])
