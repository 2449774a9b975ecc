"""A script on ``mx.gpu(i)`` trains its net as MXNet does on the CPU: losses and parameters after 20 updates."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier

pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")


@pytest.fixture
def assert_trains_alike(gpus, train, values_of, assert_equal):
    """Trains a net on the CPU and on a device, and compares."""

    def check(make, atol=1e-4, **settings):
        expected = make(mx.cpu())
        expected_losses = train(expected, mx.cpu(), **settings)
        with gpus():
            found = make(mx.gpu(0))
            losses = train(found, mx.gpu(0), **settings)
            found = values_of(found)
        np.testing.assert_allclose(losses, expected_losses, atol=atol)
        assert_equal(found, values_of(expected), atol)

    return check


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_classifier(accumulate, assert_trains_alike, make_classifier):
    assert_trains_alike(lambda context: make_classifier(context, num_layers=2), accumulate=accumulate)


def test_frozen_parameters(assert_trains_alike, make_classifier):
    def make(context):
        net = make_classifier(context, num_layers=2)
        net.bert.word_embed.collect_params().setattr("grad_req", "null")
        net.bert.encoder.transformer_cells[0].collect_params().setattr("grad_req", "null")
        return net

    assert_trains_alike(make)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_optimizers_update_on_the_cpu_which_is_told_once(optimizer, assert_trains_alike, make_classifier, caplog):
    assert_trains_alike(make_classifier, optimizer=optimizer, updates=5)
    assert [record.message for record in caplog.records if "transfers" in record.message] == [
        f"{dict(adam='Adam', sgd='SGD')[optimizer]} updates parameters on the CPU: each update transfers all of them "
        "there and back; bertadam updates them on the device"
    ]


def test_gradients_on_two_places_are_clipped_and_set_to_zero_where_they_are(gpus, make_classifier, bert_inputs):
    with gpus(2):
        places = [mx.gpu(0), mx.gpu(1)]
        net = make_classifier(places)
        with mx.autograd.record():
            losses = [net(*bert_inputs(ctx=place)).sum() for place in places]
        mx.autograd.backward(losses)
        gradients = [p.list_grad() for p in net.collect_params().values()]
        devices = [array.values.devices() for array in gradients[0]]
        assert devices[0] != devices[1]
        before = gradients[0][1].asnumpy()
        norm = nlp.utils.clip_grad_global_norm(net.collect_params().values(), 0.5).asscalar()
        np.testing.assert_allclose(gradients[0][1].asnumpy(), before * 0.5 / norm, rtol=1e-5)
        net.collect_params().zero_grad()
        assert not any(array.asnumpy().any() for copies in gradients for array in copies)
        assert all([array.values.devices() for array in copies] == devices for copies in gradients)


@pytest.mark.parametrize("head", ["mlp", "pooled", "mean"])
def test_this_packages_classifiers(head, assert_trains_alike, make_bert):
    def make(context):
        bert = make_bert(ctx=context, encoder={"num_layers": 1}, use_pooler=head == "pooled")
        net = SNLIBertClassifier(bert, 3, head, 16, 0.0)
        net.classifier.initialize(mx.init.Normal(0.3), ctx=context)
        net.hybridize()
        return net

    assert_trains_alike(make)


@pytest.fixture
def make_without_segments():
    """Makes GluonNLP's RoBERTaModel or DistilBERTModel, on a context."""
    vocab = nlp.Vocab(nlp.data.count_tokens(map(str, range(60))), mask_token="<mask>")

    def make(name, context, **settings):
        mx.random.seed(11)
        model, _ = nlp.model.get_model(name, vocab=vocab, pretrained=False, dropout=0.0, **settings)
        model.initialize(mx.init.Normal(0.3), ctx=context)
        return model

    return make


class WithoutSegments(mx.gluon.Block):
    """Takes the batches of BERT's script."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, input_ids, segment_ids, valid_length):
        return self.net(input_ids, valid_length)


def test_gluonnlps_roberta_classifier(assert_trains_alike, make_without_segments):
    def make(context):
        net = nlp.model.RoBERTaClassifier(
            make_without_segments("roberta_2_24_3", context, use_decoder=False), num_classes=3, dropout=0.0
        )
        net.classifier.initialize(mx.init.Normal(0.3), ctx=context)
        net.hybridize(static_alloc=True)
        return WithoutSegments(net)

    assert_trains_alike(make)


@pytest.mark.parametrize("name", ["roberta_2_24_3", "distilbert_2_24_3"])
def test_this_packages_classifiers_without_segments(name, assert_trains_alike, make_without_segments):
    def make(context):
        model = make_without_segments(name, context, **({"use_decoder": False} if name.startswith("roberta") else {}))
        net = SNLIBertClassifier(model, 3, "roberta", 16, 0.0)
        net.classifier.initialize(mx.init.Normal(0.3), ctx=context)
        net.hybridize()
        return net

    assert_trains_alike(make)


def test_models_without_segments_themselves(gpus, make_without_segments, bert_inputs):
    masked = mx.nd.array([[1, 3]] * 4)
    for name, more in (("roberta_2_24_3", [masked]), ("distilbert_2_24_3", [])):
        input_ids, _, valid_length = bert_inputs()
        expected = make_without_segments(name, mx.cpu())(input_ids, valid_length, *more)
        with gpus():
            inputs = [array.as_in_context(mx.gpu(0)) for array in (input_ids, valid_length, *more)]
            found = make_without_segments(name, mx.gpu(0))(*inputs)
            for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected))):
                np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=1e-4)


class OnPooled(mx.gluon.Block):
    """A user's own classifier, on BERT's pooled output."""

    def __init__(self, bert, **settings):
        super().__init__(**settings)
        with self.name_scope():
            self.bert, self.output = bert, mx.gluon.nn.Dense(3, in_units=24)

    def forward(self, *inputs):
        _, pooled = self.bert(*inputs)
        return self.output(pooled)


class OnPooledHybrid(mx.gluon.HybridBlock):
    """The same as a graph, once it is hybridized."""

    def __init__(self, bert, **settings):
        super().__init__(**settings)
        with self.name_scope():
            self.bert, self.output = bert, mx.gluon.nn.Dense(3, in_units=24)
            self.scale = self.params.get("scale", shape=(1,), init="ones")

    def hybrid_forward(self, F, *inputs, scale):
        _, pooled = self.bert(*inputs)
        return F.broadcast_mul(self.output(pooled), scale)


class OnTokens(mx.gluon.HybridBlock):
    """A user's own classifier, on the encodings of all tokens, with a layer whose shape shows in the first batch."""

    def __init__(self, bert, **settings):
        super().__init__(**settings)
        with self.name_scope():
            self.bert, self.output = bert, mx.gluon.nn.Dense(3, flatten=False)

    def hybrid_forward(self, F, *inputs):
        return F.mean(self.output(F.tanh(self.bert(*inputs))), axis=1)


@pytest.mark.parametrize("hybridizes", [False, True])
@pytest.mark.parametrize("kind", [OnPooled, OnPooledHybrid, OnTokens])
def test_nets_of_the_users(kind, hybridizes, assert_trains_alike, make_bert):
    def make(context):
        net = kind(make_bert(ctx=context, encoder={"num_layers": 1}, use_pooler=kind is not OnTokens))
        net.initialize(mx.init.Normal(0.3), ctx=context)
        if hybridizes:
            net.hybridize()
        return net

    with pytest.warns(UserWarning, match="already initialized"):
        assert_trains_alike(make)


def test_batches_of_many_shapes(gpus, make_classifier, bert_inputs):
    with gpus():
        expected, found = make_classifier(mx.cpu()), make_classifier(mx.gpu(0))
        for batch, length in [(4, 11), (3, 20), (4, 16), (1, 5), (6, 30)]:
            logits = found(*bert_inputs(batch, length, ctx=mx.gpu(0))).asnumpy()
            np.testing.assert_allclose(logits, expected(*bert_inputs(batch, length)).asnumpy(), atol=1e-4)
