"""The attention in C++ gives what GluonNLP's own gives, and its dropout is random as it should be."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")

SIZES = [1, 2, 7, 16, 17, 31, 33, 64, 65, 130]


def _separate(arrays, heads, is_self):
    """Queries, keys and values of arrays in which those of each head follow one another; what comes after them."""

    def parts(array, count):
        by_head = array.reshape((0, 0, heads, count, -1))
        return [by_head.slice_axis(axis=3, begin=i, end=i + 1).reshape((0, 0, -1)) for i in range(count)]

    return (parts(arrays[0], 3), arrays[1:]) if is_self else ([arrays[0], *parts(arrays[1], 2)], arrays[2:])


def _our_attention(heads, is_self):
    def function(F, *arrays):
        projected, rest = _separate(arrays, heads, is_self)
        return operators.attention(*projected, *rest, heads=heads)

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


@pytest.fixture
def make_inputs(normal):
    """Makes what `_separate` takes, with `queries` None for self-attention.

    Lengths differ from row to row; the last row is whole.
    """

    def make(queries, keys, batch, heads, size, has_length, scale=1.0):
        if queries is None:
            arrays = [normal(keys, batch, heads * 3 * size, scale=scale)]
        else:
            arrays = [
                normal(queries, batch, heads * size, scale=scale),
                normal(keys, batch, heads * 2 * size, scale=scale),
            ]
        if has_length:
            lengths = np.random.RandomState(keys).randint(1, keys + 1, batch)
            lengths[-1] = keys
            arrays.append(np.repeat(lengths[:, None], keys if queries is None else queries, 1).astype(np.int32))
        return arrays

    return make


@pytest.fixture
def compare(run, assert_same, normal, make_inputs):
    """Compares results and gradients with MXNet's."""

    def compare(
        queries, keys, batch, heads, size, has_length, mode="imperative", scale=1.0, tolerance=3e-6, least=1e-3
    ):
        arrays = make_inputs(queries, keys, batch, heads, size, has_length, scale)
        head = normal(keys if queries is None else queries, batch, heads * size, seed=7)
        ours = run(_our_attention(heads, queries is None), arrays, head, mode)
        assert_same(ours, run(_mxnets_attention(heads, queries is None), arrays, head), tolerance, least)

    return compare


SHAPES = [  # length, batch, heads, head size: each of the sizes as a length and as a head size
    *((length, 1 + i % 3, (1, 2, 7)[i % 3], SIZES[-1 - i]) for i, length in enumerate(SIZES)),
    *((length, 1 + i % 2, (2, 1, 4)[i % 3], SIZES[i - 4]) for i, length in enumerate(SIZES)),
]


@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_self_attention_is_gluonnlps_own(compare, shape, has_length):
    compare(None, *shape, has_length)


@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_of_one_position_over_all_is_mxnets_own(compare, shape, has_length):
    compare(1, *shape, has_length)


@pytest.mark.parametrize("queries", [2, 7, 65, 130])
@pytest.mark.parametrize("shape", [(1, 2, 3, 16), (33, 2, 2, 17), (130, 1, 1, 31)], ids=str)
def test_attention_of_some_positions_over_others_is_mxnets_own(compare, shape, queries):
    compare(queries, *shape, True)


@pytest.mark.parametrize("mode", ["hybridized", "static"])
@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("queries", [None, 1], ids=["self", "first"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (17, 3, 2, 7), (65, 2, 12, 32), (7, 33, 2, 64)], ids=str)
def test_attention_in_a_graph_is_mxnets_own(compare, shape, queries, has_length, mode):
    compare(queries, *shape, has_length, mode)


def test_lengths_may_differ_between_the_queries_of_a_row(run, assert_same, normal, make_inputs):
    arrays = make_inputs(None, 33, 2, 2, 8, True)
    arrays[1] = np.random.RandomState(0).randint(1, 34, (2, 33)).astype(np.int32)
    head = normal(33, 2, 16, seed=7)
    assert_same(run(_our_attention(2, True), arrays, head), run(_mxnets_attention(2, True), arrays, head), 3e-6)


@pytest.mark.parametrize("length", [0, -1, -(2**31)])
@pytest.mark.parametrize("queries", [None, 1], ids=["self", "first"])
def test_a_row_of_padding_alone_gets_nothing_and_gives_nothing(run, make_inputs, queries, length):
    arrays = make_inputs(queries, 9, 3, 2, 16, True)
    arrays[-1][1] = length
    out, *gradients = run(_our_attention(2, queries is None), arrays)
    for array in (out, *gradients):
        assert not array[:, 1].any() and array[:, 0].any() and np.isfinite(array).all()


def test_a_length_beyond_the_keys_means_all_of_them(run, assert_same, make_inputs):
    arrays = make_inputs(None, 9, 3, 2, 16, False)
    expected = run(_our_attention(2, True), arrays)
    arrays.append(np.full((3, 9), 2**31 - 1, np.int32))
    assert_same(run(_our_attention(2, True), arrays), expected, 0)


def test_keys_beyond_the_length_count_for_nothing(run, make_inputs):
    arrays = make_inputs(None, 20, 2, 2, 16, True)
    arrays[1][:] = 11
    expected = run(_our_attention(2, True), arrays)[0]
    arrays[0][11:] = 1e30
    out, gradient = run(
        _our_attention(2, True), arrays, np.repeat([[[1.0]], [[0.0]]], [11, 9], 0) * np.ones((1, 2, 32))
    )
    np.testing.assert_array_equal(out[:11], expected[:11])
    keys_and_values = gradient.reshape(20, 2, 2, 3, 16)[:, :, :, 1:]
    assert not keys_and_values[11:].any() and keys_and_values[:11].any()


@pytest.mark.parametrize("queries", [None, 1], ids=["self", "first"])
def test_attention_with_scores_of_eighty_is_mxnets_own(compare, make_inputs, queries):
    # Scores of 80 are exact to 80 / 2^24 = 5e-6, so their exponentials agree to as much.
    compare(queries, 33, 2, 2, 16, True, scale=5.0, tolerance=3e-5, least=1.0)
    scores = mx.nd.contrib.interleaved_matmul_selfatt_qk(
        mx.nd.array(make_inputs(None, 33, 2, 2, 16, False, 5.0)[0]), heads=2
    )
    assert scores.abs().max().asscalar() > 80


def test_attention_with_scores_beyond_the_range_of_exp_has_no_overflow(run, make_inputs):
    arrays = make_inputs(None, 17, 2, 2, 16, False, scale=100.0)
    for ours, theirs in zip(run(_our_attention(2, True), arrays)[:1], run(_mxnets_attention(2, True), arrays)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 20, 40], ids=["query", "key", "value"])
def test_attention_over_what_is_no_number_is_nan_where_mxnets_is(run, make_inputs, place, value):
    arrays = make_inputs(None, 9, 3, 2, 16, True)
    arrays[0][3, 2, place] = value
    ours, theirs = (run(make(2, True), arrays)[0] for make in (_our_attention, _mxnets_attention))
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    assert np.isfinite(ours[:, :2]).all() and not np.isfinite(ours).all()


# Dropout --------------------------------------------------------------------------------------------------------------


def _attention_dropout(heads, is_self, p):
    def function(F, *arrays):
        projected, rest = _separate(arrays, heads, is_self)
        return operators.attention(*projected, *(rest or [None]), operators.dropout_key(F), heads=heads, p=p)

    return function


@pytest.fixture
def make_mask(run):
    """Makes the scaled mask (batch, heads, queries, keys): equal weights of values that name their keys."""

    def make(p, length=64, batch=8, heads=4, seed=0, is_self=True):
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
        out = run(_attention_dropout(heads, is_self, p), arrays)[0]
        return length * out.reshape(-1, batch, heads, length).transpose(1, 2, 0, 3)

    return make


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("is_self", [True, False], ids=["self", "first"])
def test_dropout_of_attention_keeps_the_share_it_should_and_the_mean(make_mask, p, is_self):
    mask = make_mask(p, is_self=is_self)
    assert abs((mask != 0).mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / mask.size)
    np.testing.assert_allclose(np.unique(mask), [0, 1 / (1 - p)], rtol=1e-5)


def test_masks_of_attention_differ_between_rows_heads_queries_and_steps(assert_uncorrelated, make_mask):
    mask = (make_mask(0.5, batch=16) != 0).astype(np.float64)
    assert_uncorrelated(mask[:-1], mask[1:])
    assert_uncorrelated(mask[:, :-1], mask[:, 1:])
    assert_uncorrelated(mask[:, :, :-1], mask[:, :, 1:])
    assert_uncorrelated(mask[..., :-1], mask[..., 1:])
    assert_uncorrelated(mask, make_mask(0.5, batch=16, seed=1) != 0)


@pytest.mark.parametrize("has_length", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("is_self", [True, False], ids=["self", "first"])
def test_attention_drops_weights_alike_forward_and_backward(
    run, assert_same, normal, make_mask, make_inputs, is_self, has_length, mode
):
    length, batch, heads, p = 33, 2, 2, 0.3
    mask = make_mask(p, length, batch, heads, seed=6, is_self=is_self).reshape(batch * heads, -1, length)
    arrays = make_inputs(None if is_self else 1, length, batch, heads, length, has_length)
    head = normal(length if is_self else 1, batch, heads * length, seed=7)
    mx.random.seed(6)
    ours = run(_attention_dropout(heads, is_self, p), arrays, head, mode)
    assert_same(ours, run(_mxnets_attention(heads, is_self, mask), arrays, head), 4e-6)
