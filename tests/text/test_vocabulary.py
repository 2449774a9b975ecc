"""Vocabularies from the files that BERT checkpoints bring."""

import json
import os

import gluonnlp as nlp
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.errors import CheckpointError
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces, read_vocabulary, read_wordpieces, wordpiece_vocab

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, "the", "a", "##s", ".", "cat"]


@pytest.fixture
def write(tmp_path):
    """Writes a vocabulary of the given content (str or bytes) and returns its path."""

    def write_file(content, name="vocab.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def complaint(read, path, *args):
    """The one line that reading `path` fails with."""
    with pytest.raises(CheckpointError) as info:
        read(path, *args)
    message = str(info.value)
    assert message.startswith(str(path)) and len(message.splitlines()) == 1
    return message


def lines(tokens):
    return "".join(f"{token}\n" for token in tokens)


# WordPiece ----------------------------------------------------------------------------------------------------------


def test_the_index_of_a_token_is_its_line(write):
    vocab = read_wordpieces(write(lines(TOKENS)))
    assert isinstance(vocab, nlp.vocab.BERTVocab)
    assert vocab.idx_to_token == TOKENS
    assert vocab[TOKENS] == list(range(10))


def test_the_special_tokens_may_be_on_any_line(write):
    tokens = TOKENS[::-1]
    vocab = read_wordpieces(write(lines(tokens)))
    assert vocab.idx_to_token == tokens
    assert [vocab[getattr(vocab, f"{name}_token")] for name in ("padding", "unknown", "cls", "sep", "mask")] == [
        tokens.index(token) for token in SPECIAL
    ]


def test_what_is_not_in_the_vocabulary_is_unknown(write):
    vocab = read_wordpieces(write(lines(TOKENS[5:] + SPECIAL)))
    assert vocab["zebra"] == vocab["[UNK]"] == 6


@given(st.lists(st.text(max_size=5), unique=True), st.randoms())
@settings(max_examples=60)
def test_every_order_of_every_tokens_is_kept(tokens, random):
    tokens = list(dict.fromkeys([*SPECIAL, *tokens]))
    random.shuffle(tokens)
    vocab = wordpiece_vocab(tokens)
    assert vocab.idx_to_token == tokens
    assert vocab[tokens] == list(range(len(tokens)))


def test_a_vocabulary_survives_gluonnlps_own_format(write):
    vocab = read_wordpieces(write(lines(TOKENS[::-1])), size=12)
    copy = nlp.vocab.BERTVocab.from_json(vocab.to_json())
    assert copy.idx_to_token == vocab.idx_to_token
    assert copy.padding_token == "[PAD]"


@pytest.mark.parametrize(
    "content",
    [lines(TOKENS).rstrip("\n"), lines(TOKENS).replace("\n", "\r\n")],
    ids=["no newline at the end", "CRLF"],
)
def test_the_end_of_a_line_is_no_part_of_the_token(write, content):
    assert read_wordpieces(write(content)).idx_to_token == TOKENS


@pytest.mark.parametrize("token", ["\u2028", "\x85", "a\u2028b", "\x0c", "é", "中", " ", "\ufeff"], ids=ascii)
def test_only_a_newline_ends_a_token(write, token):
    assert read_wordpieces(write(lines([*TOKENS, token, "end"])))[[token, "end"]] == [10, 11]


def test_a_vocabulary_is_filled_up_to_the_size_of_the_weights(write):
    vocab = read_wordpieces(write(lines(TOKENS)), size=13)
    assert len(vocab) == 13
    assert vocab.idx_to_token[:10] == TOKENS
    assert vocab[vocab.idx_to_token] == list(range(13))


def test_a_vocabulary_of_the_right_size_stays_as_it_is(write):
    assert read_wordpieces(write(lines(TOKENS)), size=10).idx_to_token == TOKENS


def test_a_vocabulary_larger_than_the_weights_is_an_error(write):
    assert "has 10 tokens, the weights are for 9" in complaint(read_wordpieces, write(lines(TOKENS)), 9)


@pytest.mark.parametrize("token", SPECIAL)
def test_a_missing_special_token_is_an_error_that_names_it(write, token):
    path = write(lines(other for other in TOKENS if other != token))
    assert f"has no token {token}: it is not a BERT vocabulary" in complaint(read_wordpieces, path)


def test_an_empty_file_is_no_vocabulary(write):
    assert "has no token [PAD], [UNK], [CLS], [SEP], [MASK]" in complaint(read_wordpieces, write(""))


def test_of_a_token_that_is_there_twice_the_last_line_counts(write, caplog):
    path = write(lines([*TOKENS, "new", "the", "cat"]))
    vocab = read_wordpieces(path)
    assert vocab[["new", "the", "cat"]] == [10, 11, 12] and len(vocab) == 13
    assert [vocab.idx_to_token[i] for i in (5, 9)] == ["[unused-5]", "[unused-9]"]
    assert caplog.messages == [f"{path}: lines never looked up: 2, first line 6 ('the' is there again on line 12)"]


def test_blank_lines_keep_their_numbers_but_not_at_the_end(write, caplog):
    vocab = read_wordpieces(write(lines([*TOKENS, "", "end", "", ""])))
    assert vocab["end"] == 11 and len(vocab) == 12 and vocab[""] == vocab["[UNK]"]
    assert caplog.messages[0].endswith("lines never looked up: 1, first line 11 (it is blank)")


def test_a_byte_order_mark_is_no_part_of_the_first_token(write):
    assert read_wordpieces(write(b"\xef\xbb\xbf" + lines(TOKENS).encode())).idx_to_token == TOKENS


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        (["\u2581two", "\u2581birds", "##s"], "SentencePiece"),
        (["two", "\u0120birds", "\u0120sing"], "byte-level BPE"),
        (["bi@@", "rds"], "BPE"),
        (["bi", "rds</w>"], "BPE"),
    ],
)
def test_pieces_of_another_kind_are_an_error_in_every_format(write, pieces, kind):
    tokens = [*SPECIAL, *pieces]
    numbers = {token: i for i, token in enumerate(tokens)}
    for path in (write(lines(tokens)), write(tokenizer_json(numbers), "tokenizer.json")):
        assert f"holds pieces of {kind}, such as" in complaint(read_wordpieces, path)
    written = wordpiece_vocab(tokens).to_json()
    assert f"holds pieces of {kind}, such as" in complaint(read_vocabulary, write(written, "mine.vocab"))


def test_a_wordpiece_vocabulary_may_have_such_letters_too(write):
    tokens = [*TOKENS, "\u2581", "\u2581a", "\u0120", "\u0120u"]
    assert read_wordpieces(write(lines(tokens))).idx_to_token == tokens


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        ("[PAD]\n[UNK]\n".encode("utf-16"), "UTF-16 text"),
    ],
)
def test_another_file_is_named_for_what_it_is(write, content, what):
    assert f" is {what}" in complaint(read_wordpieces, write(content))
    assert f" is {what}" in complaint(read_sentencepieces, write(content, "spiece.model"))


def test_bytes_that_are_no_utf8_are_an_error(write):
    path = write(lines(TOKENS).encode() + b"caf\xe9\n")
    assert "is not valid UTF-8" in complaint(read_wordpieces, path)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    assert "No such file" in complaint(read_wordpieces, tmp_path / "vocab.txt")
    assert "Is a directory" in complaint(read_wordpieces, tmp_path)


# WordPiece in a tokenizer.json ----------------------------------------------------------------------------------------


def tokenizer_json(vocab, **model):
    return json.dumps({"version": "1.0", "model": {"type": "WordPiece", "vocab": vocab, **model}})


def test_the_index_of_a_token_is_its_number_in_the_tokenizer(write):
    tokens = [*TOKENS[::-1], "é", "\u2028"]
    numbers = {token: i for i, token in enumerate(tokens)}
    vocab = read_wordpieces(write(tokenizer_json(dict(sorted(numbers.items()))), "tokenizer.json"))
    assert vocab.idx_to_token == tokens


def test_a_tokenizers_vocabulary_is_filled_up_and_checked_as_any_other(write):
    numbers = {token: i for i, token in enumerate(TOKENS)}
    assert len(read_wordpieces(write(tokenizer_json(numbers), "tokenizer.json"), size=13)) == 13
    path = write(tokenizer_json({"the": 0, "[UNK]": 1}), "tokenizer.json")
    assert "has no token [PAD], [CLS], [SEP], [MASK]" in complaint(read_wordpieces, path)


@pytest.mark.parametrize(
    "content",
    [
        tokenizer_json({token: -i for i, token in enumerate(TOKENS)}),
        tokenizer_json(dict(zip(TOKENS, TOKENS))),
        tokenizer_json({**dict.fromkeys(TOKENS, 0), "the": None}),
        tokenizer_json([[token, 0.0] for token in TOKENS], type="Unigram"),
        tokenizer_json({token: i for i, token in enumerate(TOKENS)}, type="BPE"),
        tokenizer_json(None),
        '{"model": {}}',
        '{"model": "WordPiece"}',
        "{}",
        "[]",
        "null",
    ],
)
def test_a_tokenizer_without_a_wordpiece_vocabulary_is_an_error(write, content):
    assert "does not hold a WordPiece vocabulary" in complaint(read_wordpieces, write(content, "tokenizer.json"))


def test_numbers_that_no_token_of_a_tokenizer_has_stay_free(write):
    path = write(tokenizer_json({token: 2 * i for i, token in enumerate(TOKENS)}), "tokenizer.json")
    vocab = read_wordpieces(path)
    assert vocab[TOKENS] == list(range(0, 20, 2)) and len(vocab) == 19
    assert "gives two tokens the same id" in complaint(
        read_wordpieces, write(tokenizer_json(dict.fromkeys(TOKENS, 0)), "tokenizer.json")
    )


@pytest.mark.parametrize("content", ["", "{", lines(TOKENS)])
def test_a_tokenizer_that_is_no_json_is_an_error(write, content):
    assert "is not valid JSON" in complaint(read_wordpieces, write(content, "tokenizer.json"))


# SentencePiece ------------------------------------------------------------------------------------------------------

BERT_SYMBOLS = {"user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"], "bos_id": -1, "eos_id": -1}


@pytest.fixture
def train(tmp_path, train_sentencepiece):
    """Trains a tiny SentencePiece model with the given settings and returns its path."""

    def train_model(**settings):
        sentences = ["the man is sleeping", "two dogs are running", "a woman walks in the park"] * 5
        return train_sentencepiece(tmp_path / "spiece.model", sentences, 60, settings)

    return train_model


def pieces(path):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(i) for i in range(len(processor))]


def test_the_index_of_a_piece_is_its_id_in_the_model(train):
    path = train(pad_id=0, pad_piece="[PAD]", unk_id=1, unk_piece="[UNK]", **BERT_SYMBOLS)
    vocab, special_tokens = read_sentencepieces(path)
    assert isinstance(vocab, nlp.vocab.BERTVocab)
    assert vocab.idx_to_token == pieces(path)
    assert special_tokens == {}
    assert (vocab.padding_token, vocab.unknown_token) == ("[PAD]", "[UNK]")
    assert (vocab.cls_token, vocab.sep_token, vocab.mask_token) == ("[CLS]", "[SEP]", "[MASK]")


def test_the_models_own_names_of_padding_and_unknown_are_taken(train):
    vocab, special_tokens = read_sentencepieces(train(pad_id=3, unk_id=0, **BERT_SYMBOLS))
    assert special_tokens == {}
    assert (vocab.padding_token, vocab[vocab.padding_token]) == ("<pad>", 3)
    assert (vocab.unknown_token, vocab["zebra"]) == ("<unk>", 0)


def test_padding_may_be_an_ordinary_piece(train):
    path = train(user_defined_symbols=["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    vocab, special_tokens = read_sentencepieces(path)
    assert special_tokens == {"padding_token": "[PAD]"}
    assert vocab.padding_token == "[PAD]"
    assert vocab.idx_to_token == pieces(path)


def test_what_it_had_to_be_told_makes_gluonnlp_read_the_same_vocabulary(train):
    path = train(user_defined_symbols=["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    vocab, special_tokens = read_sentencepieces(path)
    again = nlp.vocab.BERTVocab.from_sentencepiece(str(path), **special_tokens)
    assert again.idx_to_token == vocab.idx_to_token
    assert again.padding_token == vocab.padding_token


@pytest.mark.parametrize("token", ["[CLS]", "[SEP]", "[MASK]", "[PAD]"])
def test_a_model_without_berts_symbols_is_an_error_that_names_them(train, token):
    symbols = [symbol for symbol in ("[PAD]", "[CLS]", "[SEP]", "[MASK]") if symbol != token]
    path = train(user_defined_symbols=symbols)
    assert f"has no piece {token}: it was not trained for a BERT" in complaint(read_sentencepieces, path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 100, lines(TOKENS).encode()])
def test_a_file_that_is_no_model_is_an_error(write, content):
    assert "is not a SentencePiece model" in complaint(read_sentencepieces, write(content))


def test_half_a_model_is_an_error(train):
    path = train(**BERT_SYMBOLS)
    os.truncate(path, path.stat().st_size // 2)
    assert "is not a SentencePiece model" in complaint(read_sentencepieces, path)


def test_a_model_that_is_not_there_is_an_error(tmp_path):
    assert "No such file" in complaint(read_sentencepieces, tmp_path / "spiece.model")
    assert "Is a directory" in complaint(read_sentencepieces, tmp_path)


# Any of them ----------------------------------------------------------------------------------------------------------


def test_every_file_is_read_as_what_it_is(write, train):
    index = {token: i for i, token in enumerate(TOKENS)}
    written = wordpiece_vocab(TOKENS).to_json()
    files = [
        write(lines(TOKENS)),
        write(lines(TOKENS), "tokens"),
        write(json.dumps({"model": {"type": "WordPiece", "vocab": index}}), "tokenizer.json"),
        write(written, "mine.json"),
        write(written, "mine.vocab"),
    ]
    for path in files:
        vocab, special_tokens = read_vocabulary(path)
        assert vocab.idx_to_token == TOKENS and special_tokens == {}
    path = train(user_defined_symbols=["[CLS]", "[SEP]", "[MASK]", "[PAD]"])
    assert read_vocabulary(path)[0].idx_to_token == read_sentencepieces(path)[0].idx_to_token


def test_gluonnlps_json_may_have_special_tokens_of_other_names(write):
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens(["a"]), padding_token="<pad>", unknown_token="<unk>")
    read, _ = read_vocabulary(write(vocab.to_json(), "mine.vocab"))
    assert (read.idx_to_token, read.padding_token) == (vocab.idx_to_token, "<pad>")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        lines(TOKENS),
        "[]",
        '{"token_to_idx": null}',
        '{"token_to_idx": {"a": 0, "b": 2}}',
        '{"token_to_idx": {"a": "0"}}',
    ],
)
def test_a_vocabulary_that_gluonnlp_did_not_write_is_an_error(write, content):
    assert "does not hold a vocabulary as GluonNLP's to_json writes it" in complaint(
        read_vocabulary, write(content, "mine.vocab")
    )


def test_another_vocabulary_of_gluonnlps_is_an_error(write):
    plain = nlp.Vocab(nlp.data.count_tokens(["a"])).to_json()
    assert "no token [CLS], [SEP], [MASK]: it is not a BERT" in complaint(read_vocabulary, write(plain, "mine.json"))


def test_the_json_of_a_sentencepiece_vocabulary_cannot_tokenize(train, write):
    written = read_sentencepieces(train(user_defined_symbols=["[CLS]", "[SEP]", "[MASK]", "[PAD]"]))[0].to_json()
    assert "give the SentencePiece model itself" in complaint(read_vocabulary, write(written, "mine.vocab"))


@pytest.mark.parametrize("name", ["a.vocab", "a.json", "a.txt", "a.model", "a.spiece"])
def test_a_vocabulary_that_is_not_there_is_an_error(tmp_path, name):
    assert "No such file" in complaint(read_vocabulary, tmp_path / name)
