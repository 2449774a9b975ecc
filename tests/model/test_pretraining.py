"""The pretraining net computes what GluonNLP's own BERTModel computes, and is made of what the store has."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.formats.models import stored_bert
from gluonnlp_snli_plugin.model.pretraining import PretrainingNet, new_bert, parameters_of
from gluonnlp_snli_plugin.native import accelerate
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

VOCAB = wordpiece_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"])


@pytest.fixture
def bert():
    mx.random.seed(1)
    return new_bert("bert_2_16_2", VOCAB, [mx.cpu()], dropout=0.0)


def _inputs(dtype="int32"):
    random = np.random.default_rng(0)
    ids = mx.nd.array(random.integers(5, 31, (3, 9)), dtype=dtype)
    segments = mx.nd.array(np.arange(9) > random.integers(2, 6, (3, 1)), dtype=dtype)
    return ids, segments, mx.nd.array([9, 7, 8])


@pytest.mark.parametrize("native", [False, True])
def test_scores_and_gradients_are_those_of_gluonnlps_model(bert, native, native_operators):
    ids, segments, valid_length = _inputs()
    positions = np.array([[1, 2], [3, 6], [5, 7]])
    flat = mx.nd.array((positions + 9 * np.arange(3)[:, None]).ravel(), dtype="int32")
    labels = mx.nd.array([5, 6, 7, 8, 9, 10])

    def compute(forward):
        loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        with mx.autograd.record():
            decoded, classified = forward()
            total = loss(decoded.reshape((6, -1)), labels).sum() + loss(classified, mx.nd.array([0, 1, 1])).sum()
        total.backward()
        gradients = {name: p.grad().asnumpy() for name, p in bert._collect_params_with_prefix().items()}
        return decoded.reshape((6, -1)).asnumpy(), classified.asnumpy(), gradients

    def theirs():
        _, _, classified, decoded = bert(ids, segments, valid_length, mx.nd.array(positions))
        return decoded, classified

    expected = compute(theirs)
    net = PretrainingNet(bert)
    if native:
        assert accelerate(net)
    net.hybridize(static_alloc=True)
    found = compute(lambda: net(ids, segments, valid_length, flat))
    for ours, reference in zip(found[:2], expected[:2]):
        np.testing.assert_allclose(ours, reference, atol=1e-5)
    for name, gradient in expected[2].items():
        np.testing.assert_allclose(found[2][name], gradient, atol=1e-5, err_msg=name)


def test_the_decoder_is_tied_to_the_word_embedding(bert):
    assert bert.decoder[3].weight is bert.word_embed[0].weight
    assert "decoder.3.weight" not in parameters_of(bert) and "decoder.3.bias" in parameters_of(bert)


@pytest.mark.parametrize("init, words, places, others", [("width", 0.1, 0.01, 0.25), ("bert", 0.02, 0.02, 0.02)])
def test_new_weights_are_random_and_of_their_scale(init, words, places, others):
    bert = new_bert("bert_2_16_2", VOCAB, [mx.cpu()], init)
    found = parameters_of(bert)
    for name, scale in (
        ("word_embed.0.weight", words),
        ("encoder.position_weight", places),
        ("encoder.transformer_cells.0.ffn.ffn_1.weight", others),
        ("encoder.transformer_cells.1.ffn.ffn_2.weight", others),
        ("encoder.transformer_cells.1.attention_cell.proj_query.weight", others),
        ("pooler.weight", others),
        ("decoder.0.weight", others),
    ):
        weight = found[name].asnumpy()
        assert 0.75 * scale < weight.std() < 1.25 * scale and abs(weight.mean()) < 0.25 * scale, name
    assert (found["encoder.layer_norm.gamma"].asnumpy() == 1).all()


def test_stored_weights_are_taken_and_what_they_lack_is_new(tiny_name):
    bert, hparams = stored_bert("bert_2_16_2", tiny_name, [mx.cpu()])
    reference, _ = nlp.model.get_model(
        "bert_2_16_2", dataset_name=tiny_name, pretrained=True, use_decoder=False, use_classifier=False
    )
    for name, parameter in reference._collect_params_with_prefix().items():
        np.testing.assert_array_equal(parameters_of(bert)[name].asnumpy(), parameter.data().asnumpy(), err_msg=name)
    assert {"decoder.0.weight", "classifier.weight"} <= set(parameters_of(bert))
    assert hparams["hidden_size"] == 32
