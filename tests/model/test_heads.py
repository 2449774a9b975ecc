"""A head is one class: the net, the operators, the model folder and the exports take what it says of itself."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.model.first_token import FirstTokenCell
from gluonnlp_snli_plugin.model.heads import head_named, head_names
from gluonnlp_snli_plugin.native.accelerate import accelerate

UNITS = 24  # of make_bert


@pytest.fixture
def make_net(make_bert):
    def make(head, num_classes=3):
        net = SNLIBertClassifier(make_bert(use_pooler=head_named(head).needs_pooler), num_classes, head, 10, 0.0)
        net.classifier.initialize(mx.init.Normal(0.3))
        return net

    return make


def test_there_are_four():
    assert head_names() == ["mean", "mlp", "pooled", "roberta"]


def test_an_unknown_one_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="no head 'cnn'; there are: mean, mlp, pooled, roberta"):
        head_named("cnn")


def test_mean_is_a_dense_layer_on_the_mean_over_the_tokens_of_each_pair(make_net, bert_inputs):
    net = make_net("mean", num_classes=5)
    input_ids, segment_ids, _ = bert_inputs(3, 9)
    valid_length = mx.nd.array([9, 4, 1])
    encoded = net.bert(input_ids, segment_ids, valid_length).asnumpy()
    _, output = net.classifier
    means = np.stack([row[: int(n)].mean(axis=0) for row, n in zip(encoded, valid_length.asnumpy())])
    expected = means @ output.weight.data().asnumpy().T + output.bias.data().asnumpy()
    found = net(input_ids, segment_ids, valid_length).asnumpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    net.hybridize(static_alloc=True)
    np.testing.assert_allclose(net(input_ids, segment_ids, valid_length).asnumpy(), expected, atol=1e-5)


def test_padding_does_not_change_the_logits_of_mean(make_net, bert_inputs):
    net = make_net("mean")
    input_ids, segment_ids, _ = bert_inputs(2, 8)
    expected = net(input_ids, segment_ids, mx.nd.array([8, 8]))
    pad = mx.nd.ones((2, 3), dtype="int32")
    padded = net(mx.nd.concat(input_ids, pad), mx.nd.concat(segment_ids, pad), mx.nd.array([8, 8]))
    np.testing.assert_allclose(padded.asnumpy(), expected.asnumpy(), atol=1e-5)


@pytest.mark.parametrize("head", head_names())
def test_the_last_layer_encodes_what_the_head_reads(make_net, head):
    net = make_net(head)
    is_first_only = isinstance(net.bert.encoder.transformer_cells[-1], FirstTokenCell)
    assert is_first_only != head_named(head).needs_all_tokens


@pytest.mark.parametrize("head", head_names())
def test_the_parameters_are_those_that_it_names(make_net, bert_inputs, head):
    net = make_net(head)
    net(*bert_inputs())
    own = {name: p.shape for name, p in net._collect_params_with_prefix().items() if name.startswith("classifier.")}
    assert own == head_named(head).parameter_shapes(UNITS, 3, 10)


@pytest.mark.parametrize("head", head_names())
def test_logits_from_the_encoding_are_those_of_the_net(make_net, bert_inputs, head):
    net = make_net(head)
    input_ids, segment_ids, _ = bert_inputs(3, 7)
    whole = mx.nd.full((3,), 7)
    encoded = net.bert(input_ids, segment_ids, whole)
    sequence = encoded[0] if head_named(head).needs_pooler else encoded
    np.testing.assert_allclose(
        net.classify(sequence).asnumpy(), net(input_ids, segment_ids, whole).asnumpy(), atol=1e-6
    )


@pytest.mark.parametrize("head", head_names())
def test_logits_and_gradients_with_the_operators_are_the_same(make_net, bert_inputs, native_operators, head):
    net, inputs = make_net(head), bert_inputs()

    def results():
        with mx.autograd.record():
            logits = net(*inputs)
            loss = (logits * mx.nd.array(np.random.RandomState(1).normal(size=logits.shape))).sum()
        loss.backward()
        return [logits.asnumpy(), *(parameter.grad().asnumpy() for parameter in net.collect_params().values())]

    expected = results()
    assert accelerate(net)
    largest = max(np.abs(gradient).max() for gradient in expected[1:])
    for found, wanted in zip(results(), expected):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-5 * largest)


def test_one_of_a_users_own_is_a_name_like_any_other(widest, tiny_name, bert_inputs):
    net, _ = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, head=widest, num_classes=2
    )
    inputs = bert_inputs(3, 6)
    expected = net.bert(*inputs)
    masked = mx.nd.SequenceMask(expected, inputs[2], use_sequence_length=True, axis=1, value=-1e9).max(axis=1)
    np.testing.assert_allclose(net(*inputs).asnumpy(), net.classifier(masked).asnumpy(), atol=1e-6)
    assert net.classifier[0].weight.shape == (32, 16)
