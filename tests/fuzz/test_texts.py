"""Sentences of any kind on their way to token ids and answers."""

import pytest
from gluonnlp.data import BERTTokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.data.truncation import list_truncations
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

UNCASED = TokenizerSettings.gluonnlp(lower=True)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{c}" for c in LETTERS),
    "dog",
    ".",
    "?",
    "\u4e2d",
]
VOCAB = wordpiece_vocab(TOKENS)


@pytest.mark.parametrize("lower", [True, False])
@settings.get_profile("fuzz")
@given(data=st.data())
def test_ids_are_those_of_the_hosts_tokenizer(data, damage, lower):
    texts = data.draw(st.lists(st.lists(damage.text(), max_size=3).map(" ".join), max_size=4))
    ours, host = bert_tokenizer(VOCAB, TokenizerSettings.gluonnlp(lower)), BERTTokenizer(VOCAB, lower=lower)
    expected = [VOCAB[host(text)] for text in texts]
    assert [ours.ids(text) for text in texts] == expected
    flat, lengths = ours.ids_of_all(texts)
    assert flat.tolist() == [i for ids in expected for i in ids] and lengths.tolist() == list(map(len, expected))


@settings.get_profile("fuzz")
@given(data=st.data(), max_len=st.integers(5, 60), truncation=st.sampled_from(list_truncations()))
def test_a_corpus_is_encoded_as_its_rows_are(data, damage, max_len, truncation):
    pairs = data.draw(st.lists(st.tuples(damage.text(), damage.text()), min_size=1, max_size=4))
    encoder = PairEncoder(bert_tokenizer(VOCAB, UNCASED), VOCAB, max_len, truncation)
    encoded = encoder.encode(*zip(*pairs))
    for i, pair in enumerate(pairs):
        for ours, expected in zip(encoded[i], encoder(*pair)):
            assert (ours == expected).all()
        assert encoded[i][2] <= max_len and encoded[i][0].min() >= 0 and encoded[i][0].max() < len(VOCAB)


def test_long_texts_are_cut(damage):
    encoder = PairEncoder(bert_tokenizer(VOCAB, UNCASED), VOCAB, 64)
    host = BERTTokenizer(VOCAB, lower=True)
    for text in damage.long.values():
        encoded = encoder.encode([text], ["a dog"])
        expected = VOCAB[host(text)]
        assert encoded.len_a[0] == min(len(expected), 59) and encoded.len_b[0] == 2
        assert encoded.input_ids[1 : 1 + encoded.len_a[0]].tolist() == expected[:59]


@example("\ud800")
@example("\u0130\u0307")
@settings.get_profile("fuzz")
@given(st.text(max_size=60))
def test_any_text_is_the_same_word_by_word(text):
    ours, host = bert_tokenizer(VOCAB, UNCASED), BERTTokenizer(VOCAB, lower=True)
    assert ours.ids(text) == VOCAB[host(text)]
