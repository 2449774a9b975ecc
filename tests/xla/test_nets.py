"""Through XLA the nets give what MXNet gives: logits, losses and gradients of every parameter."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.data.batches import Batch
from gluonnlp_snli_plugin.data.pretraining.batches import PretrainingBatch
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.model.heads import Head, head_named
from gluonnlp_snli_plugin.model.pretraining import PretrainingNet, initialize_rest
from gluonnlp_snli_plugin.train.engines.engine import names_of
from gluonnlp_snli_plugin.train.engines.objectives import MaskedWordsAndOrder

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")
from jax import export  # noqa: E402

from gluonnlp_snli_plugin.xla.bert import Bert  # noqa: E402
from gluonnlp_snli_plugin.xla.classifier import Classifier  # noqa: E402
from gluonnlp_snli_plugin.xla.inference import arrays_of  # noqa: E402
from gluonnlp_snli_plugin.xla.precision import PRECISIONS  # noqa: E402
from gluonnlp_snli_plugin.xla.pretraining import Pretraining  # noqa: E402

HPARAMS = {"num_layers": 2, "units": 24, "num_heads": 3, "hidden_size": 40, "dropout": 0.0, "layer_norm_eps": 1e-12}


def xla_classifier(head="mlp", dtype="float32", dropout=0.0, **settings):
    hparams = {**HPARAMS, "dropout": dropout}
    return Classifier(Bert(hparams, PRECISIONS[dtype], **settings), head_named(head), 3, 16, dropout)


def batch_of(inputs):
    input_ids, segment_ids, valid_length = (array.asnumpy() for array in inputs)
    label = (np.arange(len(input_ids)) % 3).astype(np.int32)
    longest = int(valid_length.max())
    return Batch(input_ids, segment_ids, valid_length, label, np.arange(len(label)), len(label), longest)


@pytest.fixture
def make_classifier(make_bert):
    def make(head="mlp", **encoder):
        bert = make_bert(use_pooler=head == "pooled", encoder={"num_layers": 2, **encoder})
        net = SNLIBertClassifier(bert, 3, head, 16, 0.0)
        net.classifier.initialize(mx.init.Normal(0.3))
        net(mx.nd.zeros((1, 2), dtype="int32"), mx.nd.zeros((1, 2), dtype="int32"), mx.nd.full(1, 2))
        return net

    return make


def gradients_by_mxnet(net, loss):
    """The gradient of each parameter under its first name, after `loss` has been computed and recorded."""
    loss.backward()
    return {names[0]: parameter.grad().asnumpy() for parameter, names in names_of(net)}


def assert_equal_gradients(found, expected):
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, atol=1e-4 * max(1, np.abs(gradient).max()), err_msg=name)


@pytest.mark.parametrize("head", ["mlp", "pooled", "mean"])
def test_logits_loss_and_gradients_are_mxnets(head, make_classifier, bert_inputs):
    net, inputs, xla = make_classifier(head), bert_inputs(), xla_classifier(head)
    batch, weights = batch_of(inputs), arrays_of(make_classifier(head))
    with mx.autograd.record():
        out = net(*inputs)
        loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()(out, mx.nd.array(batch.label)).sum()
    arrays = xla.inputs(batch, 6, 16)  # rows and positions that are padding
    np.testing.assert_allclose(jax.jit(xla.logits)(weights, arrays)[:4], out.asnumpy(), atol=1e-4)
    found, gradients = jax.jit(jax.value_and_grad(lambda weights: xla.figures(weights, arrays)["loss"]))(weights)
    assert found == pytest.approx(loss.asscalar(), abs=1e-4)
    assert_equal_gradients(gradients, gradients_by_mxnet(net, loss))


@pytest.mark.parametrize("activation", ["approx_gelu", "relu"])
def test_other_activations_are_mxnets(activation, make_classifier, bert_inputs):
    net, inputs = make_classifier(activation=activation), bert_inputs()
    bert = Bert({**HPARAMS, "activation": activation}, PRECISIONS["float32"])
    xla = Classifier(bert, head_named("mlp"), 3, 16, 0.0)
    logits = jax.jit(xla.logits)(arrays_of(net), xla.inputs(batch_of(inputs), 4, 11))
    np.testing.assert_allclose(logits, net(*inputs).asnumpy(), atol=1e-4)


def test_accuracy_counts_pairs_and_no_padding(make_classifier, bert_inputs):
    net, xla = make_classifier(), xla_classifier()
    batch = batch_of(bert_inputs())
    logits = net(*bert_inputs()).asnumpy()
    figures = jax.jit(xla.figures)(arrays_of(net), xla.inputs(batch, 8, 16))
    assert figures["accuracy"] == (logits.argmax(axis=1) == batch.label).sum()


def test_a_head_of_another_pooling_is_refused_by_name():
    class Strange(Head):
        name, pooling = "strange", None

    with pytest.raises(ValueError, match="--head strange cannot be computed through XLA"):
        Classifier(Bert(HPARAMS, PRECISIONS["float32"]), Strange(), 3, 16, 0.0)


@pytest.mark.parametrize("dtype, tolerance", [("tfloat32", 1e-3), ("bfloat16", 0.2), ("float16", 0.03)])
def test_lower_precisions_are_near(dtype, tolerance, make_classifier, bert_inputs):
    net, xla = make_classifier(), xla_classifier(dtype=dtype)
    logits = jax.jit(xla.logits)(arrays_of(net), xla.inputs(batch_of(bert_inputs()), 4, 16))
    expected = net(*bert_inputs()).asnumpy()
    assert logits.dtype == np.float32
    assert np.abs(logits - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.long
def test_remat_changes_no_gradient(make_classifier, bert_inputs):
    weights, key = arrays_of(make_classifier()), np.array([1, 2], np.uint32)
    gradients = []
    for remat in (False, True):
        xla = xla_classifier(dropout=0.3, remat=remat)
        arrays = xla.inputs(batch_of(bert_inputs()), 4, 11)
        loss = jax.jit(jax.grad(lambda weights, xla=xla, arrays=arrays: xla.figures(weights, arrays, key)["loss"]))
        gradients.append(loss(weights))
    assert_equal_gradients(gradients[1], {name: np.asarray(gradient) for name, gradient in gradients[0].items()})


def test_a_program_for_gpus_can_be_made_without_one(make_classifier):
    """As far as the device's own compiler: in every precision the net has operators that JAX has for CUDA."""
    for dtype in PRECISIONS:
        xla = xla_classifier(dtype=dtype, dropout=0.1)
        key = np.array([1, 2], np.uint32)
        step = jax.jit(jax.grad(lambda weights, arrays, xla=xla, key=key: xla.figures(weights, arrays, key)["loss"]))
        exported = export.export(step, platforms=["cuda"])(arrays_of(make_classifier()), xla.blank(8, 16))
        assert exported.platforms == ("cuda",)


def test_no_gradient_is_added_up_where_it_falls(make_classifier, pretraining_net, bert_inputs):
    """In a fixed order XLA scatters one row after the other on a GPU, and in no order results cannot be repeated."""
    pretraining = Pretraining(Bert(HPARAMS, PRECISIONS["bfloat16"]), 0.15)
    nets = [(xla_classifier(head), make_classifier(head)) for head in ("mlp", "pooled", "mean")]
    for xla, net in [*nets, (pretraining, pretraining_net)]:
        step = jax.jit(jax.grad(lambda weights, arrays, xla=xla: sum(xla.figures(weights, arrays).values())))
        assert "scatter" not in step.lower(arrays_of(net), xla.blank(4, 16)).as_text()


# Pretraining ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pretraining_net(make_bert):
    net = PretrainingNet(make_bert(encoder={"num_layers": 2}, use_pooler=True, use_decoder=True, use_classifier=True))
    initialize_rest(net.bert, [mx.cpu()])
    return net


def pretraining_batch(inputs):
    input_ids, segment_ids, valid_length = (array.asnumpy() for array in inputs)
    masked_position = np.array([1, 2, 12, 23, 34, 35, 0, 0], np.int32)  # of rows 0, 0, 1, 2, 3, 3; two to fill up
    masked_id = np.array([7, 8, 9, 10, 11, 12, 0, 0], np.int32)
    weight = (np.arange(8) < 6).astype(np.float32)
    label, index = np.array([0, 1, 1, 0], np.int32), np.arange(4)
    return PretrainingBatch(
        input_ids, segment_ids, valid_length, label, masked_position, masked_id, weight, index, 4, 6, 11
    )


def test_both_losses_of_pretraining_and_their_gradients_are_mxnets(pretraining_net, bert_inputs):
    batch = pretraining_batch(bert_inputs())
    xla, objective = Pretraining(Bert(HPARAMS, PRECISIONS["float32"]), 0.3), MaskedWordsAndOrder(HPARAMS, 0.3)
    arrays, weights = xla.inputs(batch, 6, 16), arrays_of(pretraining_net)
    with mx.autograd.record():
        expected = objective.figures(pretraining_net, batch, mx.cpu())
        loss = expected["mlm_loss"] / 6 + expected["nsp_loss"] / 4

    def total(weights):
        found = xla.figures(weights, arrays)
        return found["mlm_loss"] / 6 + found["nsp_loss"] / 4

    for name, value in jax.jit(xla.figures)(weights, arrays).items():
        assert value == pytest.approx(expected[name].asscalar(), abs=1e-4), name
    assert_equal_gradients(jax.jit(jax.grad(total))(weights), gradients_by_mxnet(pretraining_net, loss))


def test_masks_that_do_not_fit_are_of_a_single_word(bert_inputs):
    """A pair's only word is masked as a whole, however many pieces it has; some are not predicted then."""
    batch = pretraining_batch(bert_inputs())
    xla = Pretraining(Bert(HPARAMS, PRECISIONS["float32"]), 0.01)  # four masks a pair, the least
    long = np.arange(1, 9, dtype=np.int32)
    arrays = xla.inputs(batch._replace(masked_position=long, masked_weight=np.ones(8, np.float32)), 4, 16)
    np.testing.assert_array_equal(arrays["masked_position"][0], [1, 2, 3, 4])
    assert arrays["masked_weight"].sum() == 4


def test_a_dropout_before_the_first_layer_of_a_head_acts_in_training_alone(make_classifier, bert_inputs):
    net = make_classifier("roberta")
    batch, weights, key = batch_of(bert_inputs(4, 11)), arrays_of(net), np.array([3, 5], np.uint32)
    bert, head = Bert(HPARAMS, PRECISIONS["float32"]), head_named("roberta")
    plain, dropping = (Classifier(bert, head, 3, 16, 0.0, input_dropout=rate) for rate in (0.0, 0.5))
    inputs = plain.inputs(batch, 4, 11)
    expected = plain.logits(weights, inputs)
    np.testing.assert_allclose(dropping.logits(weights, inputs), expected)
    np.testing.assert_allclose(plain.logits(weights, inputs, key), expected)
    assert np.abs(dropping.logits(weights, inputs, key) - expected).max() > 0.1
