"""The vocabulary of a checkpoint in Hugging Face's layout: vocab.txt, tokenizer.json or a SentencePiece model."""

import json
import re

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
import sentencepiece

from gluonnlp_snli_plugin import import_bert, store

# vocab.txt ----------------------------------------------------------------------------------------------------------


def test_a_missing_vocabulary_is_named(folder, root, refused):
    (folder / "vocab.txt").unlink()
    refused(folder, root, f"^{re.escape(str(folder))} has no vocabulary: none of vocab.txt, ")


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda tokens: [*tokens, "more"], "has 78 tokens, the weights are for 77"),
        (lambda tokens: tokens[5:], r"has no token \[PAD\], \[UNK\], \[CLS\], \[SEP\], \[MASK\]"),
        (lambda tokens: [token for token in tokens if token != "[MASK]"], r"has no token \[MASK\]: it is not a BERT"),
        (lambda tokens: [], r"has no token \[PAD\]"),
    ],
    ids=["too long", "no special tokens", "no mask", "empty"],
)
def test_a_vocabulary_that_cannot_be_is_named(folder, root, change, match, refused):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in change(path.read_text().split())))
    assert str(path) in refused(folder, root, match)


def test_a_vocabulary_that_is_no_utf_8_is_named(folder, root, refused):
    with open(folder / "vocab.txt", "ab") as file:
        file.write(b"\xff\n")
    refused(folder, root, "vocab.txt is not valid UTF-8")


def test_line_ends_and_strange_tokens_do_not_shift_the_numbers(folder, root, build):
    tokens = (folder / "vocab.txt").read_text().split()
    tokens[10:14] = ["\u00e9", "\u2028", "\x85", "[unused-76]"]  # two line separators that are no line ends here
    (folder / "vocab.txt").write_bytes("\r\n".join(tokens).encode())
    _, vocab = build(import_bert(folder, "mine_uncased", root=root), root)
    assert vocab.idx_to_token == tokens


def test_the_vocabulary_of_a_tokenizer_json_is_that_of_vocab_txt(folder, root):
    tokens = (folder / "vocab.txt").read_text().split()
    with_text = import_bert(folder, "text_uncased", root=root)
    (folder / "vocab.txt").unlink()
    write_tokenizer_json(folder, {token: i for i, token in reversed(list(enumerate(tokens)))})
    assert import_bert(folder, "json_uncased", root=root).vocab_sha1 == with_text.vocab_sha1


@pytest.mark.parametrize(
    "vocab, match",
    [
        (None, "does not hold a WordPiece vocabulary"),
        (["a"], "does not hold a WordPiece vocabulary"),
        ({"a": 0, "b": "1"}, "does not hold a WordPiece vocabulary"),
        ({"a": 0, "b": -1}, "does not hold a WordPiece vocabulary"),
        ({"a": 0, "b": 1 << 40}, "does not hold a WordPiece vocabulary"),
        ({"a": 0, "b": 0}, "gives two tokens the same id"),
        ({"a": 0}, r"has no token \[PAD\]"),
        ({"\ud800": 0}, "does not hold a WordPiece vocabulary"),
    ],
)
def test_a_vocabulary_in_a_tokenizer_json_that_cannot_be_is_named(folder, root, vocab, match, refused):
    (folder / "vocab.txt").unlink()
    write_tokenizer_json(folder, vocab)
    refused(folder, root, f"tokenizer.json {match}")


def write_tokenizer_json(folder, vocab):
    """Write a tokenizer.json of a BERT for lower-cased text."""
    content = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": vocab},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))


def test_names_that_are_taken_do_not_keep_a_vocabulary_from_being_filled_up(folder, root, build):
    path = folder / "vocab.txt"
    tokens = path.read_text().split()
    tokens = [*tokens[:-2], f"[unused-{len(tokens) - 1}]"]
    path.write_text("\n".join(tokens) + "\n")
    _, vocab = build(import_bert(folder, "mine_uncased", root=root), root)
    assert vocab.idx_to_token[:-1] == tokens and len(set(vocab.idx_to_token)) == len(tokens) + 1


# SentencePiece ------------------------------------------------------------------------------------------------------


@pytest.fixture
def spiece_folder(folder, train_sentencepiece, edit_config, edit_tensors):
    """The tiny BERT with a SentencePiece vocabulary."""
    sentences = ["a man is sleeping outside", "the woman eats", "two dogs run in the park", "nobody is awake"]
    model = train_sentencepiece(folder / "spiece.model", sentences * 20)
    (folder / "vocab.txt").unlink()
    size = sentencepiece.SentencePieceProcessor(model_file=str(model)).GetPieceSize()
    edit_config(folder, vocab_size=size)
    edit_tensors(
        folder, embeddings__word_embeddings__weight=np.random.default_rng(1).normal(size=(size, 16)).astype("f")
    )
    return folder


def test_a_sentencepiece_vocabulary_is_imported(spiece_folder, root, build):
    checkpoint = import_bert(spiece_folder, "pieces_uncased", root=root)
    assert checkpoint.vocab_extension == ".spiece"
    net, vocab = build(checkpoint, root)
    path = store.spiece("pieces_uncased", root)
    assert path.read_bytes() == (spiece_folder / "spiece.model").read_bytes()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    tokenizer = nlp.data.BERTSPTokenizer(str(path), vocab, lower=True)
    tokens = tokenizer("A MAN is sleeping in the park")
    ids = vocab[tokens]
    assert tokens == pieces.EncodeAsPieces("a man is sleeping in the park")
    assert ids == pieces.EncodeAsIds("a man is sleeping in the park")
    assert (vocab.padding_token, vocab.unknown_token, vocab.cls_token) == ("[PAD]", "[UNK]", "[CLS]")
    ids = mx.nd.array([vocab[["[CLS]"]] + ids[:3] + vocab[["[SEP]"]]])
    assert np.isfinite(net(ids, mx.nd.zeros_like(ids), mx.nd.array([5]))[1].asnumpy()).all()


def test_a_sentencepiece_vocabulary_of_another_size_is_named(spiece_folder, root, edit_config, edit_tensors, refused):
    size = edit_config(spiece_folder)["vocab_size"]
    edit_config(spiece_folder, vocab_size=size + 1)
    edit_tensors(spiece_folder, embeddings__word_embeddings__weight=np.zeros((size + 1, 16), np.float32))
    refused(spiece_folder, root, f"spiece.model has {size} pieces, the weights are for {size + 1}")


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_what_is_no_sentencepiece_model_is_named(spiece_folder, root, content, refused):
    (spiece_folder / "spiece.model").write_bytes(content)
    refused(spiece_folder, root, "spiece.model is not a SentencePiece model")


def test_a_sentencepiece_model_without_bert_tokens_is_named(spiece_folder, root, train_sentencepiece, refused):
    train_sentencepiece(spiece_folder / "spiece.model", ["a man is sleeping", "the woman eats"] * 20, 30, settings={})
    refused(spiece_folder, root, r"spiece.model has no piece \[CLS\], \[SEP\], \[MASK\]")
