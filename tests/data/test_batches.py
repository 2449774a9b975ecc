"""Batches of like length: every pair once, the same for everybody, and little padding."""

import itertools

import gluonnlp as nlp
import numpy as np
import pytest
from gluonnlp.data.batchify import Pad
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.batches import Batch, LengthBucketBatches, pad
from gluonnlp_snli_plugin.data.encoding import EncodedPairs, PairEncoder
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.tasks.snli import SNLI
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

PADDING = 7


def pairs_of(lengths, labelled=True):
    """Encoded pairs of the given lengths ``(len_a, len_b)``, whose token ids are all different."""
    len_a, len_b = np.array(lengths, np.int32).reshape(-1, 2).T
    offsets = np.concatenate([[0], np.cumsum(len_a + len_b + 3, dtype=np.int64)])
    input_ids = np.arange(100, 100 + offsets[-1], dtype=np.int32)
    labels = np.arange(len(len_a), dtype=np.int32) % 3 if labelled else None
    return EncodedPairs(input_ids, offsets, len_a, len_b, labels, PADDING)


def random_pairs(number, seed=0):
    return pairs_of(np.random.default_rng(seed).integers(0, 30, (number, 2)))


lengths = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40)
law = settings(max_examples=80)


@st.composite
def divisions(draw):
    """Encoded pairs, and arguments for dividing them into batches."""
    arguments = {
        "batch_size": draw(st.integers(1, 9)),
        "shuffle": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**40)),
        "num_ranks": draw(st.integers(1, 4)),
    }
    arguments["min_size"] = draw(st.integers(1, arguments["batch_size"]))
    return pairs_of(draw(lengths.filter(lambda pairs: not 0 < len(pairs) < arguments["num_ranks"]))), arguments


def batches_of_ranks(encoded, arguments, epoch):
    """The batches of an epoch as each rank sees them."""
    return [
        list(LengthBucketBatches(encoded, rank=rank, **arguments).epoch(epoch))
        for rank in range(arguments["num_ranks"])
    ]


# One epoch ----------------------------------------------------------------------------------------------------------


@given(divisions(), st.integers(0, 5))
@law
def test_every_pair_comes_exactly_once_an_epoch(division, epoch):
    encoded, arguments = division
    ranks = batches_of_ranks(encoded, arguments, epoch)
    seen = [i for batches in ranks for batch in batches for i in batch.index]
    assert sorted(seen) == list(range(len(encoded)))


@given(divisions(), st.integers(0, 5))
@law
def test_the_ranks_divide_every_global_batch_among_them(division, epoch):
    encoded, arguments = division
    global_batches = LengthBucketBatches(encoded, **arguments).order(epoch)
    ranks = batches_of_ranks(encoded, arguments, epoch)
    assert {len(batches) for batches in ranks} == {len(global_batches)}
    for global_batch, *shares in zip(global_batches, *ranks):
        for rank, batch in enumerate(shares):
            np.testing.assert_array_equal(batch.index, global_batch[rank :: len(shares)])
        sizes = [len(batch.index) for batch in shares]
        assert max(sizes) - min(sizes) <= 1


@given(divisions(), st.integers(0, 5))
@law
def test_all_batches_but_the_one_with_the_remainder_are_full(division, epoch):
    encoded, arguments = division
    full = arguments["batch_size"] * arguments["num_ranks"]
    least = arguments["min_size"] * arguments["num_ranks"]
    sizes = [len(index) for index in LengthBucketBatches(encoded, **arguments).order(epoch)]
    others = [size for size in sizes if size != full]
    assert len(others) <= 1
    assert all(min(least, len(encoded)) <= size < full + least for size in others)


@given(divisions(), st.integers(0, 5))
@law
def test_no_rank_has_fewer_pairs_than_devices(division, epoch):
    encoded, arguments = division
    if len(encoded) >= arguments["min_size"] * arguments["num_ranks"]:
        for batches in batches_of_ranks(encoded, arguments, epoch):
            assert all(len(batch.index) >= arguments["min_size"] for batch in batches)


@given(divisions())
@law
def test_the_length_is_the_number_of_batches(division):
    encoded, arguments = division
    batches = LengthBucketBatches(encoded, **arguments)
    assert len(batches) == len(list(batches)) == len(batches.order(3))


@pytest.mark.parametrize(
    "number, min_size, sizes",
    [
        (12, 1, [4, 4, 4]),
        (13, 1, [4, 4, 4, 1]),
        (13, 2, [4, 4, 5]),
        (14, 2, [4, 4, 4, 2]),
        (14, 3, [4, 4, 6]),
        (15, 4, [4, 4, 7]),
        (3, 4, [3]),
        (1, 1, [1]),
        (0, 1, []),
    ],
)
def test_a_remainder_that_is_too_small_joins_the_batch_before_it(number, min_size, sizes):
    batches = LengthBucketBatches(random_pairs(number), 4, shuffle=False, min_size=min_size)
    assert [len(batch.index) for batch in batches] == sizes
    assert len(batches) == len(sizes)


def test_the_smallest_size_is_for_each_rank():
    sizes = [len(index) for index in LengthBucketBatches(random_pairs(29), 4, False, num_ranks=3, min_size=2).order(0)]
    assert sizes == [12, 17]


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_pairs_make_no_batches(shuffle):
    batches = LengthBucketBatches(pairs_of([]), 4, shuffle, num_ranks=2)
    assert len(batches) == 0 and list(batches) == [] and batches.order(0) == []


def test_fewer_pairs_than_ranks_are_an_error():
    with pytest.raises(UsageError, match="3 pairs cannot be divided among 4 ranks"):
        LengthBucketBatches(random_pairs(3), 8, num_ranks=4)


# The order ----------------------------------------------------------------------------------------------------------


def indices(batches):
    return [batch.index.tolist() for batch in batches]


@given(divisions(), st.integers(0, 5))
@law
def test_the_order_is_a_function_of_seed_and_epoch(division, epoch):
    encoded, arguments = division
    batches = LengthBucketBatches(encoded, **arguments)
    np.random.seed(1)
    expected = indices(batches.epoch(epoch))
    np.random.seed(2)
    list(batches.epoch(epoch + 1))
    assert indices(batches.epoch(epoch)) == expected
    assert indices(LengthBucketBatches(encoded, **arguments).epoch(epoch)) == expected


def test_each_seed_and_each_epoch_has_an_order_of_its_own():
    encoded = random_pairs(100)
    orders = [
        indices(LengthBucketBatches(encoded, 8, seed=seed).epoch(epoch)) for seed in range(4) for epoch in range(4)
    ]
    assert all(a != b for a, b in itertools.combinations(orders, 2))


def test_pairs_meet_others_in_each_epoch():
    for encoded in (pairs_of([(5, 5)] * 100), pairs_of([(i, 0) for i in range(500)])):
        batches = LengthBucketBatches(encoded, 2)
        groups = [{frozenset(index.tolist()) for index in batches.order(epoch)} for epoch in range(2)]
        assert len(groups[0] & groups[1]) < len(batches) / 2


def test_shuffled_batches_do_not_come_in_order_of_length():
    longest = [batch.valid_length.max() for batch in LengthBucketBatches(random_pairs(400), 8)]
    assert longest != sorted(longest)


def test_the_division_into_batches_is_the_same_for_every_number_of_ranks():
    encoded = random_pairs(100)
    one = LengthBucketBatches(encoded, 12, seed=5).order(2)
    for num_ranks in (2, 3, 4):
        several = LengthBucketBatches(encoded, 12 // num_ranks, seed=5, num_ranks=num_ranks).order(2)
        assert [index.tolist() for index in several] == [index.tolist() for index in one]


def test_unshuffled_pairs_come_longest_first_and_else_in_their_own_order():
    encoded = random_pairs(100)
    batches = LengthBucketBatches(encoded, 8, shuffle=False, seed=3)
    order = np.concatenate([batch.index for batch in batches])
    assert order.tolist() == sorted(range(100), key=lambda i: (-encoded.valid_length[i], i))
    assert indices(batches.epoch(0)) == indices(batches.epoch(1))


def test_iterating_gives_the_first_epoch():
    batches = LengthBucketBatches(random_pairs(50), 8)
    assert indices(batches) == indices(batches.epoch(0))


@given(divisions(), st.integers(0, 5), st.integers(0, 12))
@law
def test_an_epoch_can_be_taken_up_in_the_middle(division, epoch, start):
    encoded, arguments = division
    batches = LengthBucketBatches(encoded, **arguments)
    assert indices(batches.epoch(epoch, start)) == indices(batches.epoch(epoch))[start:]


# Padding ------------------------------------------------------------------------------------------------------------


@given(lengths.filter(len), st.data())
@law
def test_a_batch_is_what_gluonnlps_pad_makes_of_the_pairs(pairs, data):
    encoded = pairs_of(pairs)
    index = np.array(data.draw(st.lists(st.integers(0, len(encoded) - 1), min_size=1, max_size=8)))
    batch = pad(encoded, index)
    input_ids, segment_ids, valid_length, label = zip(*(encoded[i] for i in index))
    np.testing.assert_array_equal(batch.input_ids, Pad(pad_val=PADDING)(input_ids).asnumpy())
    np.testing.assert_array_equal(batch.segment_ids, Pad(pad_val=0)(segment_ids).asnumpy())
    np.testing.assert_array_equal(batch.valid_length, valid_length)
    np.testing.assert_array_equal(batch.label, label)
    np.testing.assert_array_equal(batch.index, index)


def test_a_small_batch_in_full():
    batch = pad(pairs_of([(1, 2), (3, 1), (0, 0)]), np.array([2, 0]))
    assert batch.input_ids.tolist() == [[113, 114, 115, 7, 7, 7], [100, 101, 102, 103, 104, 105]]
    assert batch.segment_ids.tolist() == [[0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert batch.valid_length.tolist() == [3, 6]
    assert batch.label.tolist() == [2, 0]


@given(divisions())
@example((random_pairs(40), {"batch_size": 3, "num_ranks": 1}))
@law
def test_the_arrays_of_a_batch_have_their_types_and_shapes(division):
    encoded, arguments = division
    for batch in LengthBucketBatches(encoded, **arguments):
        assert isinstance(batch, Batch)
        assert [array.dtype for array in batch[:5]] == [np.int32, np.int32, np.float32, np.int32, np.int64]
        number, length = len(batch.index), int(batch.valid_length.max())
        assert batch.input_ids.shape == batch.segment_ids.shape == (number, length)
        assert batch.valid_length.shape == batch.label.shape == batch.index.shape == (number,)


@given(divisions().filter(lambda division: len(division[0])), st.integers(0, 3))
@law
def test_no_batch_is_larger_than_the_longest(division, epoch):
    encoded, arguments = division
    for rank, batches in enumerate(batches_of_ranks(encoded, arguments, epoch)):
        longest = LengthBucketBatches(encoded, rank=rank, **arguments).longest()
        assert longest.input_ids.shape[1] == max(encoded.valid_length[longest.index])
        for batch in batches:
            assert all(one <= other for one, other in zip(batch.input_ids.shape, longest.input_ids.shape))


def test_a_batch_knows_how_many_pairs_all_ranks_have_in_theirs():
    encoded = random_pairs(103)
    shares = [LengthBucketBatches(encoded, 8, seed=3, rank=rank, num_ranks=3) for rank in range(3)]
    for together in zip(*shares):
        assert {batch.num_pairs for batch in together} == {sum(len(batch.label) for batch in together)}


def test_unlabelled_pairs_have_the_label_0():
    batch = pad(pairs_of([(1, 2), (3, 1)], labelled=False), np.array([0, 1]))
    assert batch.label.tolist() == [0, 0] and batch.label.dtype == np.int32


def padding_share(batches):
    return 1 - sum(batch.valid_length.sum() for batch in batches) / sum(batch.input_ids.size for batch in batches)


def test_real_pairs_have_less_than_5_percent_of_padding(shared_data):
    pairs = SNLI(file=shared_data / "snli_mini" / "snli_mini_train.jsonl")
    words = nlp.data.BERTBasicTokenizer()
    tokens = dict.fromkeys(token for text in {*pairs.premises, *pairs.hypotheses} for token in words(text))
    vocab = wordpiece_vocab([*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), *tokens])
    encoder = PairEncoder(nlp.data.BERTTokenizer(vocab), vocab)
    encoded = encoder.encode(pairs.premises, pairs.hypotheses, pairs.labels)
    assert padding_share(list(LengthBucketBatches(encoded, 32, seed=1))) < 0.05
    assert padding_share(list(LengthBucketBatches(encoded, 32, shuffle=False))) < 0.01
