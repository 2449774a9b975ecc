"""The C++ operators give what MXNet's own give, and a dropout that is random as it should be."""

import hashlib
import math
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model.block import GELU

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")

SIZES = [1, 2, 7, 16, 17, 31, 33, 64, 65, 130]
MODES = ["imperative", "hybridized", "static"]


class _Net(mx.gluon.HybridBlock):
    def __init__(self, function):
        super().__init__()
        self._function = function

    def hybrid_forward(self, F, *arrays):
        return self._function(F, *arrays)


def _run(function, arrays, head=None, mode="imperative"):
    """Result of a function of arrays, and the gradient for each of them that is of floats."""
    arrays = [mx.nd.array(array, dtype=array.dtype) for array in arrays]
    inputs = [array for array in arrays if array.dtype == np.float32]
    for array in inputs:
        array.attach_grad()
    call = _Net(function)
    if mode != "imperative":
        call.hybridize(static_alloc=mode == "static", static_shape=False)
    with mx.autograd.record():
        out = call(*arrays)
    out.backward(None if head is None else mx.nd.array(head))
    return [out.asnumpy(), *(array.grad.asnumpy() for array in inputs)]


def _assert_same(ours, theirs, tolerance=2e-6, least=1e-3):
    """The differences are at most this share of the largest value; what is no number is none in both.

    `least`: how large the terms are that an array is the difference of.
    """
    for which, (a, b) in enumerate(zip(ours, theirs)):
        assert a.shape == b.shape
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        finite = np.isfinite(b)
        np.testing.assert_array_equal(a[~finite], b[~finite])
        largest = np.abs(b[finite]).max(initial=least)
        np.testing.assert_allclose(a[finite], b[finite], rtol=0, atol=tolerance * largest, err_msg=f"array {which}")


def _normal(*shape, scale=1.0, seed=0):
    random = np.random.RandomState(seed + 1000 * len(shape) + sum(shape))
    return random.normal(0, scale, shape).astype(np.float32)


# LayerNorm ------------------------------------------------------------------------------------------------------------


def _our_layer_norm(F, data, gamma, beta, residual=None):
    return operators.layer_norm(data, gamma, beta, residual, eps=1e-5)


def _mxnets_layer_norm(F, data, gamma, beta, residual=None):
    return F.LayerNorm(data if residual is None else data + residual, gamma, beta, axis=-1, eps=1e-5)


def _layer_norm_inputs(shape, has_residual):
    arrays = [_normal(*shape), 1 + _normal(shape[-1], scale=0.2), _normal(shape[-1], seed=1)]
    return arrays + ([_normal(*shape, seed=2)] if has_residual else [])


@pytest.mark.parametrize("has_residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("rows", [1, 2, 31, 130])
@pytest.mark.parametrize("width", SIZES)
def test_layer_norm_is_mxnets_own(width, rows, has_residual):
    arrays = _layer_norm_inputs((rows, width), has_residual)
    head = _normal(rows, width, seed=3)
    theirs = _run(_mxnets_layer_norm, arrays, head)
    least = 10 if width <= 2 else 1e-3  # one or two numbers: what is left of their gradients is rounding
    _assert_same(_run(_our_layer_norm, arrays, head), theirs, 4e-6, least)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1, 16), (7, 1, 33), (2, 3, 2, 17), (65, 2, 64), (20,)], ids=str)
def test_layer_norm_is_over_the_last_axis_of_any_shape(shape, mode):
    arrays, head = _layer_norm_inputs(shape, True), _normal(*shape, seed=3)
    _assert_same(_run(_our_layer_norm, arrays, head, mode), _run(_mxnets_layer_norm, arrays, head), 4e-6)


def test_layer_norm_sums_over_thousands_of_rows():
    arrays, head = _layer_norm_inputs((5000, 31), True), _normal(5000, 31, seed=3)
    _assert_same(_run(_our_layer_norm, arrays, head), _run(_mxnets_layer_norm, arrays, head), 2e-5)


@pytest.mark.parametrize("eps", [1e-5, 1e-12])
@pytest.mark.parametrize("width", [1, 16, 33])
def test_a_constant_row_becomes_beta(width, eps):
    beta = _normal(width)
    data = np.full((3, width), 0.5, np.float32)
    out = operators.layer_norm(mx.nd.array(data), mx.nd.ones(width), mx.nd.array(beta), eps=eps)
    np.testing.assert_array_equal(out.asnumpy(), np.broadcast_to(beta, (3, width)))


def test_layer_norm_of_large_values_far_from_zero_is_mxnets_own():
    arrays = _layer_norm_inputs((7, 65), False)
    arrays[0] = 80 + arrays[0]
    head = _normal(7, 65, seed=3)
    _assert_same(_run(_our_layer_norm, arrays, head), _run(_mxnets_layer_norm, arrays, head), 2e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_layer_norm_of_a_row_with_no_number_is_nan_and_other_rows_are_as_ever(value):
    arrays = _layer_norm_inputs((3, 17), False)
    expected = _run(_our_layer_norm, arrays)[0]
    arrays[0][1, 5] = value
    out = _run(_our_layer_norm, arrays)[0]
    assert np.isnan(out[1]).all()
    np.testing.assert_array_equal(out[[0, 2]], expected[[0, 2]])


# GELU -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1,), (7,), (17, 3), (2, 1, 65), (130, 33), (4097,)], ids=str)
def test_gelu_is_gluonnlps_own(shape, mode):
    x, head = _normal(*shape, scale=2), _normal(*shape, seed=1)
    theirs = _run(lambda F, x: GELU()(x), [x], head)
    _assert_same(_run(lambda F, x: operators.gelu(x), [x], head, mode), theirs)


def test_gelu_is_x_times_the_normal_distribution_function_to_1e6():
    x = np.linspace(-12, 12, 4801, dtype=np.float32)
    phi = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])
    density = np.exp(-0.5 * x.astype(np.float64) ** 2) / math.sqrt(2 * math.pi)
    out, gradient = _run(lambda F, x: operators.gelu(x), [x])
    np.testing.assert_allclose(out, x * phi, rtol=2e-7, atol=1e-6)
    np.testing.assert_allclose(gradient, phi + x * density, atol=1e-6)


@pytest.mark.parametrize("x", [80.0, -80.0, 1e4, -1e4, 1e30, -1e30, np.inf, np.nan])
def test_gelu_of_extreme_values_is_gluonnlps_own(x):
    x = np.full(20, x, np.float32)
    ours = operators.gelu(mx.nd.array(x)).asnumpy()
    np.testing.assert_allclose(ours, GELU()(mx.nd.array(x)).asnumpy(), rtol=2e-7)


def test_gelus_gradient_for_large_values_is_zero_or_one():
    _, gradient = _run(lambda F, x: operators.gelu(x), [np.array([-1e30, -80, 0, 80, 1e18], np.float32)])
    np.testing.assert_allclose(gradient, [0, 0, 0.5, 1, 1], atol=1e-6)


# Attention ------------------------------------------------------------------------------------------------------------


def _separate(arrays, heads, is_self):
    """Queries, keys and values of arrays in which those of each head follow one another; what comes after them."""

    def parts(array, count):
        by_head = array.reshape((0, 0, heads, count, -1))
        return [by_head.slice_axis(axis=3, begin=i, end=i + 1).reshape((0, 0, -1)) for i in range(count)]

    return (parts(arrays[0], 3), arrays[1:]) if is_self else ([arrays[0], *parts(arrays[1], 2)], arrays[2:])


def _our_attention(heads, is_self, p=0.0):
    def function(F, *arrays):
        projected, rest = _separate(arrays, heads, is_self)
        return operators.attention(*projected, *rest, heads=heads, p=p)

    return function


def _mxnets_attention(heads, is_self, mask=None):
    """As ``DotProductSelfAttentionCell`` computes it; `mask`: what dropout multiplies the weights by."""

    def function(F, *arrays):
        if is_self:
            qkv, rest = arrays[0], arrays[1:]
            scores = F.contrib.interleaved_matmul_selfatt_qk(qkv, heads=heads)
        else:
            query, key_value = arrays[:2]
            rest = arrays[2:]
            scores = F.contrib.interleaved_matmul_encdec_qk(query, key_value, heads=heads)
        if rest:
            length = F.broadcast_axis(F.expand_dims(rest[0], axis=1), axis=1, size=heads)
            weights = F.softmax(scores, length=length.reshape((-1, 0), reverse=True), use_length=True, axis=-1)
        else:
            weights = F.softmax(scores, axis=-1)
        if mask is not None:
            weights = weights * mx.nd.array(mask)
        if is_self:
            return F.contrib.interleaved_matmul_selfatt_valatt(qkv, weights, heads=heads)
        return F.contrib.interleaved_matmul_encdec_valatt(key_value, weights, heads=heads)

    return function


def _attention_inputs(queries, keys, batch, heads, size, has_length, scale=1.0):
    """With `queries` None for self-attention. Lengths differ from row to row; the last row is whole."""
    if queries is None:
        arrays = [_normal(keys, batch, heads * 3 * size, scale=scale)]
    else:
        arrays = [
            _normal(queries, batch, heads * size, scale=scale),
            _normal(keys, batch, heads * 2 * size, scale=scale),
        ]
    if has_length:
        lengths = np.random.RandomState(keys).randint(1, keys + 1, batch)
        lengths[-1] = keys
        arrays.append(np.repeat(lengths[:, None], keys if queries is None else queries, 1).astype(np.int32))
    return arrays


def _compare_attention(
    queries, keys, batch, heads, size, has_length, mode="imperative", scale=1.0, tolerance=3e-6, least=1e-3
):
    arrays = _attention_inputs(queries, keys, batch, heads, size, has_length, scale)
    head = _normal(keys if queries is None else queries, batch, heads * size, seed=7)
    ours = _run(_our_attention(heads, queries is None), arrays, head, mode)
    _assert_same(ours, _run(_mxnets_attention(heads, queries is None), arrays, head), tolerance, least)


SHAPES = [  # length, batch, heads, head size: each of the sizes as a length and as a head size
    *((length, 1 + i % 3, (1, 2, 7)[i % 3], SIZES[-1 - i]) for i, length in enumerate(SIZES)),
    *((length, 1 + i % 2, (2, 1, 4)[i % 3], SIZES[i - 4]) for i, length in enumerate(SIZES)),
]


@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_self_attention_is_gluonnlps_own(shape, has_length):
    _compare_attention(None, *shape, has_length)


@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_of_one_position_over_all_is_mxnets_own(shape, has_length):
    _compare_attention(1, *shape, has_length)


@pytest.mark.parametrize("queries", [2, 7, 65, 130])
@pytest.mark.parametrize("shape", [(1, 2, 3, 16), (33, 2, 2, 17), (130, 1, 1, 31)], ids=str)
def test_attention_of_some_positions_over_others_is_mxnets_own(shape, queries):
    _compare_attention(queries, *shape, True)


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("queries", [None, 1], ids=["self", "first"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (17, 3, 2, 7), (65, 2, 12, 32), (7, 33, 2, 64)], ids=str)
def test_attention_in_a_graph_is_mxnets_own(shape, queries, has_length, mode):
    _compare_attention(queries, *shape, has_length, mode)


def test_lengths_may_differ_between_the_queries_of_a_row():
    arrays = _attention_inputs(None, 33, 2, 2, 8, True)
    arrays[1] = np.random.RandomState(0).randint(1, 34, (2, 33)).astype(np.int32)
    head = _normal(33, 2, 16, seed=7)
    _assert_same(_run(_our_attention(2, True), arrays, head), _run(_mxnets_attention(2, True), arrays, head), 3e-6)


@pytest.mark.parametrize("length", [0, -1, -(2**31)])
@pytest.mark.parametrize("queries", [None, 1], ids=["self", "first"])
def test_a_row_of_padding_alone_gets_nothing_and_gives_nothing(queries, length):
    arrays = _attention_inputs(queries, 9, 3, 2, 16, True)
    arrays[-1][1] = length
    out, *gradients = _run(_our_attention(2, queries is None), arrays)
    for array in (out, *gradients):
        assert not array[:, 1].any() and array[:, 0].any() and np.isfinite(array).all()


def test_a_length_beyond_the_keys_means_all_of_them():
    arrays = _attention_inputs(None, 9, 3, 2, 16, False)
    expected = _run(_our_attention(2, True), arrays)
    arrays.append(np.full((3, 9), 2**31 - 1, np.int32))
    _assert_same(_run(_our_attention(2, True), arrays), expected, 0)


def test_keys_beyond_the_length_count_for_nothing():
    arrays = _attention_inputs(None, 20, 2, 2, 16, True)
    arrays[1][:] = 11
    expected = _run(_our_attention(2, True), arrays)[0]
    arrays[0][11:] = 1e30
    out, gradient = _run(
        _our_attention(2, True), arrays, np.repeat([[[1.0]], [[0.0]]], [11, 9], 0) * np.ones((1, 2, 32))
    )
    np.testing.assert_array_equal(out[:11], expected[:11])
    keys_and_values = gradient.reshape(20, 2, 2, 3, 16)[:, :, :, 1:]
    assert not keys_and_values[11:].any() and keys_and_values[:11].any()


@pytest.mark.parametrize("queries", [None, 1], ids=["self", "first"])
def test_attention_with_scores_of_eighty_is_mxnets_own(queries):
    # Scores of 80 are exact to 80 / 2^24 = 5e-6, so their exponentials agree to as much.
    _compare_attention(queries, 33, 2, 2, 16, True, scale=5.0, tolerance=3e-5, least=1.0)
    scores = mx.nd.contrib.interleaved_matmul_selfatt_qk(
        mx.nd.array(_attention_inputs(None, 33, 2, 2, 16, False, 5.0)[0]), heads=2
    )
    assert scores.abs().max().asscalar() > 80


def test_attention_with_scores_beyond_the_range_of_exp_has_no_overflow():
    arrays = _attention_inputs(None, 17, 2, 2, 16, False, scale=100.0)
    for ours, theirs in zip(_run(_our_attention(2, True), arrays)[:1], _run(_mxnets_attention(2, True), arrays)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 20, 40], ids=["query", "key", "value"])
def test_attention_over_what_is_no_number_is_nan_where_mxnets_is(place, value):
    arrays = _attention_inputs(None, 9, 3, 2, 16, True)
    arrays[0][3, 2, place] = value
    ours, theirs = (_run(make(2, True), arrays)[0] for make in (_our_attention, _mxnets_attention))
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    assert np.isfinite(ours[:, :2]).all() and not np.isfinite(ours).all()


# What cannot be computed ----------------------------------------------------------------------------------------------


def _zeros(*shape, dtype="float32"):
    return mx.nd.zeros(shape, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
@pytest.mark.parametrize(
    "call, number",
    [
        (lambda wrong: operators.gelu(wrong(3, 4)), 0),
        (lambda wrong: operators.dropout(wrong(3, 4), _zeros(64), 0.5), 0),
        (lambda wrong: operators.layer_norm(wrong(3, 4), _zeros(4), _zeros(4)), 0),
        (lambda wrong: operators.layer_norm(_zeros(3, 4), wrong(4), _zeros(4)), 1),
        (lambda wrong: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), wrong(3, 4)), 3),
        (lambda wrong: operators.attention(wrong(3, 2, 4), _zeros(3, 2, 4), _zeros(3, 2, 4), heads=2), 0),
        (lambda wrong: operators.attention(_zeros(1, 2, 4), _zeros(3, 2, 4), wrong(3, 2, 4), heads=2), 2),
        (lambda wrong: operators.clip_factor([_zeros(3), wrong(3)], 1.0), 1),
    ],
)
def test_an_input_that_is_not_float32_is_named(call, number, dtype):
    with pytest.raises(mx.MXNetError, match=f"input {number} must be float32"):
        call(lambda *shape: _zeros(*shape, dtype=dtype)).wait_to_read()


def test_lengths_that_are_not_integers_are_named():
    with pytest.raises(mx.MXNetError, match="input 3 must be int32"):
        operators.attention(*[_zeros(3, 2, 4)] * 3, mx.nd.ones((2, 3)), heads=2).wait_to_read()


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(3), _zeros(4)), "[Ss]hape"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(5)), "[Ss]hape"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), _zeros(4, 3)), "residual"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), None, _zeros(3), p=0.5), "[Ss]hape"),
        (lambda: operators.dropout(_zeros(3, 4), _zeros(3), 0.5), "[Ss]hape"),
        (lambda: operators.attention(*[_zeros(3, 2, 7)] * 3, heads=2), "queries, keys and values"),
        (lambda: operators.attention(*[_zeros(3, 12)] * 3, heads=2), "queries, keys and values"),
        (lambda: operators.attention(*[_zeros(3, 2, 4)] * 3, heads=0), "queries, keys and values"),
        (lambda: operators.attention(*[_zeros(3, 2, 4)] * 3, heads=-1), "queries, keys and values"),
        (
            lambda: operators.attention(_zeros(1, 2, 8), _zeros(3, 2, 12), _zeros(3, 2, 12), heads=2),
            "queries, keys and values",
        ),
        (
            lambda: operators.attention(_zeros(1, 3, 8), _zeros(3, 2, 8), _zeros(3, 2, 8), heads=2),
            "queries, keys and values",
        ),
        (
            lambda: operators.attention(_zeros(1, 2, 8), _zeros(3, 2, 8), _zeros(4, 2, 8), heads=2),
            "queries, keys and values",
        ),
        (lambda: operators.attention(*[_zeros(3, 2, 4)] * 3, _zeros(3, 2, dtype="int32"), heads=2), "lengths"),
    ],
)
def test_inputs_whose_shapes_do_not_fit_are_refused(call, complaint):
    with pytest.raises(mx.MXNetError, match=complaint):
        call().wait_to_read()


# Dropout --------------------------------------------------------------------------------------------------------------


def _dropout(p):
    return lambda F, x: operators.dropout(x, operators.dropout_key(F), p)


def _layer_norm_dropout(p):
    def function(F, data, gamma, beta, residual):
        return operators.layer_norm(data, gamma, beta, residual, operators.dropout_key(F), 1e-5, p)

    return function


def _attention_dropout(heads, is_self, p):
    def function(F, *arrays):
        projected, rest = _separate(arrays, heads, is_self)
        return operators.attention(*projected, *(rest or [None]), operators.dropout_key(F), heads=heads, p=p)

    return function


def _mask(p, shape=(512, 512), seed=None):
    """1 where dropout has kept an element."""
    if seed is not None:
        mx.random.seed(seed)
    return (_run(_dropout(p), [np.ones(shape, np.float32)])[0] != 0).astype(np.float64)


def _attention_mask(p, length=64, batch=8, heads=4, seed=0, is_self=True):
    """The same of attention weights, (batch, heads, queries, keys): equal weights of values that name their keys."""
    mx.random.seed(seed)
    vectors = np.zeros((length, batch, heads, 3, length), np.float32)
    vectors[:, :, :, 2] = np.eye(length)[:, None, None]
    if is_self:
        arrays = [vectors.reshape(length, batch, -1)]
    else:
        arrays = [
            np.zeros((1, batch, heads * length), np.float32),
            vectors[:, :, :, 1:].reshape(length, batch, -1),
        ]
    out = _run(_attention_dropout(heads, is_self, p), arrays)[0]
    return length * out.reshape(-1, batch, heads, length).transpose(1, 2, 0, 3)


def _assert_uncorrelated(a, b):
    """Correlation within five standard deviations of none."""
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_it_should(p):
    mask = _mask(p, seed=0)
    assert abs(mask.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / mask.size)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("is_self", [True, False], ids=["self", "first"])
def test_dropout_of_attention_keeps_the_share_it_should(p, is_self):
    kept = _attention_mask(p, is_self=is_self) != 0
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / kept.size)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p):
    mx.random.seed(0)
    out = _run(_dropout(p), [np.ones((512, 512), np.float32)])[0]
    np.testing.assert_allclose(np.unique(out), [0, 1 / (1 - p)], rtol=1e-6)
    np.testing.assert_allclose(np.unique(_attention_mask(p)), [0, 1 / (1 - p)], rtol=1e-5)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("lag", [1, 2, 3, 8, 16, 64, 512, 513, 4096])
def test_what_dropout_does_to_an_element_says_nothing_about_its_neighbours(p, lag):
    mask = _mask(p, seed=1).ravel()
    _assert_uncorrelated(mask[:-lag], mask[lag:])


def test_all_patterns_of_eight_neighbours_are_equally_likely():
    bits = _mask(0.5, seed=2).reshape(-1, 8).astype(int)
    counts = np.bincount(bits @ (1 << np.arange(8)), minlength=256)
    expected = len(bits) / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - 255) < 5 * np.sqrt(2 * 255)


def test_rows_and_columns_are_dropped_no_more_than_chance_has_it():
    mask = _mask(0.1, seed=3)
    for axis in (0, 1):
        assert np.abs(mask.mean(axis) - 0.9).max() < 5 * np.sqrt(0.09 / 512)


def test_successive_masks_are_unrelated():
    mx.random.seed(4)
    masks = [_mask(0.5, (128, 256)) for _ in range(20)]
    for one, next_ in zip(masks, masks[1:]):
        _assert_uncorrelated(one, next_)
        _assert_uncorrelated(one.ravel()[1:], next_.ravel()[:-1])
    assert abs(np.mean(masks) - 0.5) < 5 * 0.5 / np.sqrt(20 * masks[0].size)


@pytest.mark.parametrize("mode", MODES)
def test_two_layers_of_a_net_have_masks_of_their_own(mode):
    mx.random.seed(5)

    def two(F, x):
        return F.stack(_dropout(0.5)(F, x), _dropout(0.5)(F, x))

    one, other = _run(two, [np.ones((128, 256), np.float32)], mode=mode)[0] != 0
    _assert_uncorrelated(one, other)


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_graph_draws_a_new_mask_in_each_step(mode):
    net = _Net(_dropout(0.5))
    net.hybridize(static_alloc=mode == "static")
    masks = []
    for _ in range(5):
        with mx.autograd.record():
            masks.append(net(mx.nd.ones((128, 256))).asnumpy() != 0)
    for one, next_ in zip(masks, masks[1:]):
        _assert_uncorrelated(one, next_)


def test_masks_of_attention_differ_between_rows_heads_queries_and_steps():
    mask = (_attention_mask(0.5, batch=16) != 0).astype(np.float64)
    _assert_uncorrelated(mask[:-1], mask[1:])
    _assert_uncorrelated(mask[:, :-1], mask[:, 1:])
    _assert_uncorrelated(mask[:, :, :-1], mask[:, :, 1:])
    _assert_uncorrelated(mask[..., :-1], mask[..., 1:])
    _assert_uncorrelated(mask, _attention_mask(0.5, batch=16, seed=1) != 0)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_mask_and_another_seed_another(mode):
    def outs(seed):
        mx.random.seed(seed)
        data = np.ones((20, 30), np.float32)
        return [_run(_dropout(0.5), [data], mode=mode)[0] for _ in range(3)]

    first, again, other = outs(1), outs(1), outs(2)
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != other).any()


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_has_the_mask_of_the_result(mode):
    out, gradient = _run(_dropout(0.3), [np.ones((33, 65), np.float32)], mode=mode)
    assert 0 < (out == 0).mean() < 1
    np.testing.assert_array_equal(gradient, out)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_layer_norm_drops_its_data_not_its_residual_and_alike_forward_and_backward(p, mode):
    arrays, head = _layer_norm_inputs((33, 65), True), _normal(33, 65, seed=3)
    ours = _run(_layer_norm_dropout(p), arrays, head, mode)
    d_data, d_residual = ours[1], ours[4]
    mask = np.where(np.abs(d_residual) > 1e-6, d_data / d_residual, 0)
    mask = np.where(mask > 0.5, np.float32(1 / (1 - p)), np.float32(0))
    assert abs((mask != 0).mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / mask.size)
    theirs = _run(
        lambda F, data, gamma, beta, residual: F.LayerNorm(data * mx.nd.array(mask) + residual, gamma, beta, eps=1e-5),
        arrays,
        head,
    )
    _assert_same(ours, theirs, 4e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("is_self", [True, False], ids=["self", "first"])
def test_attention_drops_weights_alike_forward_and_backward(is_self, has_length, mode):
    length, batch, heads, p = 33, 2, 2, 0.3
    mask = _attention_mask(p, length, batch, heads, seed=6, is_self=is_self).reshape(batch * heads, -1, length)
    arrays = _attention_inputs(None if is_self else 1, length, batch, heads, length, has_length)
    head = _normal(length if is_self else 1, batch, heads * length, seed=7)
    mx.random.seed(6)
    ours = _run(_attention_dropout(heads, is_self, p), arrays, head, mode)
    _assert_same(ours, _run(_mxnets_attention(heads, is_self, mask), arrays, head), 4e-6)


def test_nothing_is_dropped_outside_training():
    data = mx.nd.array(_normal(7, 3, 48))
    key = operators.dropout_key(mx.nd)
    one, zero = mx.nd.ones(48), mx.nd.zeros(48)
    for with_dropout, without in (
        (operators.dropout(data, key, 0.5), data),
        (operators.attention(*[data] * 3, None, key, heads=2, p=0.5), operators.attention(*[data] * 3, heads=2)),
        (operators.layer_norm(data, one, zero, data, key, p=0.5), operators.layer_norm(data, one, zero, data)),
    ):
        np.testing.assert_array_equal(with_dropout.asnumpy(), without.asnumpy())


def test_recording_a_prediction_drops_nothing():
    with mx.autograd.record(train_mode=False):
        out = operators.dropout(mx.nd.ones(1000), operators.dropout_key(mx.nd), 0.5)
    assert (out == 1).asnumpy().all()


def test_a_graph_that_has_trained_drops_nothing_in_a_prediction():
    net = _Net(_dropout(0.5))
    net.hybridize(static_alloc=True)
    with mx.autograd.record():
        assert (net(mx.nd.ones((20, 30))) == 0).asnumpy().any()
    assert (net(mx.nd.ones((20, 30))) == 1).asnumpy().all()


# Threads --------------------------------------------------------------------------------------------------------------

_ALL_RESULTS = """
import hashlib, sys
import mxnet as mx
from gluonnlp_snli_plugin.native import operators

assert operators.are_available()
mx.random.seed(3)
result = hashlib.sha256()
data = mx.nd.array(mx.np.arange(300 * 5 * 96).asnumpy() % 89 / 89 - 0.5).reshape((300, 5, 96))
data.attach_grad()
gamma, beta = data[0, 0].copy(), data[1, 0].copy()
gamma.attach_grad()
beta.attach_grad()
for _ in range(3):
    with mx.autograd.record():
        out = operators.layer_norm(data, gamma, beta, data * 2, operators.dropout_key(mx.nd), p=0.1)
        out = operators.attention(out, out, out, None, operators.dropout_key(mx.nd), heads=4, p=0.1)
        out = operators.dropout(operators.gelu(out), operators.dropout_key(mx.nd), 0.1)
    out.backward(out)
    for array in (out, data.grad, gamma.grad, beta.grad, operators.clip_factor([data.grad, gamma.grad], 1.0)):
        result.update(array.asnumpy().tobytes())
print(result.hexdigest())
"""


def test_values_gradients_and_masks_do_not_depend_on_the_number_of_threads():
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ALL_RESULTS],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in "12"
    ]
    one, two = (process.communicate(timeout=120)[0] for process in processes)
    assert len(one.strip()) == 2 * hashlib.sha256().digest_size
    assert one == two
