"""Nets, batches and a training loop as GluonNLP's scripts have them, for a context of the test's choice."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model import BERTClassifier


@pytest.fixture
def make_classifier(make_bert, bert_inputs):
    """Makes GluonNLP's BERTClassifier, of one layer unless a test asks for more; all have the same parameters."""

    def make(context, dropout=0.0, **encoder):
        net = BERTClassifier(make_bert(dropout, encoder={"num_layers": 1, **encoder}), num_classes=3, dropout=dropout)
        net.classifier.initialize(mx.init.Normal(0.3))
        net(*bert_inputs())  # initializes what is of a shape that the first batch shows
        net.collect_params().reset_ctx(context)
        net.hybridize(static_alloc=True)
        return net

    return make


@pytest.fixture
def batches(bert_inputs):
    """Makes batches: token ids, segment ids, lengths, labels; on the CPU, as a DataLoader does."""

    def make(number, length=11):
        for seed in range(number):
            yield (*bert_inputs(length=length, seed=seed), mx.nd.array(np.arange(seed, seed + 4) % 3))

    return make


@pytest.fixture
def train(batches):
    """Trains a net as finetune_classifier.py does; returns the losses."""

    def run(net, context, updates=20, accumulate=1, trainer=None, optimizer="bertadam", backward=None, max_norm=1.0):
        parameters = [p for p in net.collect_params().values() if p.grad_req != "null"]
        trainer = trainer or make_trainer(net, optimizer)
        for parameter in parameters:
            parameter.grad_req = "add" if accumulate > 1 else "write"
        loss_function, losses = mx.gluon.loss.SoftmaxCELoss(), []
        loss_function.hybridize(static_alloc=True)
        for number, batch in enumerate(batches(updates * accumulate)):
            *inputs, label = (array.as_in_context(context) for array in batch)
            with mx.autograd.record():
                loss = loss_function(net(*inputs), label).mean()
            loss.backward()
            if (number + 1) % accumulate == 0:
                trainer.allreduce_grads()
                nlp.utils.clip_grad_global_norm(parameters, max_norm)
                trainer.update(accumulate)
                if accumulate > 1:
                    net.collect_params().zero_grad()
            losses.append(loss.asscalar())
        return losses

    return run


def make_trainer(net, optimizer="bertadam"):
    # The gradient of the keys' biases is zero but for rounding errors, which a small epsilon would enlarge.
    settings = {"bertadam": {"epsilon": 1e-6, "wd": 0.01}, "adam": {"epsilon": 1e-4}}.get(optimizer, {})
    return mx.gluon.Trainer(
        net.collect_params(), optimizer, {"learning_rate": 1e-3, **settings}, update_on_kvstore=False
    )


@pytest.fixture(name="make_trainer")
def _make_trainer():
    """Makes the Trainer of a net as the scripts do."""
    return make_trainer


@pytest.fixture
def values_of():
    """The parameters of a net by their names in its structure."""

    def values(net):
        return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}

    return values


@pytest.fixture
def assert_equal():
    """Asserts that two dicts of arrays are equal, as far as the order of additions allows."""

    def check(found, expected, atol=1e-4):
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, atol=atol, err_msg=name)

    return check
