"""A DistilBERT, which has no segments, from random weights to answers: everything takes it as it takes a BERT."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, finetune
from gluonnlp_snli_plugin.evaluate.explanation import contributions
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.tasks.snli import SNLI


@pytest.fixture(scope="module")
def settings(tiny_bert, pairs_file):
    files = {"vocab": str(tiny_bert / "vocab.txt"), "train_file": str(pairs_file), "dev_file": str(pairs_file)}
    return dict(backbone="distilbert_2_16_2", head="roberta", max_len=32, lr=3e-3, epochs=2, dropout=0.0, **files)


@pytest.fixture(scope="module")
def folder(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    finetune(output_dir=str(out), **settings)
    return out


@pytest.fixture(scope="module")
def pairs(pairs_file):
    rows = list(SNLI(file=pairs_file))[:40]
    return [tuple(row[:2]) for row in rows]


def logits(predictor, pairs):
    return predictor.logits(predictor.encoder.encode(*zip(*pairs)))


def test_its_folder_says_what_it_is(folder):
    settings = load_model(folder).settings
    assert settings.backbone == "distilbert_2_16_2" and settings.hparams["layer_norm_eps"] == 1e-12
    assert "token_type_vocab_size" not in settings.hparams


def test_answers_do_not_depend_on_what_computes(folder, pairs):
    expected = logits(Predictor.load(folder, native=False), pairs)
    np.testing.assert_allclose(logits(Predictor.load(folder), pairs), expected, atol=1e-5)


@pytest.mark.jax
def test_xla_answers_the_same_and_trains_alike(folder, settings, pairs, tmp_path, empty_figures):
    expected = logits(Predictor.load(folder), pairs)
    np.testing.assert_allclose(logits(Predictor.load(folder, engine="xla"), pairs), expected, atol=1e-5)
    finetune(output_dir=str(tmp_path / "xla"), engine="xla", **settings)
    np.testing.assert_allclose(logits(Predictor.load(tmp_path / "xla"), pairs), expected, atol=1e-3)


@pytest.mark.usefixtures("int8_operator")
def test_8_bit_integers_give_nearly_the_same(folder, pairs):
    expected = logits(Predictor.load(folder), pairs)
    np.testing.assert_allclose(logits(Predictor.load(folder, dtype="int8"), pairs), expected, atol=0.05)


def test_contributions_add_up(folder, pairs):
    model = load_model(folder)
    input_ids, segment_ids, _ = model.encoder()(*pairs[0])
    masked = np.full_like(input_ids, model.vocab[model.vocab.mask_token])
    values, _, odds, masked_odds = contributions(model.net, input_ids, masked, segment_ids, mx.cpu())
    assert values.sum() == pytest.approx(odds - masked_odds, abs=1e-3)
