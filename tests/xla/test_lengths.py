"""Batches get a few lengths, which cost little padding."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.batches import LengthBucketBatches
from gluonnlp_snli_plugin.xla.lengths import choose_lengths, fitting, usual_lengths

batch_lengths = st.lists(st.integers(3, 100), min_size=1, max_size=40)


def total(lengths, longest):
    return sum(fitting(lengths, one) for one in longest)


@given(batch_lengths, st.integers(0, 30), st.integers(1, 8))
def test_every_batch_fits_one_of_few(longest, more, most):
    end = max(longest) + more
    lengths = choose_lengths(longest, end, most)
    assert lengths == sorted(set(lengths)) and lengths[-1] == end and len(lengths) <= most
    assert all(fitting(lengths, one) >= one for one in [*longest, end])


@given(batch_lengths, st.integers(1, 3))
def test_no_other_lengths_cost_less(longest, number):
    end = -(-max(longest) // 4) * 4
    lengths = choose_lengths(longest, end, number)
    others = itertools.combinations(range(4, end, 4), len(lengths) - 1)
    assert total(lengths, longest) == min(total([*other, end], longest) for other in others)


def test_there_are_no_more_than_keep_padding_below_a_tenth():
    assert choose_lengths([22] * 90 + [24] * 10, 24) == [24]
    assert choose_lengths([20] * 50 + [40] * 50, 40) == [20, 40]
    assert len(choose_lengths(range(8, 128), 128, most=99)) < len(range(8, 128, 4))


def test_lengths_of_real_pairs(shared_data, minilm_name):
    """Eight for SNLI."""
    from gluonnlp_snli_plugin.data.cache import encode_file
    from gluonnlp_snli_plugin.data.encoding import PairEncoder
    from gluonnlp_snli_plugin.store import find_vocabulary, tokenizer
    from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
    from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary

    vocab, _ = read_vocabulary(find_vocabulary(minilm_name))
    encoder = PairEncoder(bert_tokenizer(vocab, tokenizer(minilm_name, vocab, True, None), None), vocab, 128)
    encoded = encode_file(encoder, shared_data / "snli_mini" / "snli_mini_train.jsonl").encoded
    batches = LengthBucketBatches(encoded, 32)
    longest = batches.lengths()
    lengths = choose_lengths(longest, batches.end)
    assert len(lengths) == 8
    assert longest.sum() > 0.9 * total(lengths, longest)


@pytest.mark.parametrize("end, lengths", [(128, [16, 32, 64, 128]), (50, [16, 32, 50]), (12, [12]), (16, [16])])
def test_usual_lengths_end_at_the_longest_input(end, lengths):
    assert usual_lengths(end) == lengths
