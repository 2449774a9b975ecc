"""Classifiers on backbones without segments are called as BERT's are, and compute what GluonNLP's own nets compute."""

import warnings

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.first_token import FirstTokenCell
from gluonnlp_snli_plugin.native.accelerate import accelerate

VOCAB = nlp.Vocab(nlp.data.count_tokens("abcdefgh"), mask_token="<mask>", cls_token="[CLS]", sep_token="[SEP]")
HEADS = ["mlp", "roberta", "mean"]


@pytest.fixture(params=["roberta_2_24_3", "distilbert_2_24_3"])
def backbone(request):
    return request.param


def classifier(backbone, head, dropout=0.0):
    mx.random.seed(3)
    net, _ = nlp.model.get_model(
        "snli_bert_classifier", backbone=backbone, vocab=VOCAB, pretrained=False, head=head, dropout=dropout
    )
    net.initialize(mx.init.Normal(0.3), force_reinit=True)
    return net


def plain(net, backbone):
    """GluonNLP's own net with the parameters of a classifier's backbone."""
    use = {"use_decoder": False} if backbone.startswith("roberta") else {}
    model, _ = nlp.model.get_model(backbone, vocab=VOCAB, pretrained=False, dropout=0.0, **use)
    model.initialize()
    model(mx.nd.zeros((1, 2)), mx.nd.array([2]))
    parameters = model._collect_params_with_prefix()
    for name, parameter in net.bert._collect_params_with_prefix().items():
        parameters[name].set_data(parameter.data())
    return model


def inputs(segment=0):
    ids = mx.nd.array(np.random.default_rng(0).integers(0, len(VOCAB), (3, 7)), dtype="int32")
    return ids, mx.nd.full((3, 7), segment, dtype="int32"), mx.nd.array([7, 3, 4])


@pytest.mark.parametrize("head", HEADS)
def test_logits_are_those_of_gluonnlps_net_and_the_head(backbone, head):
    net = classifier(backbone, head)
    ids, segments, length = inputs()
    sequence = plain(net, backbone)(ids, length)
    encoding = sequence[:, 0] if head != "mean" else sequence.sum(axis=1) / length.reshape((-1, 1))
    expected = net.classifier(encoding).asnumpy()
    np.testing.assert_allclose(net(ids, segments, length).asnumpy(), expected, rtol=1e-5, atol=1e-5)
    assert isinstance(net.bert.encoder.transformer_cells[-1], FirstTokenCell) == (head != "mean")
    accelerate(net)
    np.testing.assert_allclose(net(ids, segments, length).asnumpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_segments_are_neither_read_nor_warned_of(backbone, head):
    net = classifier(backbone, head)
    expected = net(*inputs()).asnumpy()
    net.hybridize(static_alloc=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(net(*inputs(segment=1)).asnumpy(), expected, atol=1e-6)
    symbol, variables = net.graph()
    assert net.inputs == [variable.name for variable in variables] == ["input_ids", "valid_length"]
    assert "segment_ids" not in symbol.list_arguments()


def test_an_accelerated_net_is_exported_without_segments(backbone, tmp_path):
    net = classifier(backbone, "roberta")
    accelerate(net)
    net.hybridize(static_alloc=True)
    expected = net(*inputs()).asnumpy()
    net.export(str(tmp_path / "net"))
    files = str(tmp_path / "net-symbol.json"), str(tmp_path / "net-0000.params")
    exported = mx.gluon.SymbolBlock.imports(files[0], ["data0", "data1"], files[1])
    ids, _, length = inputs()
    np.testing.assert_allclose(exported(ids, length).asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_roberta_head_is_that_of_gluonnlps_classifier():
    net = classifier("roberta_2_24_3", "roberta")
    host = nlp.model.RoBERTaClassifier(plain(net, "roberta_2_24_3"), num_classes=3)
    host.classifier.initialize()
    ids, segments, length = inputs()
    host(ids, length)
    first, last = (layer for layer in net.classifier if isinstance(layer, mx.gluon.nn.Dense))
    for theirs, ours in zip(host.classifier, (first, last)):
        theirs.weight.set_data(ours.weight.data())
        theirs.bias.set_data(ours.bias.data())
    np.testing.assert_allclose(net(ids, segments, length).asnumpy(), host(ids, length).asnumpy(), rtol=1e-5, atol=1e-5)


def test_the_pooled_head_is_refused_in_one_line(backbone):
    with pytest.raises(UsageError, match=f"the head 'pooled' reads a pooled output, and {backbone} has none"):
        classifier(backbone, "pooled")


def test_a_vocabulary_without_the_tokens_around_sentences_is_refused_in_one_line():
    told = "the vocabulary has no bos_token and no eos_token, which pairs for roberta_2_24_3 need"
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens("abc"))
    with pytest.raises(UsageError, match=told):
        nlp.model.get_model("snli_bert_classifier", backbone="roberta_2_24_3", vocab=vocab, pretrained=False)


@pytest.mark.jax
@pytest.mark.parametrize("head", HEADS)
def test_xla_computes_the_same(backbone, head):
    from gluonnlp_snli_plugin.model.family import hparams_of
    from gluonnlp_snli_plugin.model.heads import head_named
    from gluonnlp_snli_plugin.xla.bert import Bert
    from gluonnlp_snli_plugin.xla.classifier import Classifier
    from gluonnlp_snli_plugin.xla.inference import arrays_of
    from gluonnlp_snli_plugin.xla.precision import PRECISIONS

    net = classifier(backbone, head)
    xla = Classifier(Bert(hparams_of(backbone), PRECISIONS["float32"]), head_named(head), 3, 256, 0.0)
    names = ("input_ids", "segment_ids", "valid_length")
    arrays = {name: array.asnumpy().astype(np.int32) for name, array in zip(names, inputs())}
    np.testing.assert_allclose(xla.logits(arrays_of(net), arrays), net(*inputs()).asnumpy(), rtol=1e-5, atol=1e-5)
