"""Several corpora, and a share of each in every epoch."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.batches import LengthBucketBatches, pad
from gluonnlp_snli_plugin.data.encoding import EncodedPairs
from gluonnlp_snli_plugin.data.mixture import Mixture, joined

law = settings(max_examples=80)
parts = st.lists(st.tuples(st.integers(1, 40), st.floats(0.01, 4)), min_size=1, max_size=4)


def pairs_of(lengths, first_id=100):
    """Encoded pairs of the given lengths ``(len_a, len_b)``, whose token ids are all different."""
    len_a, len_b = np.array(lengths, np.int32).reshape(-1, 2).T
    offsets = np.concatenate([[0], np.cumsum(len_a + len_b + 3, dtype=np.int64)])
    input_ids = np.arange(first_id, first_id + offsets[-1], dtype=np.int32)
    return EncodedPairs(input_ids, offsets, len_a, len_b, np.arange(len(len_a), dtype=np.int32) % 3, 7, 1)


# What an epoch takes --------------------------------------------------------------------------------------------------


def test_an_epoch_takes_the_share_of_each_corpus():
    mixture = Mixture([100, 60, 10, 3], [0.5, 1, 2, 0.01])
    assert mixture.counts == [50, 60, 20, 1] and mixture.num_pairs == 131
    pairs = mixture.epoch(0)
    assert pairs.dtype == np.int64 and len(pairs) == 131
    counts = [np.count_nonzero((begin <= pairs) & (pairs < end)) for begin, end in ((0, 100), (100, 160), (160, 170))]
    assert counts == [50, 60, 20]
    assert pairs[50:110].tolist() == list(range(100, 160))
    assert pairs[110:130].tolist() == sorted([*range(160, 170)] * 2)


def test_whole_corpora_are_taken_as_they_are():
    assert Mixture([3, 2], [1, 1]).epoch(5).tolist() == [0, 1, 2, 3, 4]


def test_a_share_of_a_half_takes_one_half_and_then_the_other():
    mixture = Mixture([40], [0.5], seed=3)
    first, second, third = (mixture.epoch(epoch) for epoch in range(3))
    assert sorted([*first, *second]) == list(range(40))
    assert first.tolist() != third.tolist()


@given(parts, st.integers(0, 2**31), st.integers(1, 9))
@law
def test_over_epochs_the_pairs_of_a_corpus_come_equally_often(parts, seed, epochs):
    sizes, shares = zip(*parts)
    mixture = Mixture(sizes, shares, seed)
    times = collections.Counter(i for epoch in range(epochs) for i in mixture.epoch(epoch).tolist())
    ends = np.cumsum(sizes)
    for size, end, count in zip(sizes, ends, mixture.counts):
        found = [times[i] for i in range(end - size, end)]
        assert sum(found) == epochs * count and max(found) - min(found) <= 1
    assert sum(times.values()) == epochs * mixture.num_pairs


@given(parts, st.integers(0, 2**31), st.integers(0, 9))
@law
def test_what_an_epoch_takes_is_a_function_of_seed_and_epoch(parts, seed, epoch):
    mixture = Mixture(*zip(*parts), seed)
    expected = mixture.epoch(epoch)
    np.random.seed(1)
    mixture.epoch(epoch + 1)
    np.testing.assert_array_equal(Mixture(*zip(*parts), seed).epoch(epoch), expected)
    np.testing.assert_array_equal(mixture.epoch(epoch), expected)
    assert (np.diff(expected) >= 0).all()


def test_seeds_and_corpora_have_an_order_of_their_own():
    one = Mixture([100, 100], [0.5, 0.5], seed=1)
    first, second = np.split(one.epoch(0), 2)
    assert first.tolist() != (second - 100).tolist()
    assert first.tolist() != Mixture([100], [0.5], seed=2).epoch(0).tolist()


# Batches of it --------------------------------------------------------------------------------------------------------


def batches_of(sizes, shares, seed=1, **arguments):
    encoded = pairs_of(np.random.default_rng(0).integers(0, 30, (sum(sizes), 2)))
    return LengthBucketBatches(encoded, seed=seed, mixture=Mixture(sizes, shares, seed), **arguments)


def test_whole_corpora_make_the_batches_of_one_that_holds_them_all():
    mixed = batches_of([30, 70], [1, 1], batch_size=8)
    alone = LengthBucketBatches(mixed.encoded, 8, seed=1)
    for epoch in range(2):
        for one, other in zip(mixed.order(epoch), alone.order(epoch)):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shares", [(0.5, 2), (0.1, 0.3), (7, 7)], ids=str)
def test_the_batches_of_an_epoch_hold_what_it_takes(shares):
    batches = batches_of([30, 10], shares, batch_size=8, min_size=2)
    for epoch in range(3):
        order = batches.order(epoch)
        assert sorted(np.concatenate(order)) == batches.mixture.epoch(epoch).tolist()
        assert len(order) == len(batches) == batches.num_batches(epoch)
        assert len(batches.lengths()) == len(batches)


def test_the_ranks_divide_it_among_them():
    ranks = [batches_of([30, 10], (0.5, 2), batch_size=4, rank=rank, num_ranks=2) for rank in range(2)]
    seen = [i for batches in ranks for batch in batches.epoch(1) for i in batch.index]
    assert sorted(seen) == ranks[0].mixture.epoch(1).tolist()
    alone = batches_of([30, 10], (0.5, 2), batch_size=8)
    for one, other in zip(ranks[0].order(1), alone.order(1)):
        np.testing.assert_array_equal(one, other)


def test_no_batch_is_larger_than_the_longest_even_of_pairs_that_come_often():
    batches = batches_of([3, 2], (9, 9), batch_size=32)
    assert len(batches.longest().input_ids) == 32 == max(len(index) for index in batches.order(0))


# Corpora as one -------------------------------------------------------------------------------------------------------


def test_corpora_are_joined_pair_by_pair():
    lengths = [[(1, 2), (3, 1)], [(0, 4)], [(2, 2), (1, 1), (5, 0)]]
    corpora = [pairs_of(one, 1000 * i) for i, one in enumerate(lengths)]
    whole = joined(corpora)
    expected = [pair for corpus in corpora for pair in (corpus[i] for i in range(len(corpus)))]
    assert len(whole) == 6 and whole.num_truncated == 3
    for (ids, segments, length, label), other in zip((whole[i] for i in range(6)), expected):
        np.testing.assert_array_equal(ids, other[0])
        np.testing.assert_array_equal(segments, other[1])
        assert (length, label) == other[2:]
    types = [getattr(whole, name).dtype for name in ("input_ids", "offsets", "len_a", "len_b", "labels")]
    assert types == [np.int32, np.int64, np.int32, np.int32, np.int32]
    assert pad(whole, np.array([5])).input_ids.tolist() == [list(range(2012, 2020))]


def test_one_corpus_is_what_it_is():
    corpus = pairs_of([(1, 2)])
    assert joined([corpus]) is corpus
