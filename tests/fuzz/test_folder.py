"""The folder of a fine-tuned model: settings, weights and vocabulary, each damaged with and without the right hash."""

import hashlib
import json
import shutil

import gluonnlp as nlp
import mxnet as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.formats.model_folder import Model, save_model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

UNCASED = TokenizerSettings.gluonnlp(lower=True)

LABELS = {"entailment", "contradiction", "neutral"}
PAIRS = [["the dog is sleeping", "a dog"], ["a", "b"]]


@pytest.fixture(scope="module", params=["mlp", "pooled"])
def saved(request, tiny_name, tmp_path_factory):
    """A folder of a model with random weights."""
    mx.random.seed(0)
    net, vocab = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, head=request.param, hidden_units=8
    )
    hparams = {**nlp.model.bert.bert_hparams["bert_2_16_2"], "hidden_size": 32, "max_length": 64}
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(
        Model(
            net,
            vocab,
            ModelSettings("bert_2_16_2", hparams, request.param, 8, 0.1, UNCASED, 32, "ratio"),
        ),
        folder,
    )
    return folder


@pytest.fixture
def answers(worker, saved, tmp_path):
    """The answers of that model with some files written anew; None if it was refused."""

    def run(config=None, pairs=PAIRS, names_path=True, **files):
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(str(saved), str(folder))
        settings = json.loads((folder / "config.json").read_text())
        for use, content in files.items():
            (folder / settings["files"][use]["name"]).write_bytes(content)
            settings["files"][use]["sha256"] = hashlib.sha256(content).hexdigest()
        if files:
            (folder / "config.json").write_text(json.dumps(settings))
        if config is not None:
            (folder / "config.json").write_bytes(config)
        found = worker("answers", folder, names_path, pairs=pairs)
        if found is not None:
            assert all(set(answer) == LABELS and abs(sum(answer.values()) - 1) < 1e-5 for answer in found)
        return found

    return run


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_settings_are_followed_or_refused(data, damage, answers, saved):
    config = json.loads((saved / "config.json").read_text())
    more = [1, 2, 5, 64, 1 << 24, 1 << 40, "pooled", "mlp", "equal", sorted(LABELS), {"a": 1}, "bert_2_16_4", 0.5]
    answers(data.draw(damage.json_bytes(config, more)))


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_each_setting_by_itself_is_followed_or_refused(data, damage, answers, saved):
    config = json.loads((saved / "config.json").read_text())
    values = damage.scalar([1, 2, 8, 64, 1 << 24, 1 << 40, "pooled", "mlp", "equal", sorted(LABELS), ["neutral"] * 3])
    part = config["settings"]["hparams"] if data.draw(st.booleans()) else config["settings"]
    part[data.draw(st.sampled_from(sorted([*part, "use_residual", "activation", "word_embed"])))] = data.draw(values)
    answers(json.dumps(config).encode())


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_damaged_weights_are_refused_or_finite(data, damage, answers, saved):
    (weights,) = saved.glob("weights-*")
    # Answers that are not finite come from weights that are.
    answers(weights=data.draw(damage.content(weights.read_bytes())), names_path=False)


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_damaged_vocabulary_is_refused_or_as_large_as_the_weights(data, damage, answers, saved):
    vocab = json.loads((saved / "vocab.json").read_text())
    answers(vocab=data.draw(damage.json_bytes(vocab, ["[CLS]", "\ud800", {"a": 0}])))


def test_every_text_gets_an_answer(answers, damage):
    texts = [*damage.nasty.values(), *damage.long.values()]
    for text in texts:
        assert len(answers(pairs=[[text, "a dog"], ["a dog", text], [text, text]])) == 3


@pytest.mark.parametrize("use", ["config.json", "weights-*", "vocab.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(worker, saved, tmp_path, use):
    folder = shutil.copytree(str(saved), str(tmp_path / "model"))
    (path,) = (tmp_path / "model").glob(use)
    path.unlink()
    path.mkdir()
    assert worker("answers", folder, pairs=PAIRS) is None
