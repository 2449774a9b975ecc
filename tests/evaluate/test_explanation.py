"""Contributions are gradients, they add up, and they are shown on the words as they were written."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.evaluate.explanation import contributions, explain, logits_of
from gluonnlp_snli_plugin.formats.model_folder import Model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.native import accelerate, operators
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces

UNCASED = TokenizerSettings.gluonnlp(lower=True)

PREMISE, HYPOTHESIS = "The man is not sleeping, isn't he?", "A  unfamiliar dog is\tsleeping."


def _model(net, vocab, head, spiece=None, max_len=64):
    return Model(
        net,
        vocab,
        ModelSettings("bert_2_16_2", {}, head, 256, 0.1, UNCASED, max_len, "longest_first"),
        spiece,
    )


@pytest.fixture(scope="module", params=["mlp", "pooled", "mean"])
def model(request, tiny_name):
    mx.random.seed(1)
    net, vocab = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, head=request.param
    )
    net.classifier.initialize(mx.init.Normal(0.1 if request.param == "mlp" else 0.5), force_reinit=True)
    return _model(net, vocab, request.param)


def _inputs(model):
    input_ids, segment_ids, _ = model.encoder()(PREMISE, HYPOTHESIS)
    special = np.isin(input_ids, model.vocab[["[CLS]", "[SEP]"]])
    masked_ids = np.where(special, input_ids, model.vocab["[MASK]"])
    return input_ids, masked_ids.astype(np.int32), segment_ids


def _logits(model, embedded, segment_ids):
    return logits_of(model.net, mx.nd.array(embedded), segment_ids).asnumpy().astype(np.float64)


def _odds(logits, target):
    others = np.delete(logits, target, axis=1)
    return logits[:, target] - np.log(np.exp(others).sum(axis=1))


def test_logits_from_embeddings_are_those_of_the_net(model):
    input_ids, _, segment_ids = _inputs(model)
    embedded = model.net.bert.word_embed(mx.nd.array([input_ids], dtype="int32")).asnumpy()
    whole = model.net(
        *(mx.nd.array([array], dtype="int32") for array in (input_ids, segment_ids)), mx.nd.array([len(input_ids)])
    )
    np.testing.assert_allclose(_logits(model, embedded, segment_ids), whole.asnumpy(), atol=1e-5)


def test_contributions_are_finite_differences_averaged_on_the_way(model):
    input_ids, masked_ids, segment_ids = _inputs(model)
    found, target, *_ = contributions(model.net, input_ids, masked_ids, segment_ids, mx.cpu())
    words, masked = (
        model.net.bert.word_embed(mx.nd.array([ids], dtype="int32")).asnumpy()[0] for ids in (input_ids, masked_ids)
    )
    nodes, weights = np.polynomial.legendre.leggauss(16)
    step, expected = 1e-2, np.zeros(len(input_ids))
    for place, weight in zip((nodes + 1) / 2, weights / 2):
        at = masked + place * (words - masked)
        moves = np.eye(len(input_ids))[:, :, None] * step * (words - masked)
        up, down = (_odds(_logits(model, at + sign * moves, segment_ids), target) for sign in (1, -1))
        expected += weight * (up - down) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.005 * np.abs(expected).max())
    assert np.abs(found).max() > 1e-3


def test_contributions_add_up_to_the_difference_of_the_log_odds(model):
    explained = explain(model, model.encoder(), PREMISE, HYPOTHESIS)
    total = sum(value for _, value in explained.tokens)
    assert total == pytest.approx(explained.log_odds - explained.log_odds_masked, abs=1e-2)
    seen = [part.contribution for part in explained.premise + explained.hypothesis if part.contribution is not None]
    assert sum(seen) == pytest.approx(total, abs=1e-9)


def test_any_label_can_be_explained(model):
    by_label = {label: explain(model, model.encoder(), PREMISE, HYPOTHESIS, label=label) for label in ("neutral", None)}
    assert by_label["neutral"].label == "neutral"
    answer = Predictor(model, native=False)([(PREMISE, HYPOTHESIS)])[0]
    assert by_label[None].label == answer.label
    p = answer.probabilities[answer.label]
    assert by_label[None].log_odds == pytest.approx(np.log(p / (1 - p)), abs=1e-4)


@pytest.mark.parametrize("is_hybrid", [False, True])
def test_with_the_operators_the_contributions_are_the_same(tiny_name, native_operators, is_hybrid):
    mx.random.seed(1)
    net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    model = _model(net, vocab, "mlp")
    before = explain(model, model.encoder(), PREMISE, HYPOTHESIS)
    assert accelerate(net)
    if is_hybrid:
        net.hybridize(static_alloc=True)
    for _ in range(2):
        after = explain(model, model.encoder(), PREMISE, HYPOTHESIS)
        values = [[value for _, value in each.tokens] for each in (before, after)]
        np.testing.assert_allclose(*values, atol=1e-5)


def test_words_are_those_that_were_written(model):
    explained = explain(model, model.encoder(), PREMISE, HYPOTHESIS)
    assert "".join(part.text for part in explained.premise) == PREMISE
    assert "".join(part.text for part in explained.hypothesis) == HYPOTHESIS
    words = [part.text for part in explained.premise if part.contribution is not None]
    assert words == ["The", "man", "is", "not", "sleeping", ",", "isn", "'", "t", "he", "?"]
    unfamiliar = next(part for part in explained.hypothesis if part.text == "unfamiliar")
    pieces = [value for token, value in explained.tokens if token in ("u", "##n", "##f", "##a", "##m", "##i", "##l")]
    assert len(pieces) >= 7 and unfamiliar.contribution is not None


def test_special_tokens_are_named_and_contribute_nothing(model):
    tokens = explain(model, model.encoder(), "a man", "a dog").tokens
    assert [token for token, _ in tokens] == ["[CLS]", "a", "man", "[SEP]", "a", "dog", "[SEP]"]
    assert [value for token, value in tokens if token[0] == "["] == [0, 0, 0]


@pytest.mark.parametrize("text", ["", "\0", " ", "\ud800", "e\u0301" * 9, "日本語", "a\u200bb", "x" * 300, "_a_", "\t"])
def test_any_text_can_be_explained(model, text):
    explained = explain(model, model.encoder(), text, "a dog " + text)
    assert "".join(part.text for part in explained.premise) == text
    total = sum(value for _, value in explained.tokens)
    assert total == pytest.approx(explained.log_odds - explained.log_odds_masked, abs=5e-2)


def test_what_was_cut_off_has_no_contribution(model):
    short = _model(model.net, model.vocab, model.settings.head, max_len=9)
    explained = explain(short, short.encoder(), "a man is not sleeping .", "a dog is running outside .")
    seen = [part.text for part in explained.premise if part.contribution is not None]
    assert seen == ["a", "man", "is"]
    assert "".join(part.text for part in explained.premise) == "a man is not sleeping ."


def test_sentencepieces_are_put_together(train_sentencepiece, tmp_path):
    path = train_sentencepiece(tmp_path / "pieces.model", ["the man is not sleeping", "a dog is running outside"] * 20)
    vocab, _ = read_sentencepieces(path)
    mx.random.seed(1)
    net, _ = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_256_4", vocab=vocab, pretrained=False, head="pooled"
    )
    model = _model(net, vocab, "pooled", spiece=path)
    explained = explain(model, model.encoder(), "The man isn't sleeping!", "a dog")
    words = [part.text for part in explained.premise if part.contribution is not None]
    assert words == ["The", "man", "isn", "'", "t", "sleeping", "!"]
    assert len(explained.tokens) > len(words) + 2 + 3
    total = sum(part.contribution for part in explained.premise + explained.hypothesis if part.contribution is not None)
    assert total == pytest.approx(explained.log_odds - explained.log_odds_masked, abs=0.2)


@pytest.mark.skipif(not operators.are_available(), reason="the C++ operators cannot be built here")
def test_a_model_with_8_bit_integers_is_explained_too(tiny_name):
    net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    predictor = Predictor(_model(net, vocab, "mlp"), dtype="int8")
    label = predictor([(PREMISE, HYPOTHESIS)])[0].label
    assert predictor.explain(PREMISE, HYPOTHESIS, label).label == label
