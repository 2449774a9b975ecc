"""The folder of a fine-tuned model: what is written is what is read, and damage is noticed."""

import dataclasses
import json
import shutil

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import CheckpointError
from gluonnlp_snli_plugin.formats import model_folder
from gluonnlp_snli_plugin.formats.model_folder import Model, load_model, save_model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

UNCASED = TokenizerSettings.gluonnlp(lower=True)

INPUTS = mx.nd.array([[2, 6, 7, 3, 8, 3]]), mx.nd.array([[0, 0, 0, 0, 1, 1]]), mx.nd.array([6])


def _model(tiny_name, head="mlp", seed=0):
    mx.random.seed(seed)
    net, vocab = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, head=head, hidden_units=8
    )
    hparams = {**nlp.model.bert.bert_hparams["bert_2_16_2"], "hidden_size": 32, "max_length": 64}
    settings = ModelSettings("bert_2_16_2", hparams, head, 8, 0.1, UNCASED, 32, "ratio")
    return Model(net, vocab, settings)


@pytest.fixture
def folder(tiny_name, tmp_path):
    save_model(_model(tiny_name), tmp_path / "out" / "model")
    return tmp_path / "out"


@pytest.mark.parametrize("head", ["mlp", "pooled", "mean"])
def test_a_loaded_model_gives_the_same_logits(tiny_name, tmp_path, head):
    model = _model(tiny_name, head)
    save_model(model, tmp_path / "model")
    for loaded in (load_model(tmp_path), load_model(tmp_path / "model")):
        assert (loaded.net(*INPUTS) == model.net(*INPUTS)).asnumpy().all()
        assert loaded.settings == model.settings
        assert loaded.vocab.idx_to_token == model.vocab.idx_to_token
        encoder = loaded.encoder()
        assert encoder.max_len == 32 and type(encoder.truncation).__name__ == "Ratio"


def test_get_model_takes_the_folder(folder):
    net, vocab = nlp.model.get_model("snli_bert_classifier", params_dir=str(folder))
    np.testing.assert_array_equal(net(*INPUTS).asnumpy(), load_model(folder).net(*INPUTS).asnumpy())
    assert vocab["[CLS]"] == 2


def test_the_folder_can_be_moved(folder, tmp_path):
    expected = load_model(folder).net(*INPUTS).asnumpy()
    shutil.move(str(folder / "model"), str(tmp_path / "elsewhere"))
    np.testing.assert_array_equal(load_model(tmp_path / "elsewhere").net(*INPUTS).asnumpy(), expected)


def test_saving_again_leaves_one_set_of_weights(tiny_name, folder):
    save_model(_model(tiny_name, seed=1), folder / "model")
    assert len(list((folder / "model").glob("weights*"))) == 1
    load_model(folder)


@pytest.mark.parametrize("step", ["_verified_files", "_check_weights", "build_net"])
def test_a_model_that_a_run_replaces_while_it_is_read_is_read_again(tiny_name, folder, monkeypatch, step):
    better, original, calls = _model(tiny_name, seed=1), getattr(model_folder, step), []

    def replace_first(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            save_model(better, folder / "model")
        return original(*arguments)

    monkeypatch.setattr(model_folder, step, replace_first)
    found = load_model(folder)
    assert len(calls) == 2
    np.testing.assert_array_equal(found.net(*INPUTS).asnumpy(), better.net(*INPUTS).asnumpy())


def test_a_save_that_dies_before_the_settings_leaves_the_old_model(tiny_name, folder, monkeypatch):
    expected = load_model(folder).net(*INPUTS).asnumpy()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gluonnlp_snli_plugin.formats.model_folder.write_json", die)
    with pytest.raises(KeyboardInterrupt):
        save_model(_model(tiny_name, seed=1), folder / "model")
    np.testing.assert_array_equal(load_model(folder).net(*INPUTS).asnumpy(), expected)


def _flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("pattern", ["weights-*.params", "vocab.json"])
@pytest.mark.parametrize("damage", [_flip_a_byte, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_damaged_files_are_named_in_one_line(folder, pattern, damage):
    path = next((folder / "model").glob(pattern))
    damage(path)
    with pytest.raises(CheckpointError, match=f"{path.name} is damaged") as refused:
        load_model(folder)
    assert "\n" not in str(refused.value)


def test_missing_files_are_named(folder):
    next((folder / "model").glob("weights-*")).unlink()
    with pytest.raises(CheckpointError, match="weights-.* is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "settings": [], "files": {}}', "[" * 100_000]
)
def test_settings_that_make_no_sense_are_named(folder, content):
    (folder / "model" / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "bert_2_16_4"},
        {"hparams": {"num_layers": 1 << 23}},
        {"hparams": {"activation": "0"}},
        {"hparams": {"layer_norm_eps": 5e-324}},
        {"hparams": {"more": 1}},
        {"head": ["mlp"]},
        {"hidden_units": 1 << 40},
        {"dropout": "0.1"},
        {"lower": "no"},
        {"max_len": 65},
        {"truncation": "middle"},
        {"labels": ["neutral", "neutral", "entailment"]},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_refused(folder, change):
    path = folder / "model" / "config.json"
    content = json.loads(path.read_text())
    content["settings"]["hparams"].update(change.pop("hparams", {}))
    content["settings"].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        load_model(folder)


def test_an_architecture_that_nobody_has_registered_is_named(folder):
    path = folder / "model" / "config.json"
    path.write_text(path.read_text().replace('"bert_2_16_2"', '"slim_2_16_2"'))
    with pytest.raises(CheckpointError, match="config.json: no architecture 'slim_2_16_2'; a name is bert_LAYERS_"):
        load_model(folder)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(folder, number):
    """A ReLU after them makes an answer like any other."""
    model = load_model(folder)
    model.net.bert.encoder.transformer_cells[0].ffn.ffn_1.weight.data()[0, 0] = number
    save_model(model, folder / "model")
    with pytest.raises(CheckpointError, match=r"params: bert\S*ffn_1.weight holds numbers that are not finite"):
        load_model(folder)


@pytest.mark.parametrize("change", [{"hidden_units": 9}, {"hparams": {"hidden_size": 33}}, {"head": "pooled"}], ids=str)
def test_weights_that_are_not_what_the_settings_say_are_named(folder, change):
    path = folder / "model" / "config.json"
    content = json.loads(path.read_text())
    content["settings"]["hparams"].update(change.pop("hparams", {}))
    content["settings"].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"weights-.*.params: .* is .*, the settings .* say"):
        load_model(folder)


@pytest.mark.parametrize("number", [2, 4])
def test_an_8_bit_export_is_refused_with_what_does_the_same(folder, number):
    path = folder / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))
    with pytest.raises(CheckpointError, match="is an 8-bit export of an older version.*--dtype int8$"):
        load_model(folder)


def test_a_newer_format_is_refused(folder):
    path = folder / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads format 1"):
        load_model(folder)


def test_a_file_outside_the_folder_is_never_read(folder, tmp_path):
    path = folder / "model" / "config.json"
    content = json.loads(path.read_text())
    secret = tmp_path / "secret.params"
    shutil.copy(str(next((folder / "model").glob("weights-*"))), str(secret))
    content["files"]["weights"]["name"] = "../../secret.params"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="secret.params is missing"):
        load_model(folder)


def test_a_run_that_has_not_saved_a_model_yet_is_told_from_a_damaged_one(tmp_path):
    (tmp_path / "config.json").write_text('{"settings": {}, "versions": {}}')
    with pytest.raises(CheckpointError, match="holds no model yet"):
        load_model(tmp_path)


def test_a_folder_without_model_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="holds no model"):
            load_model(path)


def test_a_folder_from_before_tokenizers_had_settings_keeps_gluonnlps(folder):
    path = folder / "model" / "config.json"
    content = json.loads(path.read_text())
    tokenizer = content["settings"].pop("tokenizer")
    content["settings"]["lower"] = True
    path.write_text(json.dumps({**content, "format": 1}))
    model = load_model(folder)
    assert model.settings.tokenizer == TokenizerSettings.gluonnlp(lower=True)
    assert type(model.encoder().tokenizer.host) is nlp.data.BERTTokenizer
    content["settings"].pop("lower")
    content["settings"]["tokenizer"] = {**tokenizer, "algorithm": "other"}
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_len": 4}, "max_len is 4; a pair takes from 5 to 64 tokens"),
        ({"max_len": 65}, "max_len is 65"),
        ({"truncation": "none"}, "there is no truncation 'none'"),
        ({"labels": ("yes",)}, "its labels are"),
        ({"labels": ("yes", "yes")}, "its labels are"),
        ({"labels": ("yes", "n\x1b[31mo")}, "its labels are"),
        ({"labels": ("yes", " ")}, "its labels are"),
        ({"dropout": 1.5}, "its dropout is 1.5"),
        ({"hidden_units": -1}, "its head has -1 hidden units"),
    ],
)
def test_what_cannot_be_read_back_is_not_written(folder, tmp_path, change, told):
    model = load_model(folder)
    model = dataclasses.replace(model, settings=dataclasses.replace(model.settings, **change))
    with pytest.raises(CheckpointError, match=f"no model can be written: {told}"):
        save_model(model, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_head_that_is_not_registered_is_named_with_those_that_are(folder):
    path = folder / "model" / "config.json"
    path.write_text(path.read_text().replace('"mlp"', '"widest"'))
    with pytest.raises(CheckpointError, match="no head 'widest' is registered; there are: mean, mlp, pooled, roberta"):
        load_model(folder)
