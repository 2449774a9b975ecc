"""The tokenizers give what GluonNLP's own give, only faster."""

import json
import pickle
import unicodedata

import gluonnlp as nlp
import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import CachedTokenizer, bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces, wordpiece_vocab

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = "a the man woman two play ##ing sleep run outside dog ##s A Man ΑΣ ας ασ".split()
CHARACTERS = [*LETTERS, *LETTERS.upper(), *"0123456789.,'-!?[]", *"éüñσςαΣΑıçß", *"中文한ア"]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *(f"##{letter}" for letter in CHARACTERS), *WORDS]
VOCAB = wordpiece_vocab(dict.fromkeys(TOKENS))

# Unicode has none beyond.
WHITE_SPACE = [chr(i) for i in range(0x10000) if chr(i).isspace() or unicodedata.category(chr(i))[0] == "Z"]
TRICKY = [
    *WHITE_SPACE,
    *("\x00", "\x07", "\x7f", "\x9f", "\ufffd"),  # dropped
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\u202e"),  # of no width
    *("Σ", "ΑΣ", "σ", "ς", "'", "İ", "I", "ı", "ß", "ẞ", "ﬁ", "Ǆ"),  # whose lower case is special
    *("\u0301", "\u0307", "\u0345", "\u0323", "é", "\u20dd", "\u1ab0", "\ufe0f"),  # marks
    *("中", "文", "\U00020000", "ア", "한", "\u1112"),
    *("a", "Man", "playing", "dogs", "[SEP]", "##s", ".", "…", "—", "$", "^", "😀", "👩\u200d🚀"),
]

TEXTS = st.text(max_size=40) | st.lists(st.sampled_from([" ", *TRICKY]), max_size=15).map("".join)
every_text = settings(max_examples=150)
cased_and_uncased = pytest.mark.parametrize("lower", [True, False], ids=["uncased", "cased"])


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory, train_sentencepiece):
    """A SentencePiece model for a BERT, trained on a few sentences: its path."""
    sentences = [
        f"{who} {what} {where}."
        for who in ("A man", "The woman", "Two dogs", "Children", "İstanbul", "ο Οδυσσέας")
        for what in ("is playing", "are sleeping", "runs", "was eating lunch", "isn't standing")
        for where in ("outside", "in the park", "near a river", "on 12 benches", "中文")
    ]
    return train_sentencepiece(tmp_path_factory.mktemp("sentencepiece") / "spiece.model", sentences, vocab_size=120)


@pytest.fixture(scope="module")
def host_tokenizer(sentencepiece_model):
    """Makes GluonNLP's own tokenizer, of either kind."""

    def make(kind, lower):
        if kind == "wordpiece":
            return nlp.data.BERTTokenizer(VOCAB, lower=lower)
        vocab, _ = read_sentencepieces(sentencepiece_model)
        return nlp.data.BERTSPTokenizer(str(sentencepiece_model), vocab, lower=lower)

    return make


@pytest.fixture(
    scope="module", params=["wordpiece-uncased", "wordpiece-cased", "sentencepiece-uncased", "sentencepiece-cased"]
)
def host_and_cached(request, host_tokenizer):
    """GluonNLP's own tokenizer, and one with a memory; of each kind."""
    kind, case = request.param.split("-")
    return host_tokenizer(kind, case == "uncased"), CachedTokenizer(host_tokenizer(kind, case == "uncased"))


def host_ids(tokenizer, text):
    return tokenizer.convert_tokens_to_ids(tokenizer(text))


# The same ids -------------------------------------------------------------------------------------------------------


@given(text=TEXTS)
@example(text="")
@example(text="   ")
@example(text="ΑΣ ΑΣ. ΑΣ' ΑΣα Σ")
@example(text="İstanbul İ I\u0307")
@example(text="man \u0301woman \u0301 e\u0301")
@example(text="中 文中man 文")
@example(text="the\u00a0man\u2003sleep\u2028run\x85play\tdog\x0bdog")
@example(text="[CLS] a man [SEP] [MASK] [PAD] [UNK] ##ing")
@every_text
def test_any_text_has_the_ids_that_gluonnlp_gives_it(host_and_cached, text):
    host, cached = host_and_cached
    assert cached.ids(text) == host_ids(host, text)
    assert cached.ids(text) == host_ids(host, text)


@given(texts=st.lists(TEXTS, max_size=6))
@example(texts=[])
@example(texts=[""])
@example(texts=["", " ", "", "a ", " a", "\x00", ""])
@example(texts=["man", "\u0301woman", "Α", "Σ", "\u00a0 a"])
@every_text
def test_many_texts_at_once_have_the_ids_that_gluonnlp_gives_them_one_by_one(host_and_cached, texts):
    host, cached = host_and_cached
    ids, lengths = cached.ids_of_all(texts)
    expected = [host_ids(host, text) for text in texts]
    assert lengths.tolist() == list(map(len, expected))
    assert ids.tolist() == [i for text in expected for i in text]
    assert (ids.dtype, lengths.dtype) == (np.int32, np.int64)


def test_all_real_sentences_have_the_ids_that_gluonnlp_gives_them(host_and_cached, shared_data):
    host, cached = host_and_cached
    sentences = set()
    for path in shared_data.glob("*/*.jsonl"):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line:
                row = json.loads(line)
                sentences.update((row["sentence1"], row["sentence2"]))
    assert len(sentences) > 12_000
    assert [text for text in sentences if cached.ids(text) != host_ids(host, text)] == []


def test_a_tricky_character_has_the_same_effect_wherever_it_is(host_and_cached):
    host, cached = host_and_cached
    for pattern in ("{}", "A{}man", "ΑΣ {} ΑΣ", "{0} A man {0}", "ΑΣ{0} {0}ΑΣ", "ΑΣ{}ΑΣ"):
        for character in TRICKY:
            text = pattern.format(character)
            assert cached.ids(text) == host_ids(host, text), ascii(text)


@pytest.mark.parametrize("length", [64, 65, 200, 201, 3000])
def test_long_words_are_cut_or_unknown_as_in_gluonnlp(host_and_cached, length):
    host, cached = host_and_cached
    for text in ("a" * length, "é" * length, f"the {'x' * length} man", "man." * length):
        assert cached.ids(text) == host_ids(host, text)
        assert cached.ids(text) == host_ids(host, text)


def test_a_word_of_more_than_200_characters_is_unknown():
    tokenizer = CachedTokenizer(nlp.data.BERTTokenizer(VOCAB))
    assert len(tokenizer.ids("b" * 200)) == 200
    assert tokenizer.ids("b" * 201) == [VOCAB[VOCAB.unknown_token]]


def test_a_sigma_at_the_end_of_a_word_is_final_as_in_gluonnlp():
    tokenizer = CachedTokenizer(nlp.data.BERTTokenizer(VOCAB, lower=True))
    assert tokenizer.ids("ΑΣ ΑΣ") == 2 * [VOCAB["ας"]]
    assert tokenizer.ids("ΑΣ\u00a0ΑΣΑ") == [VOCAB["ας"], VOCAB["ασ"], VOCAB["##α"]]


def test_the_names_of_special_tokens_in_a_text_are_text(host_and_cached):
    _, cached = host_and_cached
    special = {cached.vocab[token] for token in ("[CLS]", "[SEP]", "[MASK]", "[PAD]")}
    assert not special & set(cached.ids("[CLS] a [SEP] b [MASK] [PAD] a[SEP]b"))


def test_the_tokens_are_those_of_gluonnlp(host_and_cached):
    host, cached = host_and_cached
    text = "Two dogs aren't playing outside."
    assert cached(text) == host(text)


# The memory ---------------------------------------------------------------------------------------------------------


def test_what_the_caller_does_to_the_ids_is_not_remembered(host_and_cached):
    _, cached = host_and_cached
    before = list(cached.ids("man"))
    cached.ids("man").append(7)
    cached.ids("man man")[0] = 8
    assert cached.ids("man") == before


def test_a_word_is_tokenized_once():
    asked = []

    class Host(nlp.data.BERTTokenizer):
        def __call__(self, text):
            asked.append(text)
            return super().__call__(text)

    tokenizer = CachedTokenizer(Host(VOCAB))
    tokenizer.ids("the man the dog")
    tokenizer.ids("the dog")
    assert asked == ["the", "man", "dog"]


def test_the_memory_is_bounded_and_full_memory_changes_no_ids(monkeypatch):
    monkeypatch.setattr("gluonnlp_snli_plugin.text.word_cache._MOST_REMEMBERED", 3)
    host, cached = nlp.data.BERTTokenizer(VOCAB), CachedTokenizer(nlp.data.BERTTokenizer(VOCAB))
    text = f"the man woman dog {'x' * 65} run sleep the run"
    assert cached.ids(text) == host_ids(host, text)
    assert len(cached._ids_of_word) == 3


def test_a_tokenizer_travels_to_another_process(host_and_cached):
    host, cached = host_and_cached
    cached.ids("The man")
    copy = pickle.loads(pickle.dumps(cached))
    assert copy.ids("The man is playing outside.") == host_ids(host, "The man is playing outside.")


# Words with fixed ids -----------------------------------------------------------------------------------------------


def test_a_word_with_fixed_ids_has_them_between_spaces_and_is_text_elsewhere():
    plain = CachedTokenizer(nlp.data.BERTTokenizer(VOCAB))
    fixed = CachedTokenizer(plain.host, {"<unk>": [1], "woman": [7, 8]})
    assert fixed.ids("a <unk> man woman") == [*plain.ids("a"), 1, *plain.ids("man"), 7, 8]
    for text in ("<unk>. a<unk>", "<UNK> Woman", "womans", ""):
        assert fixed.ids(text) == plain.ids(text)
    ids, lengths = fixed.ids_of_all(["<unk>", "man", "<unk> <unk>"])
    assert ids.tolist() == [1, *plain.ids("man"), 1, 1] and lengths.tolist() == [1, 1, 2]


def test_fixed_ids_travel_to_another_process():
    tokenizer = pickle.loads(pickle.dumps(CachedTokenizer(nlp.data.BERTTokenizer(VOCAB), {"<unk>": [1]})))
    assert tokenizer.ids("<unk>") == [1]


# The tokenizer of a vocabulary --------------------------------------------------------------------------------------


@cased_and_uncased
def test_a_wordpiece_vocabulary_has_gluonnlps_bert_tokenizer(lower):
    tokenizer = bert_tokenizer(VOCAB, TokenizerSettings.gluonnlp(lower))
    assert tokenizer.vocab is VOCAB
    assert tokenizer("A Man playing") == nlp.data.BERTTokenizer(VOCAB, lower=lower)("A Man playing")
    assert tokenizer("A Man")[1] == ("man" if lower else "Man")


@cased_and_uncased
def test_a_sentencepiece_vocabulary_has_gluonnlps_sentencepiece_tokenizer(sentencepiece_model, host_tokenizer, lower):
    host = host_tokenizer("sentencepiece", lower)
    tokenizer = bert_tokenizer(host.vocab, TokenizerSettings.gluonnlp(lower), sentencepiece_model)
    text = "The woman is Playing outside."
    assert tokenizer(text) == host(text)
    assert tokenizer.ids(text) == host_ids(host, text)


# SentencePiece, repaired --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_best", [0, 1])
def test_sentencepiece_without_sampling_gives_the_best_pieces(sentencepiece_model, num_best):
    tokenizer = nlp.data.SentencepieceTokenizer(str(sentencepiece_model), num_best=num_best)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_model))
    for text in ("The woman is playing outside.", "", "İstanbul 中文 xyz", "two  dogs"):
        assert tokenizer(text) == processor.encode(text, out_type=str)


def test_sentencepiece_tokens_make_the_text_again(sentencepiece_model):
    tokenizer = nlp.data.SentencepieceTokenizer(str(sentencepiece_model))
    detokenizer = nlp.data.SentencepieceDetokenizer(str(sentencepiece_model))
    text = "The woman is playing outside."
    assert detokenizer(tokenizer(text)) == text


@pytest.mark.parametrize("num_best", [-1, 8])
def test_sentencepiece_still_samples_where_it_is_asked_to(sentencepiece_model, num_best):
    tokenizer = nlp.data.SentencepieceTokenizer(str(sentencepiece_model), num_best=num_best, alpha=0.1)
    samples = {tuple(tokenizer("The woman is playing outside.")) for _ in range(50)}
    assert len(samples) > 1
    assert {"".join(pieces) for pieces in samples} == {"▁The▁woman▁is▁playing▁outside."}


def test_a_tokenizer_that_samples_is_asked_anew_for_every_text(sentencepiece_model):
    vocab, _ = read_sentencepieces(sentencepiece_model)
    host = nlp.data.BERTSPTokenizer(str(sentencepiece_model), vocab, num_best=-1, alpha=0.1, lower=False)
    tokenizer = CachedTokenizer(host)
    assert len({tuple(tokenizer.ids("The woman is playing outside.")) for _ in range(50)}) > 1
    assert len({tuple(tokenizer.ids_of_all(["", "The woman is playing outside."])[0]) for _ in range(50)}) > 1
    assert tokenizer.ids("") == []
