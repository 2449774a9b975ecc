"""Pairs for next sentence prediction: half of them true, all short enough, and other ones each epoch."""

import itertools
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.pretraining.pairs import IS_NEXT, IS_RANDOM, draw_pairs
from gluonnlp_snli_plugin.errors import DataError

FIELDS = ("a_start", "len_a", "b_start", "len_b", "label")
lengths = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=2, max_size=12)
law = settings(max_examples=60)


@st.composite
def drawings(draw):
    """Lengths of the sentences of documents, and arguments for drawing pairs of them."""
    arguments = {
        "max_len": draw(st.integers(5, 40)),
        "short_seq_prob": draw(st.sampled_from([0, 0.1, 0.5, 1])),
        "seed": draw(st.integers(0, 2**40)),
        "epoch": draw(st.integers(0, 5)),
    }
    return draw(lengths), arguments


def document_of(documents, token):
    """The number of the document in which a token is."""
    return np.searchsorted(documents.sentences[documents.documents], token, side="right") - 1


def test_the_labels_are_those_of_gluonnlp():
    """In ``create_pretraining_data.py``, 1 says that the second part is random."""
    assert (IS_NEXT, IS_RANDOM) == (0, 1)


# Which pairs --------------------------------------------------------------------------------------------------------


@given(drawing=drawings())
@law
def test_exactly_half_of_the_pairs_are_next_where_documents_have_two_sentences(documents_of, drawing):
    lengths, arguments = drawing
    pairs = draw_pairs(documents_of(*([*sentences, 1] for sentences in lengths)), **arguments)
    assert np.count_nonzero(pairs.label == IS_NEXT) == len(pairs) // 2
    assert np.count_nonzero(pairs.label == IS_RANDOM) == len(pairs) - len(pairs) // 2


@given(drawing=drawings())
@law
def test_a_next_part_continues_the_first_and_a_random_one_is_of_another_document(documents_of, drawing):
    lengths, arguments = drawing
    documents = documents_of(*lengths)
    pairs = draw_pairs(documents, **arguments)
    is_next = pairs.label == IS_NEXT
    same = document_of(documents, pairs.a_start) == document_of(documents, pairs.b_start)
    np.testing.assert_array_equal(same, is_next)
    for start, length in ((pairs.a_start, pairs.len_a), (pairs.b_start, pairs.len_b)):
        np.testing.assert_array_equal(document_of(documents, start), document_of(documents, start + length - 1))
    a_end = (pairs.a_start + pairs.len_a)[is_next]
    assert np.all(pairs.b_start[is_next] >= a_end)
    # Between the two there is a sentence's end, and nothing but what truncation dropped: nothing, if the pair has room.
    ends = documents.sentences[np.searchsorted(documents.sentences, a_end)]
    assert np.all(ends <= pairs.b_start[is_next])
    has_room = pairs.valid_length[is_next] < arguments["max_len"]
    np.testing.assert_array_equal(pairs.b_start[is_next][has_room], a_end[has_room])


@given(drawing=drawings())
@law
def test_every_pair_has_two_parts_and_is_short_enough(documents_of, drawing):
    lengths, arguments = drawing
    pairs = draw_pairs(documents_of(*lengths), **arguments)
    assert len(pairs) >= len(lengths)
    assert pairs.len_a.min() >= 1 and pairs.len_b.min() >= 1
    assert pairs.valid_length.max() <= arguments["max_len"]
    np.testing.assert_array_equal(pairs.valid_length, pairs.len_a + pairs.len_b + 3)
    assert [getattr(pairs, field).dtype for field in FIELDS] == [np.int64] * 4 + [np.int32]


@given(drawing=drawings())
@law
def test_parts_that_fit_are_whole_sentences(documents_of, drawing):
    lengths, arguments = drawing
    documents = documents_of(*lengths)
    pairs = draw_pairs(documents, **arguments)
    fits = pairs.valid_length < arguments["max_len"]
    for start, length in ((pairs.a_start, pairs.len_a), (pairs.b_start, pairs.len_b)):
        assert np.isin(start[fits], documents.sentences).all()
        assert np.isin((start + length)[fits], documents.sentences).all()


def test_with_one_token_a_sentence_the_pairs_are_cut_one_after_the_other(documents_of):
    documents = documents_of([1] * 15, [1] * 30)
    pairs = draw_pairs(documents, max_len=18, short_seq_prob=0, seed=0, epoch=0)
    assert pairs.a_start.tolist() == [0, 15, 30]  # chunks of just 15 tokens
    is_next = pairs.label == IS_NEXT
    assert np.all((pairs.len_a + pairs.len_b)[is_next] == 15) and np.count_nonzero(is_next) == 1


def test_a_last_sentence_alone_joins_the_chunk_before_it(documents_of):
    documents = documents_of([5, 5, 1], [5, 5, 1], [5, 5, 1], [5, 5, 1])
    for seed in range(20):
        pairs = draw_pairs(documents, max_len=13, short_seq_prob=0, seed=seed, epoch=0)
        assert len(pairs) == 4 and pairs.label.sum() == 2


def test_every_token_is_in_a_chunk_of_its_own_document(random_documents):
    """What is dropped aside, the first parts and the next parts lie one after the other."""
    documents = random_documents()
    pairs = draw_pairs(documents, max_len=40, short_seq_prob=0.1, seed=0, epoch=0)
    assert np.all(np.diff(pairs.a_start) > 0)
    assert set(document_of(documents, pairs.a_start)) == set(range(len(documents)))
    assert np.diff(pairs.a_start).max() < 40 + 3 * 12


# Chance -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_random_parts_come_from_all_other_documents_alike(documents_of, seed):
    documents = documents_of(*[[1, 1]] * 2000, *[[1, 1, 1, 1]] * 500)  # with chunks of two sentences
    pairs = draw_pairs(documents, max_len=5, short_seq_prob=0, seed=seed, epoch=0)
    assert len(pairs) == 3000
    from_long = document_of(documents, pairs.b_start[pairs.label == IS_RANDOM]) >= 2000
    assert abs(from_long.mean() - 1000 / 3000) < 5 * np.sqrt(2 / 9 / len(from_long))
    assert len(np.unique(pairs.b_start[pairs.label == IS_RANDOM])) > 1000


def test_the_cut_falls_on_every_end_of_a_sentence_alike(documents_of):
    documents = documents_of(*[[1] * 5] * 4000)
    pairs = draw_pairs(documents, max_len=8, short_seq_prob=0, seed=0, epoch=0)
    counts = np.bincount(pairs.len_a, minlength=6)
    assert counts[0] == counts[5] == 0 and counts.sum() == 4000
    assert np.all(np.abs(counts[1:5] / 4000 - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 4000))


def test_short_pairs_are_as_frequent_as_they_should_be_and_of_all_lengths(documents_of):
    documents = documents_of(*[[1] * 80] * 1500)
    for probability in (0, 0.1, 1):
        pairs = draw_pairs(documents, max_len=43, short_seq_prob=probability, seed=0, epoch=0)
        lengths = (pairs.len_a + pairs.len_b)[pairs.label == IS_NEXT]
        # The second chunk of two, where the first was not short, ends at its document's end.
        first = pairs.a_start[pairs.label == IS_NEXT] % 80 == 0
        share = np.mean(lengths[first] < 40)
        expected = probability * 38 / 39
        assert abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / first.sum()) + 1e-9
    assert set(lengths[first]) == set(range(2, 41))


@pytest.mark.parametrize("lengths", [[30, 10], [10, 30]])
def test_what_is_too_long_is_dropped_from_the_longer_part_at_either_end(documents_of, lengths):
    documents = documents_of(*[lengths] * 3000)
    pairs = draw_pairs(documents, max_len=23, short_seq_prob=0, seed=0, epoch=0)
    is_next = pairs.label == IS_NEXT
    assert set(pairs.len_a[is_next]) == {10} and set(pairs.len_b[is_next]) == {10}
    dropped = pairs.a_start[is_next] % 40, pairs.b_start[is_next] % 40 - lengths[0]
    longer, shorter = dropped if lengths[0] == 30 else reversed(dropped)
    assert set(shorter) == {0}
    assert abs(longer.mean() - 10) < 5 * np.sqrt(20 / 4 / len(longer))
    assert abs(longer.var() - 5) < 1


def test_the_length_of_a_pair_does_not_tell_its_label(random_documents):
    documents = random_documents(300, most_sentences=200)
    pairs = draw_pairs(documents, max_len=128, short_seq_prob=0.1, seed=0, epoch=0)
    is_next = pairs.label == IS_NEXT
    best = max(
        np.mean((lengths <= limit) == (is_next == side))
        for lengths in (pairs.valid_length, pairs.len_a, pairs.len_b)
        for limit in range(4, 128)
        for side in (True, False)
    )
    assert 0.5 <= best < 0.56


# Few sentences ------------------------------------------------------------------------------------------------------


def test_too_few_next_sentences_are_all_used_and_logged(documents_of, caplog):
    documents = documents_of([3], [2, 2], [4], [1], [1], [2])
    with caplog.at_level(logging.INFO, "gluonnlp_snli_plugin"):
        pairs = draw_pairs(documents, max_len=20, short_seq_prob=0.1, seed=0, epoch=0)
    assert pairs.label.tolist() == [IS_RANDOM, IS_NEXT] + 4 * [IS_RANDOM]
    message = "only 1 of 6 pairs have a next sentence: the other documents are one sentence each"
    assert [record.getMessage() for record in caplog.records] == [message]


def test_documents_of_one_sentence_each_have_random_pairs_only(documents_of):
    documents = documents_of([3], [2])
    pairs = draw_pairs(documents, max_len=20, short_seq_prob=0, seed=0, epoch=0)
    assert (pairs.a_start.tolist(), pairs.b_start.tolist()) == ([0, 3], [3, 0])
    assert (pairs.len_a.tolist(), pairs.len_b.tolist()) == ([3, 2], [2, 3])


def test_one_document_is_an_error(documents_of):
    with pytest.raises(DataError, match="1 document"):
        draw_pairs(documents_of([3, 4, 5]), max_len=20, short_seq_prob=0, seed=0, epoch=0)


# The same and others ------------------------------------------------------------------------------------------------


def as_bytes(pairs):
    return b"".join(getattr(pairs, field).tobytes() for field in FIELDS)


@given(drawing=drawings())
@law
def test_pairs_are_a_function_of_the_arguments_alone(documents_of, drawing):
    lengths, arguments = drawing
    documents = documents_of(*lengths)
    np.random.seed(0)
    expected = as_bytes(draw_pairs(documents, **arguments))
    np.random.seed(1)
    draw_pairs(documents, **{**arguments, "epoch": 7})
    assert as_bytes(draw_pairs(documents, **arguments)) == expected


def test_each_seed_and_each_epoch_has_pairs_of_its_own(random_documents):
    documents = random_documents()
    drawn = [
        draw_pairs(documents, max_len=64, short_seq_prob=0.1, seed=seed, epoch=epoch)
        for seed in range(4)
        for epoch in range(4)
    ]
    for one, other in itertools.combinations(drawn, 2):
        both = [set(zip(*(getattr(pairs, field).tolist() for field in FIELDS))) for pairs in (one, other)]
        assert len(both[0] & both[1]) < 0.2 * len(one)


def test_long_documents_are_cut_elsewhere_each_epoch_even_without_short_pairs(documents_of):
    documents = documents_of([1] * 1000, [1] * 1000)
    starts = [set(draw_pairs(documents, 67, 0, seed=0, epoch=epoch).a_start.tolist()) for epoch in range(3)]
    assert all(len(one & other) < 10 for one, other in itertools.combinations(starts, 2))
