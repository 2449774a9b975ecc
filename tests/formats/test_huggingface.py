"""Checkpoints in Hugging Face's layout: the outputs of `transformers`, or one line that says what is wrong where."""

import pickle
import re
import shutil
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import import_bert
from gluonnlp_snli_plugin.errors import CheckpointError

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
def with_masked_lm(edit_tensors):
    """Adds the head of BertForMaskedLM, whose decoder is tied to the word embedding."""

    def add(folder, **changes):
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

    return add


def encode(net):
    """Encoding of a few tokens, enough to tell two networks apart."""
    return net(mx.nd.array([[2, 5, 6, 7, 3]]), mx.nd.zeros((1, 5)), mx.nd.array([5]))[0].asnumpy()


# The outputs of transformers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", PARTS)
def test_outputs_are_those_of_transformers(variant, tmp_path, build):
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


def test_a_shorter_vocabulary_is_filled_up_to_the_embedding(folder, root, edit_config, edit_tensors, build):
    tokens = (folder / "vocab.txt").read_text().split()
    edit_config(folder, vocab_size=len(tokens) + 3)
    word_embedding = load_file(str(folder / "model.safetensors"))["embeddings.word_embeddings.weight"]
    edit_tensors(folder, embeddings__word_embeddings__weight=np.pad(word_embedding, [(0, 3), (0, 0)]))
    _, vocab = build(import_bert(folder, "mine_uncased", root=root), root)
    assert vocab.idx_to_token[: len(tokens)] == tokens and len(vocab) == len(tokens) + 3


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "gelu_pytorch_tanh"])
def test_the_activation_is_that_of_the_config(folder, root, activation, edit_config, with_masked_lm, build):
    stock = encode(build(import_bert(folder, "stock_uncased", root=root), root)[0])
    edit_config(folder, hidden_act=activation)
    with_masked_lm(folder)
    checkpoint = import_bert(folder, "mine_uncased", root=root)
    assert abs(encode(build(checkpoint, root)[0]) - stock).max() > 1e-7
    assert checkpoint.parts == ["pooler"]  # GluonNLP's decoder always has the exact GELU


def test_hyper_parameters_that_a_caller_overrides_do_not_hide_those_of_the_checkpoint(folder, root, edit_config, build):
    edit_config(folder, hidden_act="relu")
    checkpoint = import_bert(folder, "mine_uncased", root=root)
    plain, _ = build(checkpoint, root)
    other, _ = build(checkpoint, root, hparam_allow_override=True, num_heads=2)
    np.testing.assert_array_equal(encode(other), encode(plain))
    with pytest.raises(AssertionError, match="Cannot override"):
        build(checkpoint, root, num_heads=2)


def test_a_decoder_of_its_own_is_left_out(folder, root, with_masked_lm):
    with_masked_lm(folder)
    assert import_bert(folder, "tied_uncased", root=root).parts == ["pooler", "decoder"]
    with_masked_lm(folder, cls__predictions__decoder__weight=np.zeros((77, 16), np.float32))
    assert import_bert(folder, "untied_uncased", root=root).parts == ["pooler"]


def test_a_missing_pooler_is_made_anew_the_same_each_time(folder, root, caplog, edit_tensors):
    edit_tensors(folder, pooler__dense__weight=None, pooler__dense__bias=None)
    first = import_bert(folder, "one_uncased", root=root)
    assert "has no pooler" in caplog.text
    assert import_bert(folder, "two_uncased", root=root).weights_sha1 == first.weights_sha1


def test_a_missing_decoder_is_named_by_get_model(folder, root, build):
    checkpoint = import_bert(folder, "mine_uncased", root=root)
    with pytest.raises(CheckpointError, match="bert_2_16_2_mine_uncased has no decoder: .*use_decoder=False"):
        nlp.model.get_model("bert_2_16_2", dataset_name="mine_uncased", root=str(root), pretrained=True)
    with pytest.raises(CheckpointError, match="has no classifier: .*use_classifier=False"):
        build(checkpoint, root, use_classifier=True)


# config.json --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["electra", "albert"])
def test_other_architectures_are_refused_by_name(folder, root, architecture, edit_config, refused):
    edit_config(folder, model_type=architecture)
    refused(folder, root, f"config.json: the architecture is '{architecture}'; only 'bert'")


def test_a_config_without_model_type_is_known_by_its_model_class(folder, root, edit_config, refused):
    edit_config(folder, model_type=None, architectures=["ElectraForMaskedLM"])
    refused(folder, root, "config.json: the architecture is 'ElectraForMaskedLM'; only 'bert'")
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
def test_a_setting_that_cannot_be_is_named(folder, root, changes, match, edit_config, refused):
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
def test_a_config_that_cannot_be_read_is_named(folder, root, content, match, refused):
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    refused(folder, root, f"{re.escape(str(folder / 'config.json'))} {match}")


@pytest.mark.parametrize("source", ["nowhere/at/all", "/nowhere"])
def test_a_folder_that_is_not_there_is_named(root, source, refused):
    refused(source, root, f"^{source} is not a folder")


def test_a_file_in_place_of_the_folder_is_named(folder, root, refused):
    refused(folder / "config.json", root, "config.json is not a folder")


# model.safetensors --------------------------------------------------------------------------------------------------


class _Malicious:
    """Runs a program in whoever unpickles it."""

    def __init__(self, mark):
        self._mark = mark

    def __reduce__(self):
        return (open, (str(self._mark), "w"))


def test_a_pickle_is_refused_unopened_with_the_way_to_convert_it(folder, root, tmp_path, refused):
    mark = tmp_path / "the pickle was loaded"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Malicious(mark)))
    import_bert(folder, "both_uncased", root=root)  # beside model.safetensors it does not matter
    (folder / "model.safetensors").unlink()
    line = refused(folder, root, "pytorch_model.bin is a pickle")
    assert "from_pretrained" in line and "save_pretrained" in line
    assert not mark.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert mark.exists()  # it would have


def test_missing_weights_are_named(folder, root, refused):
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
def test_weights_that_are_no_safetensors_are_named(folder, root, spoil, refused):
    path = folder / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    refused(folder, root, "model.safetensors is not a complete safetensors file")


@pytest.mark.parametrize(
    "name, change, match",
    [
        ("encoder.layer.1.output.dense.bias", lambda tensor: None, "no tensor {}: the checkpoint is not complete"),
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
def test_a_tensor_that_cannot_be_is_named(folder, root, name, change, match, edit_tensors, refused):
    tensors = load_file(str(folder / "model.safetensors"))
    edit_tensors(folder, **{name: change(tensors[name])})
    assert "model.safetensors" in refused(folder, root, match.format(re.escape(name)))


@pytest.mark.parametrize("setting, size", [("vocab_size", (1 << 24) - 1), ("num_hidden_layers", 9999)])
def test_a_size_that_only_the_config_knows_is_refused_before_anything_is_made(
    folder, root, setting, size, edit_config, refused
):
    edit_config(folder, **{setting: size})
    refused(folder, root, "model.safetensors")


@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_half_a_pooler_is_left_out(folder, root, kind, caplog, edit_tensors):
    edit_tensors(folder, **{f"pooler__dense__{kind}": None})
    assert import_bert(folder, "mine_uncased", root=root).parts == ["pooler"]  # a new one
    assert f"left out, besides the encoder: pooler (pooler.dense.{kind} is missing)" in caplog.text


def test_a_parameter_under_two_names_is_refused(folder, root, edit_tensors, refused):
    edit_tensors(folder, **{"embeddings__LayerNorm__beta": np.ones(16, np.float32)})
    refused(folder, root, "embeddings.LayerNorm.beta and embeddings.LayerNorm.bias are the same parameter")
