"""BERT architectures by name."""

import gluonnlp as nlp
import mxnet as mx
import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.bert import BERT


@pytest.fixture
def vocab():
    return nlp.vocab.BERTVocab(nlp.data.count_tokens(["a", "b"]))


def test_the_chapters_small_bert_has_the_chapters_sizes():
    hparams = BERT.hparams("bert_2_256_4")
    assert (hparams["num_layers"], hparams["units"], hparams["num_heads"], hparams["hidden_size"]) == (2, 256, 4, 512)


def test_a_named_shape_agrees_with_gluonnlps_own_hyper_parameters():
    for name in ("bert_12_768_12", "bert_24_1024_16"):
        assert BERT.hparams(name) == nlp.model.bert.bert_hparams[name]


@pytest.mark.parametrize("name", ["bert_2_256_4", "bert_6_384_12", "bert_3_24_2", "BERT_3_24_2"])
def test_get_model_builds_any_shape(vocab, name):
    net, returned = nlp.model.get_model(name, vocab=vocab, pretrained=False, use_decoder=False, use_classifier=False)
    assert isinstance(net, nlp.model.BERTModel) and returned is vocab
    layers, units, _ = map(int, name.split("_")[1:])
    net.initialize()
    sequence, pooled = net(mx.nd.ones((2, 5)), mx.nd.zeros((2, 5)), mx.nd.array([5, 3]))
    assert sequence.shape == (2, 5, units) and pooled.shape == (2, units)
    assert len(net.encoder.transformer_cells) == layers


@pytest.mark.parametrize("name", ["bert_2_256_3", "bert_0_256_4", "bert_2_0_4", "bert_2_256_0"])
def test_impossible_shapes_are_refused_in_one_line(vocab, name):
    with pytest.raises(UsageError, match=name) as refused:
        nlp.model.get_model(name, vocab=vocab, pretrained=False)
    assert "\n" not in str(refused.value)


def test_other_names_are_no_bert_shapes():
    with pytest.raises(UsageError, match="roberta_12_768_12"):
        BERT.hparams("roberta_12_768_12")


def test_gluonnlps_own_shapes_still_come_from_gluonnlp(vocab):
    net, _ = nlp.model.get_model("bert_12_768_12", vocab=vocab, pretrained=False)
    assert net.encoder._units == 768
    with pytest.raises(AssertionError, match="Cannot override"):
        nlp.model.get_model("bert_12_768_12", vocab=vocab, pretrained=False, units=8)
