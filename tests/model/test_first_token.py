"""The last layer computes [CLS] alone; what it computes is what the whole layer does."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.model.first_token import FirstTokenAttention, FirstTokenCell, encode_first_token_only


def _randomize(net):
    random = np.random.RandomState(5)
    for parameter in net.collect_params(".*bias|.*gamma|.*beta").values():
        value = random.normal(float(parameter.name.endswith("gamma")), 0.3, parameter.shape)
        parameter.set_data(mx.nd.array(value))
    return net


def _cls(outputs):
    """The encoding of [CLS] and, if there is one, the pooled output."""
    encoding, *pooled = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return mx.nd.concat(encoding[:, 0], *pooled, dim=1)


def _results(net, inputs, read=_cls):
    with mx.autograd.record():
        out = read(net(*inputs))
        loss = (out * mx.nd.array(np.random.RandomState(1).normal(size=out.shape))).sum()
    loss.backward()
    gradients = {name: parameter.grad().asnumpy() for name, parameter in net.collect_params().items()}
    return out.asnumpy(), gradients


def _assert_same(ours, theirs):
    """To 1e-6 of the largest value and 2e-6 of the largest gradient."""
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-6 * np.abs(theirs[0]).max())
    assert ours[1].keys() == theirs[1].keys()
    largest = max(np.abs(gradient).max() for gradient in theirs[1].values())
    for name, gradient in theirs[1].items():
        np.testing.assert_allclose(ours[1][name], gradient, rtol=0, atol=2e-6 * largest, err_msg=name)


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("has_length", [True, False], ids=["lengths", "whole"])
@pytest.mark.parametrize("use_pooler", [False, True], ids=["encoding", "pooled"])
@pytest.mark.parametrize("shape", [(4, 11), (1, 1), (2, 33)], ids=str)
def test_encoding_and_gradients_are_those_of_the_whole_layer(
    make_bert, bert_inputs, shape, use_pooler, has_length, hybridized
):
    bert, inputs = make_bert(use_pooler=use_pooler), bert_inputs(*shape)[: 2 + has_length]
    bert(*inputs)
    expected = _results(_randomize(bert), inputs)
    encode_first_token_only(bert)
    if hybridized:
        bert.hybridize(static_alloc=True)
    _assert_same(_results(bert, inputs), expected)


@pytest.mark.parametrize("head", ["mlp", "pooled"])
def test_logits_and_gradients_of_both_heads_are_those_of_the_whole_layer(make_bert, bert_inputs, head):
    net, inputs = SNLIBertClassifier(make_bert(use_pooler=head == "pooled"), 3, head, 20, 0.0), bert_inputs()
    net.classifier.initialize(mx.init.Normal(0.3))
    net(*inputs)
    ours = _results(_randomize(net), inputs, read=lambda logits: logits)
    cell = net.bert.encoder.transformer_cells[-1]
    assert type(cell) is FirstTokenCell
    for block, stock in ((cell.attention_cell, FirstTokenAttention), (cell, FirstTokenCell)):
        block.__class__ = stock.__bases__[0]
    _assert_same(ours, _results(net, inputs, read=lambda logits: logits))


def test_the_encoding_has_one_position(make_bert, bert_inputs):
    bert = make_bert()
    encode_first_token_only(bert)
    encoding, pooled = bert(*bert_inputs(4, 11))
    assert encoding.shape == (4, 1, 24) and pooled.shape == (4, 24)


def test_a_bert_of_one_layer_too(make_bert, bert_inputs):
    bert, inputs = make_bert(encoder={"num_layers": 1}), bert_inputs()
    expected = _results(bert, inputs)
    encode_first_token_only(bert)
    _assert_same(_results(bert, inputs), expected)


def test_dropout_acts_only_while_training(make_bert, bert_inputs):
    bert, inputs = make_bert(dropout=0.5, use_pooler=False), bert_inputs()
    expected = _cls(bert(*inputs)).asnumpy()
    encode_first_token_only(bert)
    np.testing.assert_allclose(_cls(bert(*inputs)).asnumpy(), expected, rtol=0, atol=1e-5)
    with mx.autograd.train_mode():
        assert (bert(*inputs) != bert(*inputs)).asnumpy().any()


@pytest.mark.parametrize("option", ["output_attention", "output_all_encodings"])
def test_a_bert_that_gives_more_is_left_as_it_is(make_bert, bert_inputs, option):
    bert, inputs = make_bert(encoder={option: True}, use_pooler=False), bert_inputs()
    classes = [type(cell) for cell in bert.encoder.transformer_cells]
    bert(*inputs)
    encode_first_token_only(bert)
    assert [type(cell) for cell in bert.encoder.transformer_cells] == classes
    first = bert(*inputs)[0]
    assert (first[0] if isinstance(first, list) else first).shape == (4, 11, 24)


def test_doing_it_twice_changes_nothing_more(make_bert, bert_inputs):
    bert, inputs = make_bert(), bert_inputs()
    encode_first_token_only(bert)
    expected = _cls(bert(*inputs)).asnumpy()
    encode_first_token_only(bert)
    np.testing.assert_array_equal(_cls(bert(*inputs)).asnumpy(), expected)


def test_parameter_files_are_interchangeable(make_bert, bert_inputs, tmp_path):
    whole, part, inputs = make_bert(), make_bert(), bert_inputs()
    encode_first_token_only(part)
    whole(*inputs)
    part(*inputs)
    _randomize(whole).save_parameters(str(tmp_path / "whole"))
    part.load_parameters(str(tmp_path / "whole"))
    part.save_parameters(str(tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
    expected = _cls(whole(*inputs)).asnumpy()
    np.testing.assert_allclose(_cls(part(*inputs)).asnumpy(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
