"""The LayerNorm in C++ gives what MXNet's own gives, also of a sum, and with dropout."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")

SIZES = [1, 2, 7, 16, 17, 31, 33, 64, 65, 130]


def _our_layer_norm(F, data, gamma, beta, residual=None):
    return operators.layer_norm(data, gamma, beta, residual, eps=1e-5)


def _mxnets_layer_norm(F, data, gamma, beta, residual=None):
    return F.LayerNorm(data if residual is None else data + residual, gamma, beta, axis=-1, eps=1e-5)


@pytest.fixture
def make_inputs(normal):
    """Makes data, gamma, beta and perhaps a residual."""

    def make(shape, has_residual):
        arrays = [normal(*shape), 1 + normal(shape[-1], scale=0.2), normal(shape[-1], seed=1)]
        return arrays + ([normal(*shape, seed=2)] if has_residual else [])

    return make


@pytest.mark.parametrize("has_residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("rows", [1, 2, 31, 130])
@pytest.mark.parametrize("width", SIZES)
def test_layer_norm_is_mxnets_own(run, assert_same, normal, make_inputs, width, rows, has_residual):
    arrays = make_inputs((rows, width), has_residual)
    head = normal(rows, width, seed=3)
    theirs = run(_mxnets_layer_norm, arrays, head)
    least = 10 if width <= 2 else 1e-3  # one or two numbers: what is left of their gradients is rounding
    assert_same(run(_our_layer_norm, arrays, head), theirs, 4e-6, least)


@pytest.mark.parametrize("shape", [(1, 1, 16), (7, 1, 33), (2, 3, 2, 17), (65, 2, 64), (20,)], ids=str)
def test_layer_norm_is_over_the_last_axis_of_any_shape(run, assert_same, normal, make_inputs, shape, mode):
    arrays, head = make_inputs(shape, True), normal(*shape, seed=3)
    assert_same(run(_our_layer_norm, arrays, head, mode), run(_mxnets_layer_norm, arrays, head), 4e-6)


@pytest.mark.parametrize("has_residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("shape", [(1, 1, 16), (65, 2, 64), (20,)], ids=str)
def test_a_bias_is_added_to_the_data(run, assert_same, normal, make_inputs, shape, has_residual, mode):
    arrays, head = [*make_inputs(shape, has_residual), normal(shape[-1], seed=4)], normal(*shape, seed=3)

    def ours(F, data, gamma, beta, *rest):
        return operators.layer_norm(data, gamma, beta, rest[0] if has_residual else None, bias=rest[-1])

    def theirs(F, data, gamma, beta, *rest):
        data = F.broadcast_add(data, rest[-1].reshape((1,) * (len(shape) - 1) + (-1,)))
        return _mxnets_layer_norm(F, data, gamma, beta, *rest[:-1])

    assert_same(run(ours, arrays, head, mode), run(theirs, arrays, head), 4e-6)


def test_layer_norm_sums_over_thousands_of_rows(run, assert_same, normal, make_inputs):
    arrays, head = make_inputs((5000, 31), True), normal(5000, 31, seed=3)
    assert_same(run(_our_layer_norm, arrays, head), run(_mxnets_layer_norm, arrays, head), 2e-5)


@pytest.mark.parametrize("eps", [1e-5, 1e-12])
@pytest.mark.parametrize("width", [1, 16, 33])
def test_a_constant_row_becomes_beta(normal, width, eps):
    beta = normal(width)
    data = np.full((3, width), 0.5, np.float32)
    out = operators.layer_norm(mx.nd.array(data), mx.nd.ones(width), mx.nd.array(beta), eps=eps)
    np.testing.assert_array_equal(out.asnumpy(), np.broadcast_to(beta, (3, width)))


def test_layer_norm_of_large_values_far_from_zero_is_mxnets_own(run, assert_same, normal, make_inputs):
    arrays = make_inputs((7, 65), False)
    arrays[0] = 80 + arrays[0]
    head = normal(7, 65, seed=3)
    assert_same(run(_our_layer_norm, arrays, head), run(_mxnets_layer_norm, arrays, head), 2e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_layer_norm_of_a_row_with_no_number_is_nan_and_other_rows_are_as_ever(run, make_inputs, value):
    arrays = make_inputs((3, 17), False)
    expected = run(_our_layer_norm, arrays)[0]
    arrays[0][1, 5] = value
    out = run(_our_layer_norm, arrays)[0]
    assert np.isnan(out[1]).all()
    np.testing.assert_array_equal(out[[0, 2]], expected[[0, 2]])


# Dropout --------------------------------------------------------------------------------------------------------------


def _layer_norm_dropout(p):
    def function(F, data, gamma, beta, residual):
        return operators.layer_norm(data, gamma, beta, residual, operators.dropout_key(F), 1e-5, p)

    return function


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_layer_norm_drops_its_data_not_its_residual_and_alike_forward_and_backward(
    run, assert_same, normal, make_inputs, p, mode
):
    arrays, head = make_inputs((33, 65), True), normal(33, 65, seed=3)
    ours = run(_layer_norm_dropout(p), arrays, head, mode)
    d_data, d_residual = ours[1], ours[4]
    mask = np.where(np.abs(d_residual) > 1e-6, d_data / d_residual, 0)
    mask = np.where(mask > 0.5, np.float32(1 / (1 - p)), np.float32(0))
    assert abs((mask != 0).mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / mask.size)
    theirs = run(
        lambda F, data, gamma, beta, residual: F.LayerNorm(data * mx.nd.array(mask) + residual, gamma, beta, eps=1e-5),
        arrays,
        head,
    )
    assert_same(ours, theirs, 4e-6)
