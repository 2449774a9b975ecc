"""Text gives the ids that Hugging Face's BertTokenizerFast gives: that of its engine, `tokenizers`, and golden ones."""

import dataclasses
import functools
import itertools
import json
import os
import pickle

import gluonnlp as nlp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.text.bert_characters import BertWords, _tables
from gluonnlp_snli_plugin.text.tokenizer_settings import AddedToken, TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import HuggingFaceBERTTokenizer, bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ADDED = (
    *map(AddedToken, SPECIAL),
    AddedToken("[NAME]", normalized=True, special=False),
    AddedToken("[NAME", normalized=True, special=False),
    AddedToken("new TOKEN", normalized=True, special=False),
    AddedToken("Né", normalized=False, special=False),
    AddedToken("北京", normalized=True, special=False),
)
COMBINATIONS = list(itertools.product([True, False], repeat=3))  # lower, strip_accents, chinese_characters
ALPHABET = st.one_of(
    st.sampled_from("aAéÉßİıΣςσй한글がガ中文\u0301\u0323\u302e\U0001d165\U0001d16d ,.'#[]_\t\u00a0\u200d\ufffd"),
    st.characters(blacklist_categories=["Cs"]),
    st.sampled_from([*SPECIAL, "[NAME]", "[name", "new token", "ne", "北京", " "]),
)


def vocabulary(texts):
    """Nearly all letters of some texts, as words and inside of words, and some pieces."""
    words = BertWords(_settings())
    letters = sorted({c for text in texts for c in text + words.normalized(text) if not c.isspace() and ord(c) % 11})
    pieces = ["the", "dog", "##ing", "Йо", "##га", "café", "cafe", "한국", "##어", "##를", "が", "##く", "IŞ", "##ık"]
    names = [*SPECIAL, *pieces, *(token.content for token in ADDED), *letters, *(f"##{c}" for c in letters[::2])]
    return wordpiece_vocab(list(dict.fromkeys(names)))


def _settings(lower=True, strip_accents=True, chinese_characters=True, longest_word=100, added_tokens=ADDED):
    return TokenizerSettings("bert", lower, strip_accents, chinese_characters, longest_word, added_tokens)


@functools.lru_cache(maxsize=None)
def engine(vocab, settings):
    """The tokenizer of the package `tokenizers`."""
    tokenizers = pytest.importorskip("tokenizers")
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    added = sorted(settings.added_tokens, key=lambda token: vocab[token.content])
    content = {
        "added_tokens": [
            {"id": vocab[t.content], "content": t.content, "normalized": t.normalized, "special": t.special, **flags}
            for t in added
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.chinese_characters,
            "strip_accents": settings.strip_accents,
            "lowercase": settings.lower,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": settings.longest_word,
            "vocab": dict(vocab.token_to_idx),
        },
    }
    return tokenizers.Tokenizer.from_str(json.dumps({"version": "1.0", **content}))


@functools.lru_cache(maxsize=None)
def letters_unknown_to_the_engine():
    """Letters whose lower case an older release of `tokenizers` does not know."""
    normalizers = pytest.importorskip("tokenizers").normalizers
    nothing = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False}
    lower = normalizers.BertNormalizer(lowercase=True, **nothing).normalize_str
    return dict.fromkeys(ord(c) for c, wanted in _tables()["lower"].items() if lower(c) != wanted)


tokenizer = functools.lru_cache(maxsize=None)(bert_tokenizer)


def assert_same_ids(vocab, settings, texts):
    texts = [text.translate(letters_unknown_to_the_engine()) for text in texts]
    theirs = [encoding.ids for encoding in engine(vocab, settings).encode_batch(texts)]
    ours = tokenizer(vocab, settings)
    ids, lengths = ours.ids_of_all(texts)
    for text, mine, wanted in zip(texts, np.split(ids, np.cumsum(lengths)[:-1]), theirs):
        assert mine.tolist() == wanted, ascii(text)
    assert ours.ids(texts[0]) == theirs[0]


@pytest.fixture(scope="module")
def vocab(multilingual_texts):
    return vocabulary(multilingual_texts)


@pytest.mark.parametrize("combination", [COMBINATIONS[i] for i in (0, 3, 5, 6)], ids=str)
def test_ids_of_all_languages_are_those_of_tokenizers(multilingual_texts, vocab, combination):
    assert_same_ids(vocab, _settings(*combination), multilingual_texts)
    few = tuple(token for token in ADDED if " " not in token.content and token.content != "北京")
    assert not bert_tokenizer(vocab, _settings(*combination, added_tokens=few)).host.looks_across_spaces
    assert_same_ids(vocab, _settings(*combination, longest_word=7, added_tokens=few), multilingual_texts)
    assert_same_ids(vocab, _settings(*combination, added_tokens=()), multilingual_texts)


@given(st.lists(st.lists(ALPHABET, max_size=12).map("".join), min_size=1, max_size=5), st.sampled_from(COMBINATIONS))
@settings(max_examples=100)
def test_ids_of_any_text_are_those_of_tokenizers(vocab, texts, combination):
    assert_same_ids(vocab, _settings(*combination), texts)
    assert_same_ids(vocab, _settings(*combination, added_tokens=ADDED[:7]), texts)


# Beyond 0x32400 Unicode has hardly a character: of those every 97th, or with FUZZ_EXAMPLES in the environment, as
# `make fuzz` sets it, every one.
CHARACTERS = [*range(0x32400), *range(0x32400, 0x110000, 1 if os.environ.get("FUZZ_EXAMPLES") else 97)]


@pytest.mark.slow
@pytest.mark.parametrize("combination", COMBINATIONS[::3], ids=str)
def test_every_character_is_that_of_tokenizers(combination):
    """Also finds out whether a new release has other tables; tests/text/make_bert_characters.py writes ours."""
    tokenizers = pytest.importorskip("tokenizers")
    lower, strip_accents, chinese_characters = combination
    normalize = tokenizers.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese_characters, strip_accents=strip_accents, lowercase=lower
    ).normalize_str
    divide = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = BertWords(_settings(*combination))
    newer = set(_tables()["lower"])  # whose lower case is that of the newest release
    for c in map(chr, CHARACTERS):
        if not "\ud800" <= c <= "\udfff" and c not in newer:
            assert words(f"a{c}B") == [word for word, _ in divide(normalize(f"a{c}B"))], hex(ord(c))


def test_golden_ids():
    tokens = "한국어 ##를 배운다 がくせい Йога Café café йога cafe . 中 文 ' s ##s σ ##σ".split()
    vocab = wordpiece_vocab([*SPECIAL, *tokens])
    texts = ["한국어를 배운다. Йога", "がくせい Café", "中文's", "a [SEP] [sep]", "Σσ", "x\u200d\u0000\ufffd."]
    cased = bert_tokenizer(vocab, TokenizerSettings.bert(False, SPECIAL))
    assert [cased.ids(text) for text in texts] == [
        [5, 6, 7, 14, 9],
        [8, 10],
        [15, 16, 17, 18],
        [1, 3, 1, 1, 1],
        [1],
        [1, 14],
    ]
    uncased = bert_tokenizer(vocab, TokenizerSettings.bert(True, SPECIAL))
    assert [uncased.ids(text) for text in texts] == [
        [1, 1, 14, 1],
        [1, 13],
        [15, 16, 17, 18],
        [1, 3, 1, 1, 1],
        [20, 21],
        [1, 14],
    ]
    gluonnlp = bert_tokenizer(vocab, TokenizerSettings.gluonnlp(False))
    assert gluonnlp.ids(texts[0]) == [1, 1, 14, 1] == gluonnlp.host.convert_tokens_to_ids(gluonnlp(texts[0]))


def test_half_a_character_is_dropped():
    vocab = wordpiece_vocab([*SPECIAL, "ab"])
    assert bert_tokenizer(vocab, TokenizerSettings.bert(True)).ids("a\ud800b") == [5]


def test_it_is_a_tokenizer_of_gluonnlps_and_survives_pickling(vocab):
    host = HuggingFaceBERTTokenizer(vocab, _settings())
    assert isinstance(host, nlp.data.BERTTokenizer)
    copy = pickle.loads(pickle.dumps(host))
    text = "Йога [SEP] the dog [NAME]"
    assert copy(text) == host(text) and copy.vocab[copy(text)] == vocab[host(text)]
    assert host.is_first_subword("the") and not host.is_first_subword("##ing")
    encoder = pickle.loads(pickle.dumps(PairEncoder(tokenizer(vocab, _settings()), vocab)))
    assert (encoder("the", "dog")[0] == PairEncoder(host, vocab)("the", "dog")[0]).all()


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "other"},
        {"lower": 1},
        {"strip_accents": None},
        {"longest_word": 0},
        {"longest_word": True},
        {"added_tokens": None},
        {"added_tokens": [{"content": ""}]},
        {"added_tokens": [{"content": "\ud800"}]},
        {"added_tokens": [{"content": "a", "normalized": 0}]},
        {"added_tokens": [{"text": "a"}]},
        {"algorithm": "gluonnlp", "strip_accents": False},
        {"more": 1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(change):
    content = dataclasses.asdict(TokenizerSettings.bert(True, SPECIAL))
    assert TokenizerSettings.from_json(content) == TokenizerSettings.bert(True, SPECIAL)
    with pytest.raises((TypeError, KeyError, ValueError)):
        TokenizerSettings.from_json({**content, **change})
