"""The classification head, looked up by name."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier


def _inputs(batch, length):
    random = np.random.default_rng(0)
    input_ids = mx.nd.array(random.integers(5, 30, (batch, length)), dtype="int32")
    segment_ids = mx.nd.array(np.arange(length) >= length // 2, dtype="int32").broadcast_to((batch, length))
    return input_ids, segment_ids, mx.nd.array(random.integers(3, length + 1, batch))


@pytest.mark.parametrize("head", ["mlp", "pooled", "mean"])
def test_logits_of_any_shape_plain_and_hybridized(tiny_name, head):
    net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, head=head)
    assert isinstance(net, SNLIBertClassifier) and isinstance(vocab, nlp.vocab.BERTVocab)
    shapes = [(1, 5), (4, 9), (3, 33), (4, 9)]
    plain = [net(*_inputs(*shape)).asnumpy() for shape in shapes]
    net.hybridize(static_alloc=True)
    for shape, expected in zip(shapes, plain):
        logits = net(*_inputs(*shape))
        assert logits.shape == (shape[0], 3)
        np.testing.assert_allclose(logits.asnumpy(), expected, atol=1e-5)


def test_padding_does_not_change_the_logits(tiny_name):
    net, _ = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    input_ids, segment_ids, _ = _inputs(2, 8)
    expected = net(input_ids, segment_ids, mx.nd.array([8, 8]))
    pad = mx.nd.ones((2, 3), dtype="int32")
    padded = net(mx.nd.concat(input_ids, pad), mx.nd.concat(segment_ids, pad), mx.nd.array([8, 8]))
    np.testing.assert_allclose(padded.asnumpy(), expected.asnumpy(), atol=1e-5)


def test_the_mlp_head_is_dense_relu_dense_on_the_encoding_of_cls(tiny_name):
    net, _ = nlp.model.get_model(
        "snli_bert_classifier",
        backbone="bert_2_16_2",
        dataset_name=tiny_name,
        head="mlp",
        hidden_units=7,
        num_classes=5,
    )
    inputs = _inputs(3, 6)
    hidden, _, output = net.classifier
    cls = net.bert(*inputs)[:, 0, :]
    expected = mx.nd.dot(
        mx.nd.relu(mx.nd.dot(cls, hidden.weight.data().T) + hidden.bias.data()), output.weight.data().T
    )
    assert hidden.weight.shape == (7, 16) and output.weight.shape == (5, 7)
    np.testing.assert_allclose(net(*inputs).asnumpy(), (expected + output.bias.data()).asnumpy(), atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_pooled_files_are_interchangeable_with_gluonnlps_classifier(tiny_name, tmp_path, dropout):
    ours, _ = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, head="pooled", dropout=dropout
    )
    bert, _ = nlp.model.get_model(
        "bert_2_16_2", dataset_name=tiny_name, pretrained=True, use_decoder=False, use_classifier=False
    )
    stock = nlp.model.BERTClassifier(bert, num_classes=3, dropout=0.1)  # as GluonNLP's script makes it
    nlp.utils.save_parameters(ours, str(tmp_path / "ours.params"))
    nlp.utils.load_parameters(stock, str(tmp_path / "ours.params"), ctx=mx.cpu())
    inputs = _inputs(4, 7)
    np.testing.assert_allclose(stock(*inputs).asnumpy(), ours(*inputs).asnumpy(), atol=1e-6)
    stock.classifier.initialize(mx.init.Normal(1), force_reinit=True)
    nlp.utils.save_parameters(stock, str(tmp_path / "stock.params"))
    nlp.utils.load_parameters(ours, str(tmp_path / "stock.params"), ctx=mx.cpu())
    np.testing.assert_allclose(stock(*inputs).asnumpy(), ours(*inputs).asnumpy(), atol=1e-6)


def test_dropout_acts_in_backbone_and_head_only_while_training(tiny_name):
    net, _ = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, dropout=0.5)
    inputs = _inputs(2, 6)
    assert (net(*inputs) == net(*inputs)).asnumpy().all()
    with mx.autograd.train_mode():
        assert (net(*inputs) != net(*inputs)).asnumpy().any()
        assert (net.bert(*inputs) != net.bert(*inputs)).asnumpy().any()


def test_without_pretrained_weights_everything_is_new():
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens([chr(97 + i) for i in range(26)]))
    net, _ = nlp.model.get_model("snli_bert_classifier", backbone="bert_1_8_2", vocab=vocab, pretrained=False)
    assert net(*_inputs(2, 4)).shape == (2, 3)


@pytest.mark.parametrize("backbone, head", [("roberta_1_8_2", "roberta"), ("distilbert_1_8_2", "mlp")])
def test_the_default_head_is_that_of_the_family(backbone, head):
    vocab = nlp.vocab.BERTVocab(
        nlp.data.count_tokens(["a"]), unknown_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]"
    )
    net, _ = nlp.model.get_model("snli_bert_classifier", backbone=backbone, vocab=vocab, pretrained=False)
    assert net.head.name == head


def test_an_unknown_head_is_refused():
    with pytest.raises(UsageError, match="'cnn'; there are: mean, mlp, pooled, roberta"):
        nlp.model.get_model("snli_bert_classifier", head="cnn")
