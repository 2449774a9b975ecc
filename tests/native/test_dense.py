"""A dense layer made of products of bfloat16: float32, and what float32 gives for rounded factors."""

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model.block import GELU

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")

# rows, inputs, units: less than a tile, whole tiles and blocks of them, and what is left over
SHAPES = [(1, 1, 1), (3, 5, 7), (16, 32, 16), (32, 32, 32), (33, 65, 31), (100, 384, 96), (70, 31, 129), (300, 64, 40)]
DTYPES = ["float32", "bfloat16"]


def _rounded(array):
    """The nearest numbers of bfloat16, of two that are equally near the even one."""
    bits = array.view(np.uint32)
    return (((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)


def _as_factors(dtype, *arrays):
    """What the products of a layer are made of."""
    return [(_rounded(array) if dtype == "bfloat16" else array).astype(np.float64) for array in arrays]


def _layer(units, dtype):
    return lambda F, x, weight, bias=None: operators.dense(x, weight, bias, units, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, inputs, units", SHAPES)
def test_values_and_gradients(run, assert_same, normal, rows, inputs, units, dtype, mode):
    x, weight, bias = normal(rows, inputs), normal(units, inputs, seed=1), normal(units)
    head = normal(rows, units, seed=2)
    a, b, c = _as_factors(dtype, x, weight, head)
    expected = [a @ b.T + bias, c @ b, c.T @ a, head.sum(axis=0)]
    assert_same(run(_layer(units, dtype), [x, weight, bias], head, mode), expected, tolerance=3e-6)


def test_float32_by_amx_errs_no_more_than_adding_up_in_float32_does(normal):
    if not operators.has_amx():
        pytest.skip("this processor has no AMX")
    x, weight = normal(64, 1000), normal(48, 1000)
    exact = x.astype(np.float64) @ weight.astype(np.float64).T
    ours = operators.dense(mx.nd.array(x), mx.nd.array(weight), None, 48).asnumpy()
    one_by_one = np.cumsum(x[:, None] * weight, axis=2, dtype=np.float32)[..., -1]
    assert np.abs(ours - exact).max() <= np.abs(one_by_one - exact).max()


def test_float32_keeps_every_bit_of_a_factor(normal):
    x = normal(50, 70)
    out = operators.dense(mx.nd.array(x), mx.nd.array(np.eye(70, dtype=np.float32)), None, 70).asnumpy()
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_axes_and_no_bias(run, assert_same, normal, dtype):
    x, weight, head = normal(3, 2, 5), normal(4, 5), normal(3, 2, 4)
    a, b, c = _as_factors(dtype, x, weight, head)
    expected = [a @ b.T, c @ b, np.einsum("abu,abc->uc", c, a)]
    assert_same(run(_layer(4, dtype), [x, weight], head), expected, tolerance=3e-6)


@pytest.mark.parametrize("rows, inputs, units", [(3, 5, 7), (33, 65, 31), (100, 384, 96)])
def test_a_layer_of_gelu_is_one_of_what_gelu_gives(run, assert_same, normal, rows, inputs, units, mode):
    arrays = [normal(rows, inputs, scale=2), normal(units, inputs, seed=1), normal(units)]
    head = normal(rows, units, seed=2)
    ours = run(lambda F, x, w, b: operators.dense(x, w, b, units, gelu=True), arrays, head, mode)
    theirs = run(lambda F, x, w, b: F.FullyConnected(GELU()(x), w, b, num_hidden=units), arrays, head)
    assert_same(ours, theirs, tolerance=3e-6)


def test_a_layer_of_gelu_in_bfloat16_is_near_it(run, assert_same, normal):
    arrays, head = [normal(50, 70, scale=2), normal(40, 70, seed=1)], normal(50, 40, seed=2)
    ours = run(lambda F, x, w: operators.dense(x, w, None, 40, "bfloat16", gelu=True), arrays, head)
    theirs = run(lambda F, x, w: operators.dense(operators.gelu(x), w, None, 40, "bfloat16"), arrays, head)
    assert_same(ours, theirs, tolerance=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_or_too_large_stays_so(run, dtype):
    x = np.ones((3, 40), np.float32)
    x[0, 3], x[1, 5] = np.nan, np.inf
    x[0, 4] = np.uint32(0xFFFFFFFF).view(np.float32)  # NaN with all bits set: rounding must not make it zero
    out = run(_layer(2, dtype), [x, np.ones((2, 40), np.float32)])[0]
    assert np.isnan(out[0]).all() and not np.isfinite(out[1]).any() and (out[2] == 40).all()


def test_numbers_half_way_are_rounded_to_even():
    below, above = 1 + 2**-8, 1 + 3 * 2**-8  # between 1, 1 + 2**-7 and 1 + 2**-6
    out = operators.dense(mx.nd.array([[below], [above]]), mx.nd.ones((1, 1)), None, 1, "bfloat16")
    assert out.asnumpy().ravel().tolist() == [1, 1 + 2**-6]


@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (5, 3), (5,)), ((3, 4), (6, 4), (5,)), ((3, 4), (5, 4), (4,)), ((3, 4), (5, 4, 1), (5,))],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(mx.MXNetError, match="[Ss]hape"):
        operators.dense(*map(mx.nd.zeros, shapes), 5).wait_to_read()
