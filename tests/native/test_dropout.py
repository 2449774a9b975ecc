"""The dropout in C++ is random as it should be."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")


def _dropout(p):
    return lambda F, x: operators.dropout(x, operators.dropout_key(F), p)


@pytest.fixture
def make_mask(run):
    """Makes an array of 1 where dropout has kept an element."""

    def make(p, shape=(512, 512), seed=None):
        if seed is not None:
            mx.random.seed(seed)
        return (run(_dropout(p), [np.ones(shape, np.float32)])[0] != 0).astype(np.float64)

    return make


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_it_should(make_mask, p):
    mask = make_mask(p, seed=0)
    assert abs(mask.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / mask.size)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(run, p):
    mx.random.seed(0)
    out = run(_dropout(p), [np.ones((512, 512), np.float32)])[0]
    np.testing.assert_allclose(np.unique(out), [0, 1 / (1 - p)], rtol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("lag", [1, 2, 3, 8, 16, 64, 512, 513, 4096])
def test_what_dropout_does_to_an_element_says_nothing_about_its_neighbours(assert_uncorrelated, make_mask, p, lag):
    mask = make_mask(p, seed=1).ravel()
    assert_uncorrelated(mask[:-lag], mask[lag:])


def test_all_patterns_of_eight_neighbours_are_equally_likely(make_mask):
    bits = make_mask(0.5, seed=2).reshape(-1, 8).astype(int)
    counts = np.bincount(bits @ (1 << np.arange(8)), minlength=256)
    expected = len(bits) / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - 255) < 5 * np.sqrt(2 * 255)


def test_rows_and_columns_are_dropped_no_more_than_chance_has_it(make_mask):
    mask = make_mask(0.1, seed=3)
    for axis in (0, 1):
        assert np.abs(mask.mean(axis) - 0.9).max() < 5 * np.sqrt(0.09 / 512)


def test_successive_masks_are_unrelated(assert_uncorrelated, make_mask):
    mx.random.seed(4)
    masks = [make_mask(0.5, (128, 256)) for _ in range(20)]
    for one, next_ in zip(masks, masks[1:]):
        assert_uncorrelated(one, next_)
        assert_uncorrelated(one.ravel()[1:], next_.ravel()[:-1])
    assert abs(np.mean(masks) - 0.5) < 5 * 0.5 / np.sqrt(20 * masks[0].size)


def test_two_layers_of_a_net_have_masks_of_their_own(run, assert_uncorrelated, mode):
    mx.random.seed(5)

    def two(F, x):
        return F.stack(_dropout(0.5)(F, x), _dropout(0.5)(F, x))

    one, other = run(two, [np.ones((128, 256), np.float32)], mode=mode)[0] != 0
    assert_uncorrelated(one, other)


@pytest.mark.parametrize("mode", ["hybridized", "static"])
def test_a_graph_draws_a_new_mask_in_each_step(assert_uncorrelated, mode):
    net = mx.gluon.nn.HybridLambda(_dropout(0.5))
    net.hybridize(static_alloc=mode == "static")
    masks = []
    for _ in range(5):
        with mx.autograd.record():
            masks.append(net(mx.nd.ones((128, 256))).asnumpy() != 0)
    for one, next_ in zip(masks, masks[1:]):
        assert_uncorrelated(one, next_)


def test_the_same_seed_gives_the_same_mask_and_another_seed_another(run, mode):
    def outs(seed):
        mx.random.seed(seed)
        data = np.ones((20, 30), np.float32)
        return [run(_dropout(0.5), [data], mode=mode)[0] for _ in range(3)]

    first, again, other = outs(1), outs(1), outs(2)
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != other).any()


def test_the_gradient_has_the_mask_of_the_result(run, mode):
    out, gradient = run(_dropout(0.3), [np.ones((33, 65), np.float32)], mode=mode)
    assert 0 < (out == 0).mean() < 1
    np.testing.assert_array_equal(gradient, out)


def test_recording_a_prediction_drops_nothing():
    with mx.autograd.record(train_mode=False):
        out = operators.dropout(mx.nd.ones(1000), operators.dropout_key(mx.nd), 0.5)
    assert (out == 1).asnumpy().all()


def test_a_graph_that_has_trained_drops_nothing_in_a_prediction():
    net = mx.gluon.nn.HybridLambda(_dropout(0.5))
    net.hybridize(static_alloc=True)
    with mx.autograd.record():
        assert (net(mx.nd.ones((20, 30))) == 0).asnumpy().any()
    assert (net(mx.nd.ones((20, 30))) == 1).asnumpy().all()
