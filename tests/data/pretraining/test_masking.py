"""Masks: as many as planned, never a special token, and of whole words all pieces or none."""

import collections
import itertools
import random as python_random

import gluonnlp as nlp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.pretraining.masking import Masking, is_first_subword, special_tokens
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces, wordpiece_vocab

law = settings(max_examples=80)
# Pairs as their two parts: the lengths of their words, in pieces.
words = st.lists(st.integers(1, 6), min_size=1, max_size=12)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=6)
ratios = st.sampled_from([0.01, 0.15]) | st.floats(0.01, 0.99)


@pytest.fixture(scope="module")
def batch_of(vocab):
    """Makes a padded batch of pairs, given as the lengths of their words: input ids and lengths.

    With an even seed parts begin amid a word, as after truncation.
    """
    first = np.flatnonzero(is_first_subword(vocab) & ~special_tokens(vocab))
    other = np.flatnonzero(~is_first_subword(vocab))
    cls, sep, padding = vocab[[vocab.cls_token, vocab.sep_token, vocab.padding_token]]

    def make(pairs, seed=1):
        random = np.random.default_rng(seed)

        def text(sizes):
            begins = np.zeros(sum(sizes), bool)
            begins[np.cumsum(sizes)[:-1]] = True
            begins[0] = seed % 2
            return np.where(begins, random.choice(first, len(begins)), random.choice(other, len(begins)))

        rows = [[cls, *text(a), sep, *text(b), sep] for a, b in pairs]
        input_ids = np.full((len(rows), max(map(len, rows)) + seed % 3), padding, np.int32)
        for row, ids in zip(input_ids, rows):
            row[: len(ids)] = ids
        return input_ids, np.array(list(map(len, rows)))

    return make


@pytest.fixture(scope="module")
def long_batch(batch_of):
    """400 pairs of 100 to 110 tokens, three words of four in one piece."""
    random = np.random.default_rng(5)
    sizes = [random.choice([1, 1, 1, 3], 90) for _ in range(400)]
    return batch_of([(row[:50], row[50 : 65 + i % 5]) for i, row in enumerate(sizes)])


def words_of(row, valid_length, vocab):
    """Positions of each word of a pair, as GluonNLP's ``create_masked_lm_predictions`` gathers them."""
    words = []
    for i in range(valid_length):
        token = vocab.idx_to_token[row[i]]
        if token in (vocab.cls_token, vocab.sep_token):
            continue
        if words and not nlp.data.BERTTokenizer.is_first_subword(token):
            words[-1].append(i)
        else:
            words.append([i])
    return words


def choose_plainly(words, number, random):
    """The words that GluonNLP's ``create_masked_lm_predictions`` masks of those of a pair."""
    order = list(range(len(words)))
    random.shuffle(order)
    chosen, num_masks = [], 0
    for i in order:
        if num_masks >= number:
            break
        if num_masks + len(words[i]) > number:
            continue
        chosen.append(i)
        num_masks += len(words[i])
    return frozenset(chosen)


def chosen_of(position, input_ids):
    """Which tokens were chosen, as ndarray of bool."""
    chosen = np.zeros(input_ids.shape, bool)
    chosen.reshape(-1)[position] = True
    return chosen


# How many -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.15, 0.2, 0.5, 0.01])
def test_as_many_are_planned_as_gluonnlp_masks(vocab, ratio):
    lengths = np.arange(5, 513)
    for dtype in (np.int64, np.int32, np.float32):
        planned = Masking(vocab, ratio).planned(lengths.astype(dtype))
        assert planned.dtype == np.int64
        assert planned.tolist() == [max(1, round(length * ratio)) for length in lengths.tolist()]


def test_no_more_are_planned_than_there_are(vocab):
    assert Masking(vocab, 0.9).planned(np.array([4, 5, 10, 100])).tolist() == [1, 2, 7, 90]


@given(pairs=pairs, ratio=ratios, seed=st.integers(0, 2**32))
@law
def test_exactly_as_many_tokens_are_chosen_as_planned(vocab, batch_of, pairs, ratio, seed):
    input_ids, valid_length = batch_of(pairs, seed)
    masking = Masking(vocab, ratio)
    _, position = masking.draw(input_ids, valid_length, np.random.default_rng(seed))
    chosen = chosen_of(position, input_ids)
    assert chosen.sum(axis=1).tolist() == masking.planned(valid_length).tolist()
    assert len(position) == len(set(position.tolist()))


# Which --------------------------------------------------------------------------------------------------------------


@given(pairs=pairs, ratio=ratios, whole_word=st.booleans(), seed=st.integers(0, 2**32))
@law
def test_only_ordinary_tokens_are_chosen_and_nothing_else_changes(vocab, batch_of, pairs, ratio, whole_word, seed):
    input_ids, valid_length = batch_of(pairs, seed)
    before = input_ids.copy()
    masked_ids, position = Masking(vocab, ratio, whole_word).draw(input_ids, valid_length, np.random.default_rng(seed))
    np.testing.assert_array_equal(input_ids, before)
    chosen = chosen_of(position, input_ids)
    frame = vocab[[vocab.cls_token, vocab.sep_token, vocab.padding_token]]
    assert not np.isin(input_ids[chosen], frame).any()
    np.testing.assert_array_equal(masked_ids[~chosen], input_ids[~chosen])
    assert chosen.any(axis=1).all()
    assert position.tolist() == sorted(position.tolist())
    assert (masked_ids.dtype, position.dtype) == (np.int32, np.int32)


@given(pairs=pairs, ratio=ratios, seed=st.integers(0, 2**32))
@law
def test_whole_words_are_chosen_as_gluonnlp_could_choose_them(vocab, batch_of, pairs, ratio, seed):
    input_ids, valid_length = batch_of(pairs, seed)
    masking = Masking(vocab, ratio, whole_word=True)
    _, position = masking.draw(input_ids, valid_length, np.random.default_rng(seed))
    chosen = chosen_of(position, input_ids)
    for row, length, number, ids in zip(chosen, valid_length, masking.planned(valid_length), input_ids):
        words = words_of(ids, length, vocab)
        sizes = [row[word].sum() for word in words]
        assert all(size in (0, len(word)) for size, word in zip(sizes, words))
        room = number - row.sum()
        if room >= 0:  # no word is passed over that there is room for
            assert all(size or len(word) > room for size, word in zip(sizes, words))
        else:  # GluonNLP would choose none
            assert np.count_nonzero(sizes) == 1 and row.sum() == min(map(len, words)) > number


def test_whole_words_are_chosen_as_often_as_gluonnlp_chooses_them(vocab, batch_of):
    number = 4000
    pair = ([1, 3, 1], [2, 4, 1, 2])
    input_ids, valid_length = batch_of([pair] * number)
    masking = Masking(vocab, 0.3, whole_word=True)
    _, position = masking.draw(input_ids, valid_length, np.random.default_rng(0))
    words = words_of(input_ids[0], valid_length[0], vocab)
    assert list(map(len, words)) == [*pair[0], *pair[1]]
    chosen = chosen_of(position, input_ids)
    ours = collections.Counter(frozenset(i for i, word in enumerate(words) if row[word[0]]) for row in chosen)
    random = python_random.Random(0)
    planned = int(masking.planned(valid_length)[0])
    reference = collections.Counter(choose_plainly(words, planned, random) for _ in range(4 * number))
    assert set(ours) <= set(reference)
    for choice, count in reference.items():
        share = count / (4 * number)
        assert abs(ours[choice] / number - share) < 5.5 * np.sqrt(1.25 * share * (1 - share) / number) + 1e-3, choice


def test_what_continues_a_word_after_the_separator_belongs_to_the_word_before_it_as_in_gluonnlp(vocab, batch_of):
    input_ids, valid_length = batch_of([([2], [1, 1])] * 50)
    input_ids[:, 4] = vocab["##a"]  # truncated from the front: the second part begins amid a word
    _, position = Masking(vocab, 0.43, whole_word=True).draw(input_ids, valid_length, np.random.default_rng(0))
    rows = chosen_of(position, input_ids)
    assert {tuple(np.flatnonzero(row)) for row in rows} == {(1, 2, 4), (5,)}


def test_where_every_word_is_too_long_the_shortest_is_chosen_all_the_same(vocab, batch_of):
    input_ids, valid_length = batch_of([([4, 3], [5]), ([1], [1])])
    masking = Masking(vocab, 0.1, whole_word=True)
    assert masking.planned(valid_length).tolist() == [2, 1]
    for seed in range(10):
        _, position = masking.draw(input_ids, valid_length, np.random.default_rng(seed))
        long, short = chosen_of(position, input_ids)
        assert np.flatnonzero(long).tolist() == [5, 6, 7] and short.sum() == 1


def test_every_token_is_chosen_alike(vocab, long_batch):
    input_ids, valid_length = long_batch
    masking, random = Masking(vocab), np.random.default_rng(0)
    counts = sum(chosen_of(masking.draw(*long_batch, random)[1], input_ids).astype(int) for _ in range(40))
    ordinary = ~special_tokens(vocab)[input_ids]
    expected = (masking.planned(valid_length) / ordinary.sum(axis=1))[:, None]
    error = (counts / 40 - expected) / np.sqrt(expected * (1 - expected) / 40)
    assert abs(error[ordinary].mean()) < 0.05 and abs(error[ordinary].std() - 1) < 0.05
    columns = np.where(ordinary, error, 0).sum(axis=0) / np.sqrt(np.maximum(ordinary.sum(axis=0), 1))
    assert np.abs(columns).max() < 5


def test_the_unknown_token_is_predicted_too_as_in_gluonnlp(vocab, batch_of):
    input_ids, valid_length = batch_of([([1, 1], [1])])
    input_ids[0, 1] = vocab[vocab.unknown_token]
    _, position = Masking(vocab, 0.99).draw(input_ids, valid_length, np.random.default_rng(0))
    assert position.tolist() == [1, 2, 4]


# What stands there --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole_word", [False, True])
def test_80_percent_become_the_mask_10_percent_random_and_10_percent_stay(vocab, long_batch, whole_word):
    input_ids, valid_length = long_batch
    masking, random = Masking(vocab, 0.6, whole_word), np.random.default_rng(1)
    drawn = [masking.draw(input_ids, valid_length, random) for _ in range(8)]
    before = np.concatenate([input_ids.reshape(-1)[position] for _, position in drawn])
    after = np.concatenate([masked_ids.reshape(-1)[position] for masked_ids, position in drawn])
    number = len(before)
    assert number > 100_000
    num_ordinary = np.count_nonzero(~special_tokens(vocab))
    other = (after != vocab[vocab.mask_token]) & (after != before)
    shares = {
        "mask": (np.mean(after == vocab[vocab.mask_token]), 0.8),
        "stays": (np.mean(after == before), 0.1 + 0.1 / num_ordinary),
        "random": (np.mean(other), 0.1 - 0.1 / num_ordinary),
    }
    for name, (share, expected) in shares.items():
        assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / number), name
    counts = np.bincount(after[other], minlength=len(vocab))
    assert not counts[special_tokens(vocab)].any()
    expected = other.sum() / num_ordinary
    assert np.all(np.abs(counts[~special_tokens(vocab)] - expected) < 5 * np.sqrt(expected))


def test_the_masks_are_a_function_of_the_random_generator(vocab, long_batch):
    drawn = [Masking(vocab).draw(*long_batch, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for same, other in zip(drawn[0], drawn[1]):
        np.testing.assert_array_equal(same, other)
    assert not np.array_equal(drawn[0][1], drawn[2][1])


# Vocabularies -------------------------------------------------------------------------------------------------------


def test_word_pieces_begin_words_as_gluonnlp_has_it(vocab):
    expected = [nlp.data.BERTTokenizer.is_first_subword(token) for token in vocab.idx_to_token]
    assert is_first_subword(vocab).tolist() == expected and not all(expected)


def test_sentencepieces_begin_words_as_gluonnlp_has_it(tmp_path, train_sentencepiece):
    sentences = [f"a {one}{other}ing ## ###" for one, other in itertools.product("abcdefgh", repeat=2)]
    vocab, _ = read_sentencepieces(train_sentencepiece(tmp_path / "spiece.model", sentences))
    expected = [nlp.data.BERTSPTokenizer.is_first_subword(token) for token in vocab.idx_to_token]
    assert is_first_subword(vocab).tolist() == expected and any(expected) and not all(expected)


def test_a_few_tokens_that_look_like_those_of_the_other_kind_change_nothing():
    special = "[PAD] [UNK] [CLS] [SEP] [MASK]".split()
    pieces = wordpiece_vocab([*special, "▁a", "▁b", "c", "###"])
    assert is_first_subword(pieces)[5:].tolist() == [True, True, False, False]
    words = wordpiece_vocab([*special, "a", "##b", "##c", "##", "▁d"])
    assert is_first_subword(words)[5:].tolist() == [True, False, False, False, True]


def test_the_special_tokens_are_found_wherever_they_are(vocab, tmp_path, train_sentencepiece):
    names = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    pieces, _ = read_sentencepieces(train_sentencepiece(tmp_path / "spiece.model", ["a sentence of some words"]))
    for each in (vocab, pieces, nlp.vocab.BERTVocab.from_json(vocab.to_json())):
        assert {each.idx_to_token[i] for i in np.flatnonzero(special_tokens(each))} == names
