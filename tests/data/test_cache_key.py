"""Everything that encoded pairs depend on is in their name."""

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin.data import truncation
from gluonnlp_snli_plugin.data.cache_key import cache_key
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.tasks.snli import SNLITask
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import CachedTokenizer, bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces, wordpiece_vocab

UNCASED = TokenizerSettings.gluonnlp(lower=True)

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij", "##a", "the", "dog", "."]
VOCAB = wordpiece_vocab(TOKENS)
OTHER = SNLITask.schema._replace(labels=("a", "b"))
OTHER_SPELLINGS = SNLITask.schema._replace(label_alias={})
SHA256 = "0" * 64
READING = PairReader("a.jsonl").settings


def encoder(vocab=VOCAB, lower=True, max_len=20, strategy="longest_first"):
    return PairEncoder(bert_tokenizer(vocab, TokenizerSettings.gluonnlp(lower)), vocab, max_len, strategy)


OTHERS = {
    "the content of the file": (encoder(), "1" * 64, READING),
    "the format of the file": (encoder(), SHA256, PairReader("a.tsv").settings),
    "what is done with bad rows": (encoder(), SHA256, PairReader("a.jsonl", "skip").settings),
    "the columns": (encoder(), SHA256, PairReader("a.jsonl", columns="label=x").settings),
    "the meaning of labels": (encoder(), SHA256, PairReader("a.jsonl", labels="0=neutral").settings),
    "the labels of the task": (encoder(), SHA256, PairReader("a.jsonl", schema=OTHER).settings),
    "the spellings of the task": (encoder(), SHA256, PairReader("a.jsonl", schema=OTHER_SPELLINGS).settings),
    "case": (encoder(lower=False), SHA256, READING),
    "the length": (encoder(max_len=21), SHA256, READING),
    "a token": (encoder(wordpiece_vocab([*TOKENS[:-1], "!"])), SHA256, READING),
    "one more token": (encoder(wordpiece_vocab([*TOKENS, "!"])), SHA256, READING),
    "the order of tokens": (encoder(wordpiece_vocab([*TOKENS[:-2], ".", "dog"])), SHA256, READING),
    "the id of the padding": (encoder(wordpiece_vocab(["[UNK]", "[PAD]", *TOKENS[2:]])), SHA256, READING),
    **{name: (encoder(strategy=name), SHA256, READING) for name in ("equal", "ratio", "only_first")},
    "only_second": (encoder(strategy="only_second"), SHA256, READING),
    "the encoder's vocabulary": (
        PairEncoder(bert_tokenizer(VOCAB, UNCASED), wordpiece_vocab([*TOKENS, "!"]), 20),
        SHA256,
        READING,
    ),
    "the longest word": (
        PairEncoder(nlp.data.BERTTokenizer(VOCAB, max_input_chars_per_word=99), VOCAB, 20),
        SHA256,
        READING,
    ),
}


def test_everything_in_the_key_makes_another_key():
    keys = {name: cache_key(*arguments) for name, arguments in OTHERS.items()}
    keys["none of them"] = cache_key(encoder(), SHA256, READING)
    assert all(len(key) == 64 for key in keys.values())
    assert len(set(keys.values())) == len(keys)


def test_the_same_settings_have_the_same_key_in_every_process():
    vocab = nlp.vocab.BERTVocab.from_json(VOCAB.to_json())
    assert cache_key(encoder(vocab), SHA256, READING) == cache_key(encoder(), SHA256, READING)


@pytest.mark.parametrize("what", ["_ENCODER", "gluonnlp", "unicodedata"])
def test_another_version_has_another_key(monkeypatch, what):
    before = cache_key(encoder(), SHA256, READING)

    class Other:
        __version__ = unidata_version = "0"

    other = {"_ENCODER": 0}.get(what, Other)
    monkeypatch.setattr(f"gluonnlp_snli_plugin.data.cache_key.{what}", other)
    assert cache_key(encoder(), SHA256, READING) != before


def test_the_words_a_tokenizer_has_met_do_not_change_the_key():
    used = encoder()
    used("the dog", "a cat")
    assert cache_key(used, SHA256, READING) == cache_key(encoder(), SHA256, READING)


@pytest.fixture
def sentencepiece_encoder(tmp_path, train_sentencepiece):
    """Encoders with a SentencePiece model, trained on the given text."""

    def make(lower=True, text="the dog runs on the road", **settings):
        path = train_sentencepiece(tmp_path / "spiece.model", [text] * 50, vocab_size=30)
        vocab, _ = read_sentencepieces(path)
        return PairEncoder(nlp.data.BERTSPTokenizer(str(path), vocab, lower=lower, **settings), vocab, 20)

    return make


def test_sentencepiece_encoders_have_keys_of_their_own(sentencepiece_encoder, tmp_path):
    arguments = (SHA256, READING)
    plain = cache_key(sentencepiece_encoder(), *arguments)
    assert plain == cache_key(sentencepiece_encoder(), *arguments)
    assert (
        len({plain, cache_key(sentencepiece_encoder(lower=False), *arguments), cache_key(encoder(), *arguments)}) == 3
    )
    made = sentencepiece_encoder()
    model = tmp_path / "spiece.model"
    model.write_bytes(model.read_bytes() + b"\0")  # the pieces are the same, the model need not be
    assert cache_key(made, *arguments) not in (plain, None)
    model.unlink()
    assert cache_key(made, *arguments) is None


class _OtherTokenizer(nlp.data.BERTTokenizer):
    pass


class _OtherMemory(CachedTokenizer):
    pass


class _OtherTruncation(truncation.LongestFirst):
    pass


class _OtherEncoder(PairEncoder):
    pass


def _with_setting():
    strategy = truncation.create("ratio")
    strategy.least = 3
    return strategy


@pytest.mark.parametrize(
    "make",
    [
        lambda: PairEncoder(_OtherTokenizer(VOCAB), VOCAB),
        lambda: PairEncoder(_OtherMemory(nlp.data.BERTTokenizer(VOCAB)), VOCAB),
        lambda: PairEncoder(nlp.data.BERTTokenizer(VOCAB, lru_cache_size=10), VOCAB),
        lambda: encoder(strategy=_OtherTruncation()),
        lambda: encoder(strategy=_with_setting()),
        lambda: _OtherEncoder(bert_tokenizer(VOCAB, UNCASED), VOCAB),
    ],
    ids=["tokenizer", "memory", "changed tokenizer", "truncation", "truncation with a setting", "encoder"],
)
def test_what_is_not_known_through_and_through_has_no_key(make):
    assert cache_key(make(), SHA256, READING) is None


def test_a_tokenizer_that_samples_has_no_key(sentencepiece_encoder):
    assert cache_key(sentencepiece_encoder(num_best=-1, alpha=0.1), SHA256, READING) is None
