"""Documents as ids: what a tokenizer gives, nothing lost, and divided by whole documents."""

import itertools

import gluonnlp as nlp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.pretraining import corpus
from gluonnlp_snli_plugin.data.pretraining.corpus import read_documents
from gluonnlp_snli_plugin.data.pretraining.documents import encode_documents
from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import CachedTokenizer, bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces

UNCASED = TokenizerSettings.gluonnlp(lower=True)

TEXT = "A cab. Fed a bee!\n\nDeaf ace\n\n\x00\n\nbad é dad\n\x00\nbeef\n"
lengths = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=4, max_size=12)


@pytest.fixture
def corpus_file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def as_lists(documents):
    """Documents as lists of lists of ids."""
    sentences = [documents.ids[a:b].tolist() for a, b in zip(documents.sentences, documents.sentences[1:])]
    return [sentences[a:b] for a, b in zip(documents.documents, documents.documents[1:])]


def plainly(paths, tokenizer, longest=10**6, corpus_format="auto"):
    """The same, a sentence after the other."""
    result = []
    for document in read_documents(paths, corpus_format):
        ids = [tokenizer.convert_tokens_to_ids(tokenizer(sentence)) for sentence in document]
        pieces = [each[i : i + longest] for each in ids for i in range(0, len(each), longest)]
        if pieces:
            result.append(pieces)
    return result


# Encoding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda tokenizer: tokenizer, CachedTokenizer], ids=["host", "cached"])
@pytest.mark.parametrize("corpus_format", ["lines", "text"])
def test_ids_are_those_of_the_tokenizer_and_what_has_no_token_is_left_out(vocab, corpus_file, wrap, corpus_format):
    tokenizer = nlp.data.BERTTokenizer(vocab)
    documents = encode_documents([corpus_file], wrap(tokenizer), vocab, 64, corpus_format)
    expected = plainly([corpus_file], tokenizer, corpus_format=corpus_format)
    assert as_lists(documents) == expected
    assert len(documents) == len(expected) == 3
    assert documents.num_sentences == sum(map(len, expected)) and documents.num_tokens == len(documents.ids)
    assert [array.dtype for array in (documents.ids, documents.sentences, documents.documents)] == [
        np.int32,
        np.int64,
        np.int64,
    ]


@pytest.mark.parametrize("max_len", [5, 6, 8, 20])
@pytest.mark.parametrize("block", [7, 1 << 18])
def test_a_sentence_that_leaves_no_room_for_another_is_cut_and_nothing_is_lost(
    vocab, corpus_file, max_len, block, monkeypatch
):
    monkeypatch.setattr(corpus, "_BYTES_AT_ONCE", block)
    tokenizer = nlp.data.BERTTokenizer(vocab)
    documents = encode_documents([corpus_file] * 2, tokenizer, vocab, max_len, "lines")
    assert as_lists(documents) == plainly([corpus_file] * 2, tokenizer, max_len - 3, "lines")
    assert np.diff(documents.sentences).max() <= max_len - 3


def test_sentencepieces_are_encoded_too(tmp_path, train_sentencepiece, corpus_file):
    model = train_sentencepiece(tmp_path / "spiece.model", [f"{a} {b} cafe" for a in "abcdef" for b in "fedcba"])
    sentencepieces = read_sentencepieces(model)[0]
    tokenizer = bert_tokenizer(sentencepieces, UNCASED, model)
    documents = encode_documents([corpus_file], tokenizer, sentencepieces, 10, "lines")
    assert as_lists(documents) == plainly([corpus_file], tokenizer.host, 7, "lines")


def test_wikitexts_unknown_word_is_one_unknown_token(vocab, tmp_path):
    path = tmp_path / "wiki.tokens"
    path.write_text(" = A = \n\n a <unk> b @-@ c . <unk>\n\n = B = \n\n d\n")
    documents = encode_documents([path], nlp.data.BERTTokenizer(vocab), vocab, 32)
    assert [[vocab.to_tokens(sentence) for sentence in document] for document in as_lists(documents)] == [
        [["a", "[UNK]", "b", "[UNK]", "c", "[UNK]"], ["[UNK]"]],  # there is neither "-" nor "." in this vocabulary
        [["d"]],
    ]


def test_the_tokenizer_that_was_given_does_not_learn_the_unknown_word(vocab, corpus_file):
    tokenizer = CachedTokenizer(nlp.data.BERTTokenizer(vocab))
    encode_documents([corpus_file], tokenizer, vocab, 32)
    assert len(tokenizer.ids("<unk>")) > 1


def test_text_without_any_token_is_an_error(vocab, tmp_path):
    path = tmp_path / "nothing.txt"
    path.write_text("\x00\n\n\x07\n")
    with pytest.raises(DataError, match="the corpus has no token"):
        encode_documents([path], nlp.data.BERTTokenizer(vocab), vocab, 32)


def test_a_length_without_room_for_a_pair_is_an_error(vocab, corpus_file):
    with pytest.raises(UsageError, match="max_len is 4; a pair needs at least 5 tokens"):
        encode_documents([corpus_file], nlp.data.BERTTokenizer(vocab), vocab, 4)


# The division -------------------------------------------------------------------------------------------------------


@given(lengths=lengths, ratio=st.floats(0.01, 0.99), seed=st.integers(0, 2**40))
@settings(max_examples=80)
def test_whole_documents_are_held_out_and_none_is_lost(documents_of, lengths, ratio, seed):
    documents = documents_of(*lengths)
    train, held_out = documents.split(ratio, seed)
    assert sorted(as_lists(train) + as_lists(held_out)) == as_lists(documents)
    assert as_lists(train) == sorted(as_lists(train)) and as_lists(held_out) == sorted(as_lists(held_out))
    assert len(train) >= 2 <= len(held_out)
    assert len(held_out) == min(max(round(ratio * len(documents)), 2), len(documents) - 2)
    assert [part.fingerprint for part in documents.split(ratio, seed)] == [train.fingerprint, held_out.fingerprint]


def test_each_seed_holds_out_others(random_documents):
    documents = random_documents(200)
    fingerprints = {documents.split(0.1, seed)[1].fingerprint for seed in range(20)}
    assert len(fingerprints) == 20


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 2, float("nan")])
def test_a_ratio_that_is_no_share_is_an_error(random_documents, ratio):
    with pytest.raises(UsageError, match="must be between 0 and 1"):
        random_documents().split(ratio, 0)


def test_too_few_documents_are_an_error_that_says_how_they_are_separated(documents_of):
    with pytest.raises(
        DataError, match="the corpus has 3 documents, and to hold some out takes 4: a document ends at an"
    ):
        documents_of([1], [2], [3]).split(0.5, 0)
    with pytest.raises(DataError, match="has 1 document, and a next sentence of another document takes 2: a document"):
        documents_of([1, 2]).require_two()
    documents_of([1], [2]).require_two()


# The fingerprint ----------------------------------------------------------------------------------------------------


def test_the_fingerprint_tells_any_other_documents_and_is_the_same_everywhere(documents_of):
    several = [
        documents_of([2, 2], [2]),
        documents_of([2], [2, 2]),
        documents_of([1, 3], [2]),
        documents_of([2, 2], [2], ids=np.arange(1, 7)),
        documents_of([2, 2, 2]),
        documents_of([2, 2], [3]),
    ]
    assert all(a.fingerprint != b.fingerprint for a, b in itertools.combinations(several, 2))
    assert several[0].fingerprint == documents_of([2, 2], [2]).fingerprint
    assert several[0].fingerprint.startswith("7604c368caa919bf")
