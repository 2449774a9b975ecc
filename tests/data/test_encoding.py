"""From pairs of sentences to BERT inputs, one by one and all at once."""

import json
import pickle

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from gluonnlp.data.batchify import Pad, Stack, Tuple
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.batches import pad
from gluonnlp_snli_plugin.data.encoding import EncodedPairs, PairEncoder, label_indices
from gluonnlp_snli_plugin.data.truncation import create, list_truncations
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI
from gluonnlp_snli_plugin.text.tokenizers import CachedTokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = "the is in on man woman people two dog with are of wearing shirt playing person and his standing ##ing ##ed"
VOCAB = wordpiece_vocab(
    ["[UNK]", "[SEP]", "[CLS]", "[PAD]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS), *WORDS.split(), *".,-'"]
)
CLS, SEP, PAD = VOCAB["[CLS]"], VOCAB["[SEP]"], VOCAB["[PAD]"]
TOKENIZER = nlp.data.BERTTokenizer(VOCAB)
NO_TOKENS = "\x00\u200b"  # a sentence of characters that BERT's tokenizer drops

PREMISES = ["A man is playing.", "A man is playing.", "Two people, standing", "the dog"]
HYPOTHESES = ["A person is playing.", "the man is in the water", "the dog", "the dog"]
NAMES = ["entailment", "neutral", "contradiction", "entailment"]


def encoder(max_len=128, truncation="longest_first"):
    return PairEncoder(TOKENIZER, VOCAB, max_len, truncation)


def assert_same(pair, expected):
    assert len(pair) == len(expected)
    for array, other in zip(pair, expected):
        np.testing.assert_array_equal(array, other)
        assert array.dtype == other.dtype


@pytest.fixture(scope="module")
def real_pairs(shared_data):
    """All distinct real pairs: premises, hypotheses and labels."""
    rows = {}
    for path in sorted(shared_data.glob("*/*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line:
                row = json.loads(line)
                rows[row["sentence1"], row["sentence2"]] = row["gold_label"]
    assert len(rows) > 9_000
    premises, hypotheses = zip(*rows)
    return premises, hypotheses, list(rows.values())


@pytest.fixture(scope="module")
def real_tokens(real_pairs):
    """What GluonNLP's own tokenizer makes of each real sentence."""
    premises, hypotheses, _ = real_pairs
    return {text: TOKENIZER(text) for text in {*premises, *hypotheses}}


@pytest.fixture
def encoded():
    return encoder(16).encode(PREMISES, HYPOTHESES, NAMES)


# The same as GluonNLP's own transform -------------------------------------------------------------------------------


@pytest.mark.parametrize("max_len", [5, 6, 9, 24, 47, 128, 512])
def test_all_real_pairs_are_encoded_as_gluonnlp_encodes_them(real_pairs, real_tokens, max_len):
    premises, hypotheses, labels = real_pairs
    # Copies, because the transform truncates in place; the tokenizer was asked once for all lengths.
    transform = nlp.data.BERTSentenceTransform(
        lambda text: list(real_tokens[text]), max_len, VOCAB, pad=False, pair=True
    )
    input_ids, valid_length, segment_ids = zip(*map(transform, zip(premises, hypotheses)))

    encoded = encoder(max_len).encode(premises, hypotheses, labels)
    np.testing.assert_array_equal(encoded.input_ids, np.concatenate(input_ids))
    np.testing.assert_array_equal(encoded.valid_length, valid_length)
    np.testing.assert_array_equal(np.concatenate([pair[1] for pair in encoded]), np.concatenate(segment_ids))
    np.testing.assert_array_equal(encoded.labels, [LABELS.index(label) for label in labels])
    whole = [len(real_tokens[a]) + len(real_tokens[b]) + 3 for a, b in zip(premises, hypotheses)]
    assert encoded.num_truncated == sum(length > max_len for length in whole)


@pytest.mark.parametrize("truncation", list_truncations())
def test_one_real_pair_is_encoded_as_in_a_whole_corpus(real_pairs, truncation):
    premises, hypotheses, labels = (column[::50] for column in real_pairs)
    one_by_one = encoder(20, truncation)
    encoded = encoder(20, truncation).encode(premises, hypotheses, labels)
    for i, row in enumerate(zip(premises, hypotheses, labels)):
        assert_same(one_by_one(list(row)), encoded[i])


sentences = st.lists(st.sampled_from(["a", "dog", "Playing", ".", "xyz", "ñ", "中", NO_TOKENS, " "]), max_size=12).map(
    " ".join
)


@given(st.lists(st.tuples(sentences, sentences), max_size=8), st.integers(5, 40), st.sampled_from(list_truncations()))
@example([("", "")], 5, "ratio")
@example([(NO_TOKENS, "a " * 40), ("a " * 40, NO_TOKENS)], 5, "ratio")
@example([("dog " * 40, "a " * 40)], 5, "only_first")
@settings(max_examples=100)
def test_a_pair_is_cls_premise_sep_hypothesis_sep_with_what_truncation_leaves(pairs, max_len, truncation):
    premises, hypotheses = [a for a, _ in pairs], [b for _, b in pairs]
    encoded = encoder(max_len, truncation).encode(premises, hypotheses)
    assert len(encoded) == len(pairs)
    num_truncated = 0
    for (premise, hypothesis), (input_ids, segment_ids, valid_length) in zip(pairs, encoded):
        a, b = VOCAB[TOKENIZER(premise)], VOCAB[TOKENIZER(hypothesis)]
        keep_a, keep_b = create(truncation)(len(a), len(b), max_len - 3)
        assert input_ids.tolist() == [CLS, *a[:keep_a], SEP, *b[:keep_b], SEP]
        assert segment_ids.tolist() == [0] * (keep_a + 2) + [1] * (keep_b + 1)
        assert valid_length == len(input_ids) <= max_len
        num_truncated += len(a) + len(b) + 3 > max_len
    assert encoded.num_truncated == num_truncated


@pytest.mark.parametrize("lower", [True, False])
def test_the_tokenizer_may_be_gluonnlps_own_or_one_with_a_memory(lower):
    host = nlp.data.BERTTokenizer(VOCAB, lower=lower)
    plain, remembering = (PairEncoder(tokenizer, VOCAB) for tokenizer in (host, CachedTokenizer(host)))
    assert_same(plain("A man", "the Dog", "neutral"), remembering("A man", "the Dog", "neutral"))


# Many pairs ---------------------------------------------------------------------------------------------------------


def test_encoding_a_corpus_gives_flat_arrays(encoded):
    assert encoded.input_ids.dtype == encoded.len_a.dtype == encoded.len_b.dtype == encoded.labels.dtype == np.int32
    assert encoded.offsets.dtype == np.int64
    assert encoded.offsets[0] == 0 and encoded.offsets[-1] == len(encoded.input_ids)
    np.testing.assert_array_equal(encoded.valid_length, np.diff(encoded.offsets))
    np.testing.assert_array_equal(encoded.valid_length, encoded.len_a + encoded.len_b + 3)
    assert encoded.padding_id == PAD


def test_every_pair_begins_with_cls_and_has_a_sep_after_each_sentence(encoded):
    ids, first = encoded.input_ids, encoded.offsets[:-1]
    assert np.all(ids[first] == CLS)
    assert np.all(ids[first + 1 + encoded.len_a] == SEP)
    assert np.all(ids[encoded.offsets[1:] - 1] == SEP)
    assert np.count_nonzero(ids == SEP) == 2 * len(encoded)


def test_the_labels_are_indices_in_their_order_everywhere(encoded):
    assert encoded.labels.tolist() == [0, 2, 1, 0]
    assert label_indices(LABELS, LABELS).tolist() == [0, 1, 2]


@given(st.lists(st.tuples(sentences, sentences, st.sampled_from(LABELS)), max_size=9), st.integers(1, 10))
@settings(max_examples=60)
def test_a_corpus_may_come_whole_or_in_parts_and_is_encoded_in_parts_of_any_size(rows, size):
    one_by_one = [encoder(12)(*row) for row in rows]
    columns = list(zip(*rows)) or [(), (), ()]
    parts = (list(zip(*rows[i : i + size])) for i in range(0, len(rows), size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gluonnlp_snli_plugin.data.encoding._PAIRS_AT_ONCE", size)
        for encoded in (encoder(12).encode(*columns), encoder(12).encode_parts(parts)):
            assert len(encoded) == len(rows)
            for pair, expected in zip(encoded, one_by_one):
                assert_same(pair, expected)
            assert encoded.offsets.tolist() == np.cumsum([0, *(len(pair[0]) for pair in one_by_one)]).tolist()


def test_a_tokenizer_of_ones_own_needs_ids_only():
    class Lengths:
        def ids(self, text):
            return [len(word) for word in text.split()]

    own = PairEncoder(Lengths(), VOCAB, 7)
    encoded = own.encode(["a dog runs", "a"], ["it is", "dogs"], ["neutral", "neutral"])
    assert encoded[0][0].tolist() == [CLS, 1, 3, SEP, 2, 2, SEP]
    assert_same(own("a dog runs", "it is", "neutral"), encoded[0])


@pytest.mark.parametrize("label", ["maybe", "Neutral", "-", None, 1])
def test_an_unknown_label_is_an_error(label):
    with pytest.raises(UsageError, match="unknown label .*; labels are entailment, contradiction, neutral") as info:
        encoder().encode(["a", "a"], ["b", "b"], ["neutral", label])
    assert repr(label) in str(info.value)


def test_pairs_without_labels_have_none():
    encoded = encoder().encode(PREMISES, HYPOTHESES)
    assert encoded.labels is None
    assert len(encoded[0]) == 3


@pytest.mark.parametrize("labels", [None, []])
def test_no_pairs_make_an_empty_dataset(labels):
    encoded = encoder().encode([], [], labels)
    assert len(encoded) == 0 and list(encoded) == []
    assert encoded.offsets.tolist() == [0]
    assert encoded.input_ids.dtype == np.int32
    assert encoded.num_truncated == 0


@pytest.mark.parametrize("columns", [(["a"], ["b", "c"]), (["a", "b"], ["c"]), (["a"], ["b"], [])])
def test_columns_of_different_lengths_are_an_error(columns):
    with pytest.raises(UsageError, match="different lengths: "):
        encoder().encode(*columns)


@pytest.mark.parametrize("premise, hypothesis", [(NO_TOKENS, "a dog"), ("a dog", NO_TOKENS), (NO_TOKENS, NO_TOKENS)])
def test_a_sentence_without_tokens_is_empty_between_its_separators(premise, hypothesis):
    input_ids, segment_ids, _ = encoder().encode([premise], [hypothesis])[0]
    a, b = VOCAB[TOKENIZER(premise)], VOCAB[TOKENIZER(hypothesis)]
    assert input_ids.tolist() == [CLS, *a, SEP, *b, SEP]
    assert segment_ids.tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1)


def test_a_sentence_may_be_premise_and_hypothesis():
    encoded = encoder().encode(["a dog", "a man"], ["a man", "a dog"])
    assert encoded[0][0].tolist() == [CLS, *VOCAB[["a", "dog"]], SEP, *VOCAB[["a", "man"]], SEP]
    assert encoded[1][0].tolist() == [CLS, *VOCAB[["a", "man"]], SEP, *VOCAB[["a", "dog"]], SEP]


# The encoder --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_len", [4, 0, -1])
def test_a_max_len_without_room_for_a_pair_is_an_error(max_len):
    with pytest.raises(UsageError, match=f"max_len is {max_len}; a pair needs at least 5 tokens"):
        encoder(max_len)


def test_an_unknown_truncation_is_an_error():
    with pytest.raises(UsageError, match="no truncation strategy 'longest'"):
        encoder(truncation="longest")


def test_truncation_may_be_a_strategy_itself():
    strategy = create("ratio")
    assert encoder(truncation=strategy).truncation is strategy


def test_a_row_can_be_given_whole_or_in_its_parts():
    expected = encoder()("a dog", "a man", "neutral")
    assert_same(encoder()(["a dog", "a man", "neutral"]), expected)
    assert_same(encoder()(("a dog", "a man", "neutral")), expected)
    assert_same(encoder()("a dog", "a man"), expected[:3])
    assert_same(encoder()(["a dog", "a man"]), expected[:3])
    assert_same(encoder()(["a dog", "a man", None]), expected[:3])


def test_an_encoder_travels_to_another_process():
    original = encoder(9, "ratio")
    original("a dog", "a man")
    copy = pickle.loads(pickle.dumps(original))
    row = ["the dog is playing with the man", "a man.", "neutral"]
    assert_same(copy(row), original(row))


# The dataset --------------------------------------------------------------------------------------------------------


def test_an_item_is_input_ids_segment_ids_valid_length_and_label(encoded):
    assert isinstance(encoded, mx.gluon.data.Dataset)
    input_ids, segment_ids, valid_length, label = encoded[3]
    assert input_ids.tolist() == [CLS, *VOCAB[["the", "dog"]], SEP, *VOCAB[["the", "dog"]], SEP]
    assert segment_ids.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert (valid_length, label) == (7, 0)
    assert [item.dtype for item in encoded[3]] == [np.int32] * 4


def test_an_index_counts_from_the_end_too_and_has_bounds(encoded):
    for i in range(4):
        assert_same(encoded[i - 4], encoded[i])
    assert_same(encoded[np.int64(1)], encoded[1])
    for i in (4, -5):
        with pytest.raises(IndexError, match=f"pair {i} of 4"):
            encoded[i]


def test_iteration_ends_after_the_last_pair(encoded):
    assert len(encoded) == len(list(encoded)) == 4


def test_encoded_pairs_travel_to_another_process(encoded):
    copy = pickle.loads(pickle.dumps(encoded))
    assert isinstance(copy, EncodedPairs)
    for i in range(4):
        assert_same(copy[i], encoded[i])


# In GluonNLP's loaders ----------------------------------------------------------------------------------------------


def batchify():
    return Tuple(Pad(pad_val=PAD), Pad(pad_val=0), Stack(), Stack())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_gluons_data_loader_pads_encoded_pairs(encoded, num_workers):
    loader = mx.gluon.data.DataLoader(encoded, batch_size=2, batchify_fn=batchify(), num_workers=num_workers)
    batches = list(loader)
    assert len(batches) == 2
    for i, batch in enumerate(batches):
        expected = pad(encoded, np.arange(2 * i, 2 * i + 2))
        for array, other in zip(batch, expected):
            np.testing.assert_array_equal(array.asnumpy(), other)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_gluons_data_loader_encodes_the_corpus_as_it_goes(tmp_path, encoded, num_workers):
    path = tmp_path / "pairs.jsonl"
    rows = zip(PREMISES, HYPOTHESES, NAMES)
    lines = (json.dumps({"sentence1": a, "sentence2": b, "gold_label": label}) for a, b, label in rows)
    path.write_text("\n".join(lines))
    dataset = SNLI(file=path).transform(encoder(16))
    loader = mx.gluon.data.DataLoader(dataset, batch_size=4, batchify_fn=batchify(), num_workers=num_workers)
    (batch,) = loader
    for array, other in zip(batch, pad(encoded, np.arange(4))):
        np.testing.assert_array_equal(array.asnumpy(), other)


def test_gluonnlps_bucket_sampler_takes_the_lengths(encoded):
    sampler = nlp.data.FixedBucketSampler(encoded.valid_length.tolist(), batch_size=2, num_buckets=2)
    loader = mx.gluon.data.DataLoader(encoded, batch_sampler=sampler, batchify_fn=batchify())
    assert sum(len(batch[3]) for batch in loader) == 4
