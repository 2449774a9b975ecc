"""Weights in one file or several, under any prefix, with whatever else is beside the encoder."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import import_bert
from gluonnlp_snli_plugin.errors import CheckpointError

INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_bert, tmp_path):
    return Path(shutil.copytree(str(tiny_bert), str(tmp_path / "checkpoint")))


@pytest.fixture(scope="module")
def expected(tiny_bert, tmp_path_factory):
    """The sha1 of the weights as GluonNLP's parameters."""
    return import_bert(tiny_bert, "plain_uncased", root=tmp_path_factory.mktemp("store")).weights_sha1


@pytest.fixture
def bring(folder, tmp_path):
    return lambda **options: import_bert(folder, "mine_uncased", root=tmp_path / "store", **options)


def tensors_of(folder):
    return load_file(str(folder / "model.safetensors"))


def in_parts(folder, number=3):
    """Divide model.safetensors into parts; returns the index."""
    tensors = tensors_of(folder)
    (folder / "model.safetensors").unlink()
    index = {}
    for i in range(number):
        file = f"model-{i + 1:05}-of-{number:05}.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[i::number]}
        save_file(part, str(folder / file))
        index.update(dict.fromkeys(part, file))
    write_index(folder, index)
    return index


def write_index(folder, index):
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))


def complaint(bring):
    with pytest.raises(CheckpointError) as caught:
        bring()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parts_are_read_as_one(folder, bring, expected):
    in_parts(folder)
    assert bring().weights_sha1 == expected


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "config.json", 5, "", None])
def test_an_index_names_only_files_beside_it(folder, bring, file):
    index = in_parts(folder)
    write_index(folder, {**index, next(iter(index)): file})
    assert f"{INDEX} names the file" in complaint(bring)


def test_parts_that_are_not_what_the_index_says_are_named(folder, bring):
    index = in_parts(folder)
    name, file = next(iter(index.items()))
    other = next(part for part in index.values() if part != file)
    write_index(folder, {**index, name: other})
    assert f"{other} has no tensor {name}, which {INDEX} says it has" in complaint(bring)
    write_index(folder, {**index, "more": other})
    assert f"{other} has no tensor more" in complaint(bring)
    write_index(folder, index)
    save_file({**load_file(str(folder / other)), name: np.zeros(3, np.float32)}, str(folder / other))
    assert f"{name} is in two parts" in complaint(bring)
    (folder / other).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert f"{other} is a Git LFS pointer" in complaint(bring)
    (folder / other).unlink()
    assert f"{other} is missing: it is one of the parts" in complaint(bring)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": []}', "[]", "{"])
def test_a_damaged_index_is_named(folder, bring, content):
    in_parts(folder)
    (folder / INDEX).write_text(content)
    assert INDEX in complaint(bring)


@pytest.mark.parametrize("prefix", ["bert.", "module.", "module.bert.", "model.", "a.b.c.", "student."])
def test_what_comes_before_the_names_is_found(folder, bring, expected, prefix):
    outer = prefix[: prefix.rstrip(".").rfind(".") + 1]
    tensors = {f"{prefix}{name}": tensor for name, tensor in tensors_of(folder).items()}
    heads = {"cls.seq_relationship.weight": (2, 16), "cls.seq_relationship.bias": (2,)}
    tensors.update((f"{outer}{name}", np.zeros(shape, np.float32)) for name, shape in heads.items())
    save_file(tensors, str(folder / "model.safetensors"))
    checkpoint = bring()
    assert checkpoint.parts == ["pooler", "classifier"]


def test_two_berts_in_one_file_are_refused(folder, bring):
    tensors = tensors_of(folder)
    both = {f"{which}.{name}": tensor for which in ("question", "context") for name, tensor in tensors.items()}
    save_file(both, str(folder / "model.safetensors"))
    assert "holds several models: 'context.', 'question.'" in complaint(bring)


def test_other_heads_are_left_out_in_one_line(folder, bring, expected, caplog):
    more = {"qa_outputs.weight": (2, 16), "embeddings.position_ids": (1, 64), "cls.predictions.bias": (77,)}
    tensors = {**tensors_of(folder), **{name: np.zeros(shape, np.float32) for name, shape in more.items()}}
    save_file(tensors, str(folder / "model.safetensors"))
    assert bring().weights_sha1 == expected
    (line,) = [message for message in caplog.messages if "left out" in message]
    assert "decoder (cls.predictions.transform.dense.weight is missing), qa_outputs.weight" in line


def test_further_layers_are_left_out_and_told(folder, bring, caplog):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    assert bring().backbone == "bert_1_16_2" and "encoder.layer.1" in caplog.text


@pytest.mark.parametrize("name", ["encoder.layer.0.attention.self.distance_embedding.weight", "embeddings.more.weight"])
def test_an_encoder_with_more_to_it_is_refused(folder, bring, name):
    save_file({**tensors_of(folder), name: np.zeros(3, np.float32)}, str(folder / "model.safetensors"))
    assert f"{name} is not a parameter of the model that config.json describes" in complaint(bring)


@pytest.mark.parametrize(
    ("name", "same"), [("gelu_python", "gelu"), ("gelu_fast", "gelu_new"), ("gelu_pytorch_tanh", "gelu_new")]
)
def test_activations_have_several_names(folder, tmp_path, name, same):
    config = json.loads((folder / "config.json").read_text())
    found = []
    for i, activation in enumerate((name, same)):
        (folder / "config.json").write_text(json.dumps({**config, "hidden_act": activation}))
        found.append(import_bert(folder, f"name{i}_uncased", root=tmp_path / "store").hparams)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"<!doctype html><title>404</title>", "an HTML page"),
        (b"PK\x03\x04" + b"\0" * 26 + b"archive/data.pkl", "a Python pickle"),
        (b"\x1f\x8b\x08", "a gzip archive"),
    ],
)
def test_weights_that_are_something_else_are_named_for_what_they_are(folder, bring, content, what):
    (folder / "model.safetensors").write_bytes(content)
    assert re.search(rf"model\.safetensors is {what}", complaint(bring))
