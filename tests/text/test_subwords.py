"""A vocabulary trained on text fits GluonNLP's tokenizer, and the same text gives the same one."""

import collections
import random

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.tasks.sample import sample_pairs
from gluonnlp_snli_plugin.text import subwords
from gluonnlp_snli_plugin.text.bert_characters import BertWords
from gluonnlp_snli_plugin.text.subwords import MODEL_TYPES, count_words, train_subwords
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [*(premise for premise, _, _ in sample_pairs("dev")), "Ärger, ﬁne ＡＢ 中文 ß!"]


def pieces_of(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]


@pytest.fixture(scope="module", params=[(kind, lower) for kind in MODEL_TYPES for lower in (True, False)], ids=str)
def trained(request, tmp_path_factory):
    """A model's file, and whether it is one of lower-case text."""
    model_type, lower = request.param
    path = tmp_path_factory.mktemp("trained") / "spiece.model"
    path.write_bytes(train_subwords(count_words(TEXTS, TokenizerSettings.bert(lower)), 90, model_type, lower))
    return path, lower


def test_special_tokens_have_the_first_ids(trained):
    vocab, special_tokens = read_sentencepieces(trained[0])
    assert vocab.idx_to_token[:5] == SPECIAL and len(vocab) == 90 and special_tokens == {}
    special = (vocab.padding_token, vocab.unknown_token, vocab.cls_token, vocab.sep_token, vocab.mask_token)
    assert list(special) == SPECIAL and vocab.bos_token is None and vocab.eos_token is None


def test_text_comes_back_from_its_pieces(trained):
    path, lower = trained
    settings = TokenizerSettings.bert(lower)
    tokenizer = bert_tokenizer(read_sentencepieces(path)[0], settings, path)
    for text in TEXTS[:100]:
        words = "".join(tokenizer(text)).replace("▁", " ").split()
        assert words == BertWords(settings)(text)
        assert "[UNK]" not in tokenizer.vocab.to_tokens(tokenizer.vocab[tokenizer(text)])


def test_pieces_of_lower_case_text_have_no_upper_case(trained):
    path, lower = trained
    ordinary = pieces_of(path.read_bytes())[5:]
    assert all(piece == piece.lower() for piece in ordinary) == lower
    assert not any("\N{COMBINING DIAERESIS}" in piece for piece in ordinary)


@given(st.text(alphabet="[]CLSEPMAKclsepmak▁ ", max_size=30))
def test_no_text_makes_a_special_token(trained, text):
    path, lower = trained
    ids = bert_tokenizer(read_sentencepieces(path)[0], TokenizerSettings.bert(lower), path).ids(
        f"{text} [MASK][CLS] {text}[SEP] [PAD]"
    )
    assert not {0, 2, 3, 4} & set(ids)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_frequent_word_is_a_piece_even_if_no_other_begins_with_it(model_type):
    words = {**{f"{first}{last}": 1 for first in "abcdef" for last in "uvwxyz"}, "zebra": 50, ".": 100}
    assert {"▁zebra", "▁."} < set(pieces_of(train_subwords(words, 28, model_type)))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_same_words_give_the_same_bytes(model_type):
    words = count_words(TEXTS, TokenizerSettings.bert(lower=True))
    backwards = dict(reversed(list(words.items())))
    assert train_subwords(words, 80, model_type) == train_subwords(backwards, 80, model_type)


@given(st.lists(st.text(max_size=60)))
def test_words_are_those_of_the_basic_tokenizer(texts):
    for lower in (True, False):
        settings = TokenizerSettings.bert(lower)
        words = BertWords(settings)
        assert count_words(texts, settings) == collections.Counter(word for text in texts for word in words(text))


def test_a_long_word_is_several():
    assert count_words(["ab" * 500_000 + " c"], TokenizerSettings.bert(lower=True)) == {"ab" * 100: 5000, "c": 1}
    assert len(pieces_of(train_subwords({"中" * 200: 1}, 7))) == 7


def test_rare_words_give_way_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(subwords, "_MOST_WORDS", 100)
    monkeypatch.setattr(subwords, "_CHARACTERS_AT_ONCE", 1000)
    rare, often = [f"rare{i}" for i in range(300)], [f"often{i}" for i in range(50)] * 10
    texts = random.Random(0).sample(rare + often, len(rare + often))
    words = count_words(texts, TokenizerSettings.bert(lower=True))
    assert len(words) <= 100 and set(often) <= set(words)


def test_a_text_of_any_size_is_trained_on(monkeypatch):
    monkeypatch.setattr(subwords, "_MOST_CHARACTERS", 1000)
    large = train_subwords({"zebra": 10**12, "zeal": 10**12, "bread": 10**11, "rare": 3}, 16)
    assert pieces_of(large) == pieces_of(train_subwords({"zebra": 100, "zeal": 100, "bread": 10}, 16))
    assert len(pieces_of(train_subwords({f"word{i}": 1 for i in range(1000)}, 20))) == 20


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_size_that_the_text_cannot_make_is_answered_with_one_that_it_can(model_type):
    words = count_words(TEXTS, TokenizerSettings.bert(lower=True))
    with pytest.raises(
        UsageError, match="--size is 10000: the text makes .* pieces at most; give more text"
    ) as refused:
        train_subwords(words, 10000, model_type)
    most = int(str(refused.value).split("makes ")[1].split()[0])
    assert len(pieces_of(train_subwords(words, most, model_type))) == most
    with pytest.raises(
        UsageError, match="--size is 10: characters of the text .* alone take .*; give a lar"
    ) as refused:
        train_subwords(words, 10, model_type)
    least = int(str(refused.value).split("take ")[1].split(";")[0])
    assert len(pieces_of(train_subwords(words, least, model_type))) == least


@pytest.mark.parametrize(
    "words, size, model_type, error, complaint",
    [
        ({"a": 1}, 5, "bpe", UsageError, "--size is 5; it must be from 6 to"),
        ({"a": 1}, -1, "bpe", UsageError, "--size is -1; it must be"),
        ({"a": 1}, 1 << 40, "bpe", UsageError, "--size is 1099511627776; it must be"),
        ({"a": 1}, 20, "word", UsageError, "no model type 'word'; there are: unigram, bpe"),
        ({}, 20, "unigram", DataError, "the text holds no words"),
        ({"▁": 1, "▅▅": 3}, 20, "unigram", DataError, "the text holds no words"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(words, size, model_type, error, complaint):
    with pytest.raises(error, match=complaint) as refused:
        train_subwords(words, size, model_type)
    assert "\n" not in str(refused.value)
