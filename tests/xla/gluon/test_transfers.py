"""Transfers between the host and a device: batches, outputs, their gradients; parameters if a script reads them."""

import contextlib

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")

from gluonnlp_snli_plugin.xla.gluon.arrays import TRANSFERS  # noqa: E402


@pytest.fixture
def transferred():
    """Counts the arrays that go (to the device, to the host) within a block: a list of the two."""

    @contextlib.contextmanager
    def count():
        before, found = (TRANSFERS.to_device, TRANSFERS.to_host), []
        yield found
        found += [TRANSFERS.to_device - before[0], TRANSFERS.to_host - before[1]]

    return count


@pytest.fixture
def net(gpus, make_classifier, train):
    """A net on mx.gpu(0) that has been trained for an update."""
    with gpus():
        net = make_classifier(mx.gpu(0))
        train(net, mx.gpu(0), updates=1)
        yield net


@pytest.fixture
def logits_of(bert_inputs):
    return lambda net: net(*bert_inputs(ctx=mx.gpu(0))).asnumpy()


@pytest.mark.parametrize("num_layers", [1, 2])
def test_an_update_sends_the_batch_and_one_gradient_and_fetches_logits_and_norm(
    num_layers, gpus, make_classifier, make_trainer, train, transferred
):
    with gpus():
        net = make_classifier(mx.gpu(0), num_layers=num_layers)
        trainer = make_trainer(net)
        train(net, mx.gpu(0), updates=1, trainer=trainer)
        with transferred() as update:
            train(net, mx.gpu(0), updates=1, trainer=trainer)
        with transferred() as accumulated:
            train(net, mx.gpu(0), updates=1, accumulate=3, trainer=trainer)
    assert update == [3 + 1, 1 + 1]
    assert accumulated == [3 * (3 + 1), 3 * 1 + 1]


def test_what_an_update_kept_is_freed_when_it_is_done(net, train, make_trainer):
    trainer = make_trainer(net)
    numbers = []
    for _ in range(4):
        train(net, mx.gpu(0), updates=3, trainer=trainer)
        mx.nd.waitall()
        numbers.append(len(jax.live_arrays()))
    assert numbers[1:] == numbers[1:2] * 3


def test_an_evaluation_sends_the_batch_and_fetches_the_logits(net, logits_of, transferred):
    with transferred() as evaluation:
        logits_of(net)
    assert evaluation == [3, 1]


def test_tokens_that_are_not_read_are_not_fetched(gpus, make_bert, bert_inputs, transferred):
    with gpus():
        bert = make_bert(ctx=mx.gpu(0), encoder={"num_layers": 1})
        bert(*bert_inputs(ctx=mx.gpu(0)))
        with transferred() as call:
            tokens, _ = bert(*bert_inputs(ctx=mx.gpu(0)))
            assert tokens.shape == (4, 11, 24)
        with transferred() as reading:
            tokens.asnumpy()
            tokens.sum().asnumpy()
    assert (call, reading) == ([3, 1], [0, 1])


def save(net, folder):
    net.save_parameters(str(folder / "net.params"))


def save_dict(net, folder):
    net.collect_params().save(str(folder / "dict.params"))


def read(net, folder):
    [p.data().asnumpy() for p in net.collect_params().values()]


def compute(net, folder):
    [p.data().norm().asscalar() for p in net.collect_params().values()]


@pytest.mark.parametrize("look", [read, compute, save, save_dict])
def test_looking_fetches_each_parameter_once_until_the_next_update(look, net, train, logits_of, transferred, tmp_path):
    number = len(net.collect_params().keys())
    with transferred() as first:
        look(net, tmp_path)
    with transferred() as again:
        look(net, tmp_path)
        read(net, tmp_path)
    with transferred() as call:
        logits_of(net)
    train(net, mx.gpu(0), updates=1)
    with transferred() as after_update:
        look(net, tmp_path)
    assert (first, again, call, after_update) == ([0, number], [0, 0], [3, 1], [0, number])


def test_norms_of_gradients_fetch_gradients_alone(net, transferred):
    parameters = net.collect_params().values()
    with transferred() as fetched:
        norms = [p.list_grad()[0].norm().asscalar() for p in parameters]
        nlp.utils.grad_global_norm(parameters)
    assert fetched == [0, len(norms) + 1]


def load(net, values, folder):
    other = {name: mx.nd.array(value) for name, value in values.items()}
    mx.nd.save(str(folder / "other.params"), other)
    net.load_parameters(str(folder / "other.params"), ctx=mx.gpu(0))


def set_data(net, values, folder):
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(values[name]))


def assign(net, values, folder):
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.data()[:] = values[name]


def assign_rows(net, values, folder):
    for name, parameter in net._collect_params_with_prefix().items():
        for number, row in enumerate(values[name]):
            parameter.data()[number] = row if np.ndim(row) else float(row)


def write_views(net, values, folder):
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.data().reshape(-1)[:] = values[name].reshape(-1)


def copy_to(net, values, folder):
    for name, parameter in net._collect_params_with_prefix().items():
        mx.nd.array(values[name], mx.gpu(0)).copyto(parameter.data())


def add_in_place(net, values, folder):
    for name, parameter in net._collect_params_with_prefix().items():
        data = parameter.data()
        data += mx.nd.array(values[name], mx.gpu(0)) - parameter.data()


@pytest.mark.parametrize("write", [load, set_data, assign, assign_rows, write_views, copy_to, add_in_place])
def test_what_a_script_writes_is_seen_by_the_next_call(
    write, net, make_classifier, values_of, logits_of, bert_inputs, transferred, tmp_path
):
    other = make_classifier(mx.cpu())
    for parameter in other.collect_params().values():
        parameter.set_data(parameter.data() * 0.9 + 0.01)
    write(net, values_of(other), tmp_path)
    with transferred() as call:
        found = logits_of(net)
    assert call == [3 + len(net.collect_params().keys()), 1]
    np.testing.assert_allclose(found, other(*bert_inputs()).asnumpy(), atol=1e-4)
    with transferred() as next_call:
        logits_of(net)
    assert next_call == [3, 1]


@pytest.mark.parametrize("write", [load, set_data, assign])
def test_what_is_written_as_a_whole_is_not_fetched_before(
    write, net, make_classifier, values_of, transferred, tmp_path
):
    values = values_of(make_classifier(mx.cpu()))
    with transferred() as written:
        write(net, values, tmp_path)
    assert written == [0, 0]


def test_a_new_initialization_is_seen_by_the_next_call(net, make_classifier, bert_inputs, logits_of):
    expected = make_classifier(mx.cpu())
    for other in (expected, net):
        mx.random.seed(3)
        other.initialize(mx.init.Normal(0.2), ctx=other.classifier[-1].weight.list_ctx(), force_reinit=True)
    np.testing.assert_allclose(logits_of(net), expected(*bert_inputs()).asnumpy(), atol=1e-4)
