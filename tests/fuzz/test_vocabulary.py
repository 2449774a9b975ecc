"""Vocabularies: vocab.txt, tokenizer.json, GluonNLP's JSON, SentencePiece models."""

import json
from pathlib import Path

import gluonnlp as nlp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.formats.huggingface.tokenizer import establish
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary

BYTE_PAIRS = Path(__file__).parents[1] / "formats" / "golden" / "roberta"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "."]
INDEX = {token: i for i, token in enumerate(TOKENS)}
TOKENIZER = {"version": "1.0", "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": INDEX}}


@pytest.fixture(scope="module")
def gluonnlp_json():
    return json.loads(nlp.vocab.BERTVocab(nlp.data.count_tokens(TOKENS), token_to_idx=INDEX).to_json())


@settings.get_profile("fuzz")
@given(data=st.data(), size=st.sampled_from([None, 9, 12, 4]))
def test_a_vocab_txt_has_a_token_a_line(data, damage, lawful, tmp_path, size):
    from gluonnlp_snli_plugin.text.vocabulary import read_wordpieces

    path = tmp_path / "vocab.txt"
    lines = st.lists(st.one_of(damage.text(), st.just("[unused-9]")), max_size=3).map(lambda more: TOKENS + more)
    whole = lines.map(lambda tokens: ("\n".join(tokens) + "\n").encode("utf-8", "surrogatepass"))
    content = data.draw(st.one_of(whole, damage.content("\n".join(TOKENS).encode())))
    path.write_bytes(content)
    vocab = lawful(lambda: read_wordpieces(path, size), path)
    if vocab is None:
        return
    lines = content.decode().replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    numbers = {line: i for i, line in enumerate(lines) if line}  # of a token that is there twice, the last line
    assert {token: vocab[token] for token in numbers} == numbers
    assert len(vocab) == (size or len(lines)) == len(set(vocab.idx_to_token))
    assert vocab[vocab.idx_to_token] == list(range(len(vocab)))


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_tokenizer_json_numbers_its_tokens(data, damage, lawful, tmp_path):
    path = tmp_path / "tokenizer.json"
    content = data.draw(damage.json_bytes(TOKENIZER, more=["\ud800", 9, 9.0, {"a": 0}]))
    path.write_bytes(content)
    result = lawful(lambda: read_vocabulary(path), path)
    if result is not None:
        index = json.loads(content)["model"]["vocab"]
        assert {token: result[0][token] for token in index} == index and len(result[0]) == len(index)


@settings.get_profile("fuzz")
@given(data=st.data(), name=st.sampled_from(["bert.vocab", "bert.json"]))
def test_gluonnlps_json_numbers_its_tokens(data, damage, lawful, tmp_path, gluonnlp_json, name):
    path = tmp_path / name
    content = data.draw(damage.json_bytes(gluonnlp_json, more=["\ud800", 9, True, "a", ["a", "b"]]))
    path.write_bytes(content)
    result = lawful(lambda: read_vocabulary(path), path)
    if result is not None:
        vocab, index = result[0], json.loads(content)["token_to_idx"]
        assert {token: vocab[token] for token in index} == index and len(vocab) == len(index)
        assert vocab.idx_to_token == sorted(index, key=index.__getitem__)
        assert vocab.to_json().encode()


@settings.get_profile("fuzz")
@given(data=st.data(), name=st.sampled_from(["vocab.json", "merges.txt", "tokenizer.json", "own.vocab"]))
def test_a_byte_level_vocabulary_encodes_text(data, damage, lawful, tmp_path, name):
    pytest.importorskip("tokenizers")
    for file in ("vocab.json", "merges.txt", "tokenizer.json"):
        (tmp_path / file).write_bytes((BYTE_PAIRS / file).read_bytes())
    (tmp_path / "own.vocab").write_text(read_vocabulary(BYTE_PAIRS / "vocab.json")[0].to_json())
    content = (tmp_path / name).read_bytes()
    more = ["\ud800", 9, True, "a", ["a", "b"], {"type": "ByteLevel"}]
    damaged = damage.content(content) if name.endswith("txt") else damage.json_bytes(json.loads(content), more=more)
    (tmp_path / name).write_bytes(data.draw(damaged))
    for read in (tmp_path / ("vocab.json" if name.endswith("txt") else name), None):
        result = lawful(lambda: read_vocabulary(read) if read else establish(tmp_path), tmp_path)  # noqa: B023
        if result is not None:
            vocab = result[0]
            ids = bert_tokenizer(vocab, TokenizerSettings.of(vocab, lower=False)).ids("a dog  <mask> 犬 isn't")
            assert all(0 <= i < len(vocab) for i in ids) and vocab.to_json().encode()


@pytest.mark.parametrize("suffix", [".txt", ".json", ".vocab", ".model", ".spiece"])
def test_a_name_that_can_be_none_is_an_error(damage, lawful, tmp_path, suffix):
    for name in [*damage.nasty.values(), "a" * 5000]:
        path = tmp_path / (name.lstrip("/") + suffix)
        shown = path if str(path).isprintable() else None
        assert lawful(lambda: read_vocabulary(path), shown) is None  # noqa: B023


# SentencePiece, whose reader and tokenizer are C++ --------------------------------------------------------------------


@pytest.fixture(scope="module")
def pieces(train_sentencepiece, tmp_path_factory):
    path = tmp_path_factory.mktemp("pieces") / "pieces.model"
    return train_sentencepiece(path, ["a man is sleeping outside", "the woman eats", "two dogs run"] * 20).read_bytes()


@example(b"")
@settings.get_profile("fuzz")
@given(st.binary(max_size=60))
def test_any_bytes_are_no_sentencepiece_model(worker, tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.model"
    path.write_bytes(content)
    assert worker("vocabulary", path) is None


@settings.get_profile("fuzz")
@given(data=st.data(), suffix=st.sampled_from([".model", ".spiece"]))
def test_a_sentencepiece_model_gives_ids_of_its_pieces(data, damage, worker, tmp_path, pieces, suffix):
    path = tmp_path / f"pieces{suffix}"
    path.write_bytes(data.draw(damage.content(pieces)))
    texts = data.draw(st.lists(damage.text(), max_size=3))
    found = worker("vocabulary", path, texts=["a man is sleeping", "\u4e2d x", *texts])
    if found is not None:
        size = len(found["tokens"])
        assert len(set(found["tokens"])) == size and all(0 <= i < size for i in found["special"])
        assert all(0 <= i < size for ids in found["ids"] for i in ids)


@settings.get_profile("fuzz")
@given(
    place=st.floats(0.7, 0.99), size=st.sampled_from([1, 4, 64, 4000]), byte=st.sampled_from([0, 1, 0x41, 0xC3, 0xFF])
)
def test_a_damaged_table_of_characters_is_noticed_at_last_when_it_is_used(worker, tmp_path, pieces, place, size, byte):
    path = tmp_path / "pieces.model"
    start = int(place * len(pieces))
    path.write_bytes(pieces[:start] + bytes([byte]) * size + pieces[start + size :])
    ranges = [
        range(0xA0, 0x250),
        range(0x2460, 0x2500),
        range(0x3300, 0x3400),
        range(0xF900, 0xFA00),
        range(0xFF00, 0xFF60),
    ]
    texts = ["".join(map(chr, numbers)) for numbers in ranges]
    found = worker("vocabulary", path, texts=texts)
    if found is not None:
        assert all(0 <= i < len(found["tokens"]) for ids in found["ids"] for i in ids)


def test_a_sentencepiece_model_takes_every_text(damage, worker, tmp_path, pieces):
    path = tmp_path / "pieces.model"
    path.write_bytes(pieces)
    for text in [*damage.nasty.values(), *damage.long.values()]:
        found = worker("vocabulary", path, texts=[text], mebibytes=700)
        assert all(0 <= i < len(found["tokens"]) for i in found["ids"][0])
