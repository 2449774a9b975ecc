"""Checkpoints in Hugging Face's layout: the outputs of `transformers`, or one line that says what is wrong where."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
import sentencepiece
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import import_bert, store
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError

GOLDEN = Path(__file__).parent / "golden"  # made by make_golden.py, with transformers
PARTS = {  # variant -> what the weights have besides the encoder
    "base": ["pooler"],
    "pretraining": ["pooler", "decoder", "classifier"],
    "masked_lm": ["decoder"],
    "sequence_classification": ["pooler"],
    "relu": ["pooler"],
    "gamma_beta": ["pooler", "classifier"],  # with gelu_new, which GluonNLP's decoder does not have
    "float16": ["pooler"],  # and a vocab.txt shorter than the embedding
    "bfloat16": ["decoder"],
}


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny BERT, to be spoilt."""
    return Path(shutil.copytree(str(tiny_bert), str(tmp_path / "checkpoint")))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


def edit_config(folder, **changes):
    """Change entries of config.json; those that are None go."""
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    return config


def edit_tensors(folder, **changes):
    """Change tensors, '__' in their names for '.'; those that are None go."""
    tensors = load_file(str(folder / "model.safetensors"))
    tensors.update({name.replace("__", "."): tensor for name, tensor in changes.items()})
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if tensor is not None}
    save_file(tensors, str(folder / "model.safetensors"))


def with_masked_lm(folder, **changes):
    """Add the head of BertForMaskedLM, whose decoder is tied to the word embedding."""
    word_embedding = load_file(str(folder / "model.safetensors"))["embeddings.word_embeddings.weight"]
    head = {
        "cls__predictions__bias": np.zeros(len(word_embedding), np.float32),
        "cls__predictions__decoder__weight": word_embedding,
        "cls__predictions__transform__dense__weight": np.eye(16, dtype=np.float32),
        "cls__predictions__transform__dense__bias": np.zeros(16, np.float32),
        "cls__predictions__transform__LayerNorm__weight": np.ones(16, np.float32),
        "cls__predictions__transform__LayerNorm__bias": np.zeros(16, np.float32),
    }
    edit_tensors(folder, **{**head, **changes})


def build(checkpoint, root, **kwargs):
    kwargs = {"use_decoder": False, "use_classifier": False, **kwargs}
    return nlp.model.get_model(
        checkpoint.backbone, dataset_name=checkpoint.dataset_name, root=str(root), pretrained=True, **kwargs
    )


def encode(net):
    """Encoding of a few tokens, enough to tell two networks apart."""
    return net(mx.nd.array([[2, 5, 6, 7, 3]]), mx.nd.zeros((1, 5)), mx.nd.array([5]))[0].asnumpy()


def refused(folder, root, match, error=CheckpointError, name="mine_uncased", **kwargs):
    """Assert that the import is refused in one line, and leaves nothing behind; returns the line."""
    before = listing(root)
    with pytest.raises(error, match=match) as caught:
        import_bert(folder, name, root=root, **kwargs)
    assert "\n" not in str(caught.value)
    assert listing(root) == before
    return str(caught.value)


def listing(root):
    """What is in the store, without its lock file."""
    return sorted(path.name for path in root.glob("*") if not path.name.endswith(".lock"))


# The outputs of transformers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", PARTS)
def test_outputs_are_those_of_transformers(variant, tmp_path):
    folder = Path(shutil.copytree(str(GOLDEN / variant), str(tmp_path / variant)))
    shutil.copy(str(GOLDEN / "vocab.txt"), str(folder))
    with np.load(str(GOLDEN / "expected.npz")) as golden:
        valid_lengths, masked_positions = golden["valid_lengths"], golden["masked_positions"]
        expected = {name.split("/")[1]: golden[name] for name in golden.files if name.startswith(f"{variant}/")}
    checkpoint = import_bert(folder, "golden_uncased", root=tmp_path / "models")
    if "pooler" not in PARTS[variant]:
        assert checkpoint.parts == ["pooler", *PARTS[variant]]  # a new one
    else:
        assert checkpoint.parts == PARTS[variant]

    decoder, classifier = "decoder" in PARTS[variant], "classifier" in PARTS[variant]
    net, vocab = build(checkpoint, tmp_path / "models", use_decoder=decoder, use_classifier=classifier)
    inputs = [mx.nd.array(array, dtype=array.dtype) for array in (expected.pop("ids"), expected.pop("segments"))]
    inputs.append(mx.nd.array(valid_lengths))
    if decoder:
        inputs.append(mx.nd.array(masked_positions))
    names = ["sequence", "pooled"] + ["nsp"] * classifier + ["mlm"] * decoder
    outputs = dict(zip(names, net(*inputs)))

    assert len(vocab) == net.word_embed[0].weight.shape[0]
    if not decoder:
        expected.pop("mlm", None)
    assert {"sequence", *expected} == {"sequence", *names} - ({"pooled"} if "pooler" not in PARTS[variant] else set())
    for name, wanted in expected.items():
        np.testing.assert_allclose(outputs[name].asnumpy(), wanted, rtol=0, atol=1e-4, err_msg=name)


def test_a_shorter_vocabulary_is_filled_up_to_the_embedding(folder, root):
    tokens = (folder / "vocab.txt").read_text().split()
    edit_config(folder, vocab_size=len(tokens) + 3)
    word_embedding = load_file(str(folder / "model.safetensors"))["embeddings.word_embeddings.weight"]
    edit_tensors(folder, embeddings__word_embeddings__weight=np.pad(word_embedding, [(0, 3), (0, 0)]))
    _, vocab = build(import_bert(folder, "mine_uncased", root=root), root)
    assert vocab.idx_to_token[: len(tokens)] == tokens and len(vocab) == len(tokens) + 3


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "gelu_pytorch_tanh"])
def test_the_activation_is_that_of_the_config(folder, root, activation):
    stock = encode(build(import_bert(folder, "stock_uncased", root=root), root)[0])
    edit_config(folder, hidden_act=activation)
    with_masked_lm(folder)
    checkpoint = import_bert(folder, "mine_uncased", root=root)
    assert abs(encode(build(checkpoint, root)[0]) - stock).max() > 1e-7
    assert checkpoint.parts == ["pooler"]  # GluonNLP's decoder always has the exact GELU


def test_hyper_parameters_that_a_caller_overrides_do_not_hide_those_of_the_checkpoint(folder, root):
    edit_config(folder, hidden_act="relu")
    checkpoint = import_bert(folder, "mine_uncased", root=root)
    plain, _ = build(checkpoint, root)
    other, _ = build(checkpoint, root, hparam_allow_override=True, num_heads=2)
    np.testing.assert_array_equal(encode(other), encode(plain))
    with pytest.raises(AssertionError, match="Cannot override"):
        build(checkpoint, root, num_heads=2)


def test_a_decoder_of_its_own_is_left_out(folder, root):
    with_masked_lm(folder)
    assert import_bert(folder, "tied_uncased", root=root).parts == ["pooler", "decoder"]
    with_masked_lm(folder, cls__predictions__decoder__weight=np.zeros((77, 16), np.float32))
    assert import_bert(folder, "untied_uncased", root=root).parts == ["pooler"]


def test_a_missing_pooler_is_made_anew_the_same_each_time(folder, root, caplog):
    edit_tensors(folder, pooler__dense__weight=None, pooler__dense__bias=None)
    first = import_bert(folder, "one_uncased", root=root)
    assert "has no pooler" in caplog.text
    assert import_bert(folder, "two_uncased", root=root).weights_sha1 == first.weights_sha1


def test_a_missing_decoder_is_named_by_get_model(folder, root):
    checkpoint = import_bert(folder, "mine_uncased", root=root)
    with pytest.raises(CheckpointError, match="bert_2_16_2_mine_uncased has no decoder: .*use_decoder=False"):
        nlp.model.get_model("bert_2_16_2", dataset_name="mine_uncased", root=str(root), pretrained=True)
    with pytest.raises(CheckpointError, match="has no classifier: .*use_classifier=False"):
        build(checkpoint, root, use_classifier=True)


# config.json --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["roberta", "distilbert", "albert"])
def test_other_architectures_are_refused_by_name(folder, root, architecture):
    edit_config(folder, model_type=architecture)
    refused(folder, root, f"config.json: the architecture is '{architecture}'; only 'bert'")


def test_a_config_without_model_type_is_known_by_its_model_class(folder, root):
    edit_config(folder, model_type=None, architectures=["RobertaForMaskedLM"])
    refused(folder, root, "config.json: the architecture is 'RobertaForMaskedLM'; only 'bert'")
    edit_config(folder, architectures=["BertForMaskedLM"])
    import_bert(folder, "mine_uncased", root=root)


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"vocab_size": "77"}, "vocab_size is '77'"),
        ({"intermediate_size": True}, "intermediate_size is True"),
        ({"num_attention_heads": 3}, "cannot be divided among 3 heads"),
        ({"type_vocab_size": 1}, "type_vocab_size is 1"),
        ({"hidden_act": "silu"}, "hidden_act 'silu'"),
        ({"hidden_act": ["gelu"]}, r"hidden_act \['gelu'\]"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is set"),
        ({"layer_norm_eps": 1}, "layer_norm_eps is 1"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps is '1e-12'"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"layer_norm_eps": 5e-324}, "layer_norm_eps is 5e-324"),
        ({"model_type": None, "architectures": {"a": 1}}, r"the architecture is \{'a': 1\}"),
    ],
)
def test_a_setting_that_cannot_be_is_named(folder, root, changes, match):
    edit_config(folder, **changes)
    assert str(folder / "config.json") in refused(folder, root, match)


@pytest.mark.parametrize(
    "content, match",
    [
        (None, "is missing"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe{}", "is UTF-16 text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!doctype html><html>", "is an HTML page"),
        (b"[" * 100000, "is not valid JSON"),
        (b"[]", "is not a JSON object"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(folder, root, content, match):
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    refused(folder, root, f"{re.escape(str(folder / 'config.json'))} {match}")


@pytest.mark.parametrize("source", ["nowhere/at/all", "/nowhere"])
def test_a_folder_that_is_not_there_is_named(root, source):
    refused(source, root, f"^{source} is not a folder")


def test_a_file_in_place_of_the_folder_is_named(folder, root):
    refused(folder / "config.json", root, "config.json is not a folder")


# vocab.txt ----------------------------------------------------------------------------------------------------------


def test_a_missing_vocabulary_is_named(folder, root):
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
def test_a_vocabulary_that_cannot_be_is_named(folder, root, change, match):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in change(path.read_text().split())))
    assert str(path) in refused(folder, root, match)


def test_a_vocabulary_that_is_no_utf_8_is_named(folder, root):
    with open(folder / "vocab.txt", "ab") as file:
        file.write(b"\xff\n")
    refused(folder, root, "vocab.txt is not valid UTF-8")


def test_line_ends_and_strange_tokens_do_not_shift_the_numbers(folder, root):
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
def test_a_vocabulary_in_a_tokenizer_json_that_cannot_be_is_named(folder, root, vocab, match):
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


# SentencePiece ------------------------------------------------------------------------------------------------------


@pytest.fixture
def spiece_folder(folder, train_sentencepiece):
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


def test_a_sentencepiece_vocabulary_is_imported(spiece_folder, root):
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


def test_a_sentencepiece_vocabulary_of_another_size_is_named(spiece_folder, root):
    size = edit_config(spiece_folder)["vocab_size"]
    edit_config(spiece_folder, vocab_size=size + 1)
    edit_tensors(spiece_folder, embeddings__word_embeddings__weight=np.zeros((size + 1, 16), np.float32))
    refused(spiece_folder, root, f"spiece.model has {size} pieces, the weights are for {size + 1}")


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_what_is_no_sentencepiece_model_is_named(spiece_folder, root, content):
    (spiece_folder / "spiece.model").write_bytes(content)
    refused(spiece_folder, root, "spiece.model is not a SentencePiece model")


def test_a_sentencepiece_model_without_bert_tokens_is_named(spiece_folder, root, train_sentencepiece):
    train_sentencepiece(spiece_folder / "spiece.model", ["a man is sleeping", "the woman eats"] * 20, 30, settings={})
    refused(spiece_folder, root, r"spiece.model has no piece \[CLS\], \[SEP\], \[MASK\]")


# model.safetensors --------------------------------------------------------------------------------------------------


class _Malicious:
    """Runs a program in whoever unpickles it."""

    def __init__(self, mark):
        self._mark = mark

    def __reduce__(self):
        return (open, (str(self._mark), "w"))


def test_a_pickle_is_refused_unopened_with_the_way_to_convert_it(folder, root, tmp_path):
    mark = tmp_path / "the pickle was loaded"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Malicious(mark)))
    import_bert(folder, "both_uncased", root=root)  # beside model.safetensors it does not matter
    (folder / "model.safetensors").unlink()
    line = refused(folder, root, "pytorch_model.bin is a pickle")
    assert "from_pretrained" in line and "save_pretrained" in line
    assert not mark.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert mark.exists()  # it would have


def test_missing_weights_are_named(folder, root):
    (folder / "model.safetensors").unlink()
    refused(folder, root, "model.safetensors is missing")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:5],
        lambda content: b"",
        lambda content: b"\xff" * 200,
        lambda content: b"\x10" + b"\0" * 7 + b'{"a":\n\n\n\n\n\n\n\n\n\n\n}',
        lambda content: content + b"more",
    ],
    ids=["half", "5 bytes", "empty", "garbage", "bad header", "too long"],
)
def test_weights_that_are_no_safetensors_are_named(folder, root, spoil):
    path = folder / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    refused(folder, root, "model.safetensors is not a complete safetensors file")


@pytest.mark.parametrize(
    "name, change, match",
    [
        ("encoder.layer.1.output.dense.bias", lambda tensor: None, "no tensor {}: it is not a complete BERT"),
        ("embeddings.word_embeddings.weight", lambda tensor: None, "no tensor {}"),
        (
            "encoder.layer.0.intermediate.dense.weight",
            lambda tensor: tensor.T,
            r"{} is of shape \(16, 32\), .* \(32, 16\)",
        ),
        (
            "embeddings.position_embeddings.weight",
            lambda tensor: tensor[:9],
            r"{} is of shape \(9, 16\), .* \(64, 16\)",
        ),
        ("encoder.layer.0.output.dense.weight", lambda tensor: tensor * np.nan, "{} holds numbers that are not finite"),
        ("embeddings.LayerNorm.bias", lambda tensor: tensor + np.inf, "{} holds numbers that are not finite"),
        ("pooler.dense.weight", lambda tensor: tensor.astype(np.int8), "{} is of type I8, which is not floating point"),
    ],
)
def test_a_tensor_that_cannot_be_is_named(folder, root, name, change, match):
    tensors = load_file(str(folder / "model.safetensors"))
    edit_tensors(folder, **{name: change(tensors[name])})
    assert "model.safetensors" in refused(folder, root, match.format(re.escape(name)))


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mine", "mine_Uncased", "_uncased", "../mine_uncased", "a/b_cased", "", "mine_cased\n"]
)
def test_a_name_that_cannot_be_is_refused(folder, root, name):
    refused(folder, root, "must end in _cased or _uncased", error=UsageError, name=name)


def test_a_name_must_not_contradict_the_tokenizer(folder, root):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    line = refused(folder, root, "do_lower_case=true: .* end in _uncased", error=UsageError, name="mine_cased")
    assert str(folder / "tokenizer_config.json") in line
    import_bert(folder, "mine_uncased", root=root)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    refused(folder, root, "do_lower_case=false: .* end in _cased", error=UsageError, name="other_uncased")
    import_bert(folder, "other_cased", root=root)


def test_a_damaged_tokenizer_config_is_named(folder, root):
    (folder / "tokenizer_config.json").write_text("{")
    refused(folder, root, "tokenizer_config.json is not valid JSON")


@pytest.mark.parametrize("name", ["book_corpus_wiki_en_uncased", "wiki_multilingual_cased", "scibert_scivocab_uncased"])
def test_gluonnlps_own_names_are_refused(folder, root, name):
    refused(folder, root, f"{name} is a name of GluonNLP's own", error=UsageError, name=name)


def test_the_same_checkpoint_may_be_imported_twice(folder, root):
    first = import_bert(folder, "mine_uncased", root=root)
    files = listing(root)
    assert import_bert(folder, "mine_uncased", root=root) == first
    assert listing(root) == files


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit_tensors(folder, pooler__dense__bias=np.ones(16, np.float32)),
        lambda folder: edit_config(folder, hidden_act="relu"),
        lambda folder: (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text().replace("##z\n", "##zz\n")),
    ],
    ids=["weights", "config", "vocabulary"],
)
def test_another_checkpoint_takes_a_name_only_with_overwrite(folder, root, change):
    first = import_bert(folder, "mine_uncased", root=root)
    change(folder)
    refused(folder, root, "bert_2_16_2_mine_uncased is already in .*--overwrite", error=UsageError)
    assert store.checkpoints(root) == {first.key: first}
    second = import_bert(folder, "mine_uncased", root=root, overwrite=True)
    assert second != first and store.checkpoints(root) == {second.key: second}
    assert listing(root) == sorted([second.weights_file, second.vocab_file, store.INDEX])
    build(second, root)


def test_two_backbones_under_one_name_share_one_vocabulary(folder, root):
    large = import_bert(folder, "mine_uncased", root=root)
    edit_config(folder, num_hidden_layers=1)
    small = import_bert(folder, "mine_uncased", root=root)
    assert (small.backbone, small.vocab_file) == ("bert_1_16_2", large.vocab_file)
    assert build(large, root)[1].idx_to_token == build(small, root)[1].idx_to_token
    vocab = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(vocab.replace("##z\n", "##zz\n"))
    for overwrite in (False, True):
        match = "already in|bert_2_16_2_mine_uncased in .* has another vocabulary under the name mine_uncased"
        refused(folder, root, match, error=UsageError, overwrite=overwrite)
    edit_config(folder, num_attention_heads=4)
    refused(folder, root, "has another vocabulary under the name mine_uncased: give another --name", error=UsageError)


# The store ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"checkpoints": [{"backbone": "bert_0_0_0", "dataset_name": "a", "weights_sha1": "0", "vocab_sha1": "0"}]}',
        '{"checkpoints": [{"backbone": "bert_1_2_1", "dataset_name": "a", "weights_sha1": 5, "vocab_sha1": "0"}]}',
        '{"checkpoints": [{"backbone": null, "dataset_name": "a", "weights_sha1": "0", "vocab_sha1": "0"}]}',
    ],
)
def test_a_damaged_index_stops_an_import(folder, root, content):
    root.mkdir()
    (root / store.INDEX).write_text(content)
    line = refused(folder, root, "is damaged: remove it and import the weights again")
    assert str(root / store.INDEX) in line


@pytest.mark.parametrize(
    "content",
    ["{", '{"checkpoints": [{"backbone": "x", "dataset_name": "a", "weights_sha1": "0", "vocab_sha1": "0"}]}'],
)
def test_a_damaged_index_does_not_stop_the_plugin(tmp_path, content):
    path = tmp_path / "models" / store.INDEX
    path.parent.mkdir()
    path.write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", "import gluonnlp_snli_plugin, gluonnlp; print(gluonnlp.data.list_datasets('SNLI'))"],
        env={**os.environ, "MXNET_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0 and "segment" in done.stdout
    assert f"{path} is damaged: remove it and import the weights again" in done.stderr


def test_a_store_that_cannot_be_made_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    refused(folder, tmp_path / "file" / "models", re.escape(str(tmp_path / "file")))


@pytest.mark.parametrize("setting, size", [("vocab_size", (1 << 24) - 1), ("num_hidden_layers", 9999)])
def test_a_size_that_only_the_config_knows_is_refused_before_anything_is_made(folder, root, setting, size):
    edit_config(folder, **{setting: size})
    refused(folder, root, "model.safetensors")


@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_half_a_pooler_is_left_out(folder, root, kind, caplog):
    edit_tensors(folder, **{f"pooler__dense__{kind}": None})
    assert import_bert(folder, "mine_uncased", root=root).parts == ["pooler"]  # a new one
    assert f"left out, beside the encoder: pooler (pooler.dense.{kind} is missing)" in caplog.text


def test_a_parameter_under_two_names_is_refused(folder, root):
    edit_tensors(folder, **{"embeddings__LayerNorm__beta": np.ones(16, np.float32)})
    refused(folder, root, "embeddings.LayerNorm.beta and embeddings.LayerNorm.bias are the same parameter of a BERT")


def test_names_that_are_taken_do_not_keep_a_vocabulary_from_being_filled_up(folder, root):
    path = folder / "vocab.txt"
    tokens = path.read_text().split()
    tokens = [*tokens[:-2], f"[unused-{len(tokens) - 1}]"]
    path.write_text("\n".join(tokens) + "\n")
    _, vocab = build(import_bert(folder, "mine_uncased", root=root), root)
    assert vocab.idx_to_token[:-1] == tokens and len(set(vocab.idx_to_token)) == len(tokens) + 1


def test_a_store_whose_name_mxnet_cannot_open_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"caf\\udce9: MXNet opens only files whose names are UTF-8"):
        import_bert(folder, "mine_uncased", root=tmp_path / "caf\udce9")
