"""Batches for pretraining: every pair once, labels only where something is masked, the same on all ranks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.pretraining.batches import PretrainingBatch, PretrainingBatches
from gluonnlp_snli_plugin.data.pretraining.masking import Masking, special_tokens
from gluonnlp_snli_plugin.data.pretraining.pairs import draw_pairs
from gluonnlp_snli_plugin.errors import DataError, UsageError

law = settings(max_examples=40)
ARRAYS = PretrainingBatch._fields[:8]


@pytest.fixture(scope="module")
def documents(random_documents, vocab):
    return random_documents(12, 25, ids=np.flatnonzero(~special_tokens(vocab)))


@pytest.fixture(scope="module")
def make(documents, vocab):
    """Makes batches of the documents; of 8 pairs and up to 48 tokens, if nothing else is said."""

    def make(**settings):
        return PretrainingBatches(
            **{"documents": documents, "vocab": vocab, "batch_size": 8, "max_len": 48, **settings}
        )

    return make


divisions = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 20),
        "max_len": st.integers(5, 70),
        "short_seq_prob": st.sampled_from([0, 0.1, 1]),
        "mask_ratio": st.sampled_from([0.05, 0.15, 0.6]),
        "whole_word_mask": st.booleans(),
        "seed": st.integers(0, 2**40),
        "num_ranks": st.integers(1, 3),
        "round_to": st.integers(1, 9),
        "fixed": st.booleans(),
        "round_masks_to": st.sampled_from([1, 8, 32]),
    }
)


def original(batch):
    """The input ids of a batch as they were before the masks."""
    input_ids = batch.input_ids.copy()
    real = batch.masked_weight > 0
    input_ids.reshape(-1)[batch.masked_position[real]] = batch.masked_id[real]
    return input_ids


def same(batch, other):
    return all(np.array_equal(one, another) for one, another in zip(batch, other))


def ranks_of(make, division, epoch):
    return [list(make(rank=rank, **division).epoch(epoch)) for rank in range(division["num_ranks"])]


# What is in a batch -------------------------------------------------------------------------------------------------


@given(division=divisions, epoch=st.integers(0, 3))
@law
def test_without_its_masks_a_batch_is_the_documents_pairs(make, documents, vocab, division, epoch):
    cls, sep, padding = vocab[[vocab.cls_token, vocab.sep_token, vocab.padding_token]]
    drawn = 0 if division["fixed"] else epoch
    pairs = draw_pairs(documents, division["max_len"], division["short_seq_prob"], division["seed"], drawn)
    for batch in itertools.chain(*ranks_of(make, division, epoch)):
        rows = []
        for a, len_a, b, len_b in zip(
            *(getattr(pairs, field)[batch.index] for field in ("a_start", "len_a", "b_start", "len_b"))
        ):
            rows.append([cls, *documents.ids[a : a + len_a], sep, *documents.ids[b : b + len_b], sep])
        longest = max(map(len, rows))
        length = batch.input_ids.shape[1]
        assert length % division["round_to"] == 0 and longest <= length < longest + division["round_to"]
        expected = [row + [padding] * (length - len(row)) for row in rows]
        np.testing.assert_array_equal(original(batch), expected)
        segments = [
            [0] * (len_a + 2) + [1] * (len_b + 1) + [0] * (length - len_a - len_b - 3)
            for len_a, len_b in zip(pairs.len_a[batch.index], pairs.len_b[batch.index])
        ]
        np.testing.assert_array_equal(batch.segment_ids, segments)
        assert batch.valid_length.tolist() == list(map(len, rows))
        assert max(map(len, rows)) <= division["max_len"]
        np.testing.assert_array_equal(batch.next_sentence_label, pairs.label[batch.index])


@given(division=divisions, epoch=st.integers(0, 3))
@law
def test_there_are_labels_only_where_an_ordinary_token_was_masked(make, vocab, division, epoch):
    mask = vocab[vocab.mask_token]
    for batch in itertools.chain(*ranks_of(make, division, epoch)):
        number = int(batch.masked_weight.sum())
        assert batch.masked_weight.tolist() == [1.0] * number + [0.0] * (len(batch.masked_weight) - number)
        assert len(batch.masked_weight) % division["round_masks_to"] == 0
        assert len(batch.masked_weight) - number < division["round_masks_to"]
        assert not batch.masked_position[number:].any() and not batch.masked_id[number:].any()
        position = batch.masked_position[:number]
        assert np.all(np.diff(position) > 0)
        row, column = np.divmod(position, batch.input_ids.shape[1])
        assert np.all(column < batch.valid_length[row] - 1)
        assert not special_tokens(vocab)[batch.masked_id[:number]].any()
        masked_elsewhere = np.delete(batch.input_ids.reshape(-1), position)
        assert not np.any(masked_elsewhere == mask)
        per_pair = np.bincount(row, minlength=len(batch.index))
        assert per_pair.min() >= 1
        if not division["whole_word_mask"]:
            planned = Masking(vocab, division["mask_ratio"]).planned(batch.valid_length)
            assert per_pair.tolist() == planned.tolist()


def test_the_arrays_have_their_types_and_shapes(make):
    for batch in make().epoch(0):
        n, length = batch.input_ids.shape
        shapes = {name: getattr(batch, name).shape for name in ARRAYS}
        m = shapes["masked_id"]
        assert list(shapes.values()) == [(n, length), (n, length), (n,), (n,), m, m, m, (n,)]
        types = [getattr(batch, name).dtype for name in ARRAYS]
        assert types == [np.int32, np.int32, np.float32, np.int32, np.int32, np.int32, np.float32, np.int64]
        assert (type(batch.num_pairs), type(batch.num_masks)) == (int, int)


# An epoch -----------------------------------------------------------------------------------------------------------


@given(division=divisions, epoch=st.integers(0, 3))
@law
def test_the_ranks_have_disjoint_shares_of_the_same_global_batches(make, division, epoch):
    batches = make(**division)
    pairs, order = batches.draw(epoch)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(pairs)))
    assert batches.num_batches(epoch) == len(order) and batches.num_pairs(epoch) == len(pairs)
    ranks = ranks_of(make, division, epoch)
    assert {len(share) for share in ranks} == {len(order)}
    for index, *shares in zip(order, *ranks):
        assert sorted(np.concatenate([batch.index for batch in shares]).tolist()) == sorted(index.tolist())
        assert {batch.num_pairs for batch in shares} == {len(index)}
        assert len({batch.num_masks for batch in shares}) == 1
        if not division["whole_word_mask"]:
            assert shares[0].num_masks == sum(batch.masked_weight.sum() for batch in shares)


@given(division=divisions, epoch=st.integers(0, 3), start=st.integers(0, 40))
@law
def test_an_epoch_can_be_taken_up_in_the_middle(make, division, epoch, start):
    later, all_of_them = list(make(**division).epoch(epoch, start)), list(make(**division).epoch(epoch))
    assert len(later) == max(len(all_of_them) - start, 0)
    assert all(map(same, later, all_of_them[start:]))


def test_skipped_batches_are_not_made(make, monkeypatch):
    made = []
    padded = PretrainingBatches._padded
    monkeypatch.setattr(PretrainingBatches, "_padded", lambda *args: made.append(1) or padded(*args))
    batches = make()
    list(batches.epoch(0, batches.num_batches(0) - 2))
    assert len(made) == 2


def test_the_batches_are_a_function_of_seed_epoch_and_rank(make):
    def drawn(**settings):
        return list(make(**settings).epoch(3))

    np.random.seed(0)
    one = drawn(seed=5, num_ranks=2)
    np.random.seed(1)
    batches = make(seed=5, num_ranks=2)
    list(batches.epoch(4))
    again = list(batches.epoch(3))
    assert len(one) == len(again) and all(map(same, one, again))
    for others in (drawn(seed=6, num_ranks=2), drawn(seed=5, num_ranks=2, rank=1), list(batches.epoch(4))):
        assert not any(map(same, one, others))


def test_each_epoch_has_other_pairs_and_masks(make):
    epochs = [list(make().epoch(epoch)) for epoch in range(3)]
    for one, other in itertools.combinations(epochs, 2):
        texts = [{row[row > 0].tobytes() for batch in epoch for row in original(batch)} for epoch in (one, other)]
        assert len(texts[0] & texts[1]) < 0.1 * len(texts[0])


def test_ranks_and_batches_have_masks_of_their_own(make, documents_of, vocab):
    alike = documents_of(*[[10, 10]] * 64, ids=np.array([vocab["a"]]))
    batches = [
        batch
        for rank in range(2)
        for batch in make(documents=alike, max_len=23, short_seq_prob=0, rank=rank, num_ranks=2).epoch(0)
    ]
    masks = {tuple(sorted(batch.masked_position.tolist())) for batch in batches}
    assert len(batches) == 8 and len(masks) == 8


def test_held_out_documents_have_the_same_batches_every_time_longest_first(make):
    batches = make(fixed=True)
    first = list(batches.epoch(0))
    assert all(map(same, first, batches.epoch(0))) and all(map(same, first, make(fixed=True).epoch(7)))
    lengths = np.concatenate([batch.valid_length for batch in first])
    assert np.all(np.diff(lengths) <= 0)
    assert batches.num_batches(5) == len(first)


def test_a_remainder_too_small_for_the_devices_joins_the_batch_before_it(make):
    for min_size in (1, 4, 8):
        sizes = [len(batch.index) for batch in make(min_size=min_size).epoch(0)]
        assert min(sizes) >= min_size and max(sizes) < 8 + min_size


# Parts --------------------------------------------------------------------------------------------------------------


@given(division=divisions, num_devices=st.integers(1, 4), data=st.data())
@law
def test_parts_are_the_batch_divided_among_devices(make, division, num_devices, data):
    batch = next(make(**division).epoch(0))
    rows = np.array_split(data.draw(st.permutations(range(len(batch.index)))), num_devices)
    parts = [batch.part(mine.astype(int), round_masks_to=division["round_masks_to"]) for mine in rows]
    for part, mine in zip(parts, rows):
        mine = mine.astype(int)
        for name in ("input_ids", "segment_ids", "valid_length", "next_sentence_label", "index"):
            np.testing.assert_array_equal(getattr(part, name), getattr(batch, name)[mine])
        np.testing.assert_array_equal(original(part), original(batch)[mine])
        assert (part.num_pairs, part.num_masks) == (batch.num_pairs, batch.num_masks)
        assert len(part.masked_id) % division["round_masks_to"] == 0
        assert [getattr(part, name).dtype for name in ARRAYS] == [getattr(batch, name).dtype for name in ARRAYS]
    assert sum(part.masked_weight.sum() for part in parts) == batch.masked_weight.sum()


def test_a_slice_of_all_rows_is_the_whole_batch(make):
    for batch in make().epoch(0):
        assert same(batch.part(slice(None)), batch)
        half = batch.part(slice(0, len(batch.index) // 2 + 1))
        assert same(half, batch.part(np.arange(len(batch.index) // 2 + 1)))


# Impossible settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"max_len": 4}, "max_len is 4; a pair needs at least 5 tokens"),
        ({"mask_ratio": 0}, "mask_ratio is 0; it must be between 0 and 1"),
        ({"mask_ratio": 1.5}, "mask_ratio is 1.5"),
        ({"short_seq_prob": -0.1}, "short_seq_prob is -0.1; a probability is between 0 and 1"),
        ({"short_seq_prob": float("nan")}, "short_seq_prob is nan"),
    ],
)
def test_an_impossible_setting_is_an_error(make, setting, message):
    with pytest.raises(UsageError, match=message):
        make(**setting)


def test_fewer_pairs_than_ranks_are_an_error(make, documents_of):
    with pytest.raises(UsageError, match="2 pairs cannot be divided among 3 ranks"):
        make(documents=documents_of([1], [1]), num_ranks=3).num_batches(0)


def test_one_document_is_an_error_at_once(make, documents_of):
    with pytest.raises(DataError, match="1 document"):
        make(documents=documents_of([1, 2, 3]))
