"""A net's calls inside MXNet's autograd: what is recorded, how gradients are added, and what is refused."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import PluginError

pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")


@pytest.fixture
def loss_of(batches):
    """Makes the loss of a net on one of several batches."""
    loss_function = mx.gluon.loss.SoftmaxCELoss()

    def loss(net, number=0, rows=4):
        *inputs, label = (array[:rows] for array in list(batches(number + 1))[number])
        context = net.classifier[-1].weight.list_ctx()[0]
        return loss_function(net(*(array.as_in_context(context) for array in inputs)), label.as_in_context(context))

    return loss


def write_twice(net, loss_of):
    for number in range(2):
        with mx.autograd.record():
            loss = loss_of(net, number)
        loss.backward()


def two_calls(net, loss_of):
    with mx.autograd.record():
        loss = loss_of(net, 0) + 2 * loss_of(net, 1)
    loss.backward()


def two_losses(net, loss_of):
    with mx.autograd.record():
        losses = [loss_of(net, 0), loss_of(net, 1)]
    mx.autograd.backward(losses)


def two_losses_of_one_call(net, loss_of):
    with mx.autograd.record():
        loss = loss_of(net)
        losses = [loss.mean(), (loss**2).sum()]
    mx.autograd.backward(losses)


def add_twice(net, loss_of):
    net.collect_params().setattr("grad_req", "add")
    write_twice(net, loss_of)


def add_after_zero_grad(net, loss_of):
    add_twice(net, loss_of)
    net.collect_params().zero_grad()
    write_twice(net, loss_of)
    net.bert.pooler.weight.zero_grad()


def retain_the_graph(net, loss_of):
    net.collect_params().setattr("grad_req", "add")
    with mx.autograd.record():
        loss = loss_of(net)
    loss.backward(retain_graph=True)
    loss.backward()


def given_gradient(net, loss_of):
    with mx.autograd.record():
        loss = loss_of(net)
    loss.backward(mx.nd.array([1, 0, -1, 3], loss.context))


def predict_mode(net, loss_of):
    with mx.autograd.record(train_mode=False):
        loss = loss_of(net)
    loss.backward(train_mode=False)


def paused(net, loss_of):
    with mx.autograd.record():
        with mx.autograd.pause():
            factor = loss_of(net, 1)
        loss = loss_of(net) * factor
    loss.backward()


def never_differentiated(net, loss_of):
    with mx.autograd.record():
        loss_of(net, 1)
    with mx.autograd.record():
        loss = loss_of(net)
    loss.backward()


def weighted(net, loss_of):
    weight = mx.nd.ones(4, net.classifier[-1].weight.list_ctx()[0])
    weight.attach_grad()
    with mx.autograd.record():
        loss = loss_of(net) * weight * 2
    loss.backward()
    assert weight.grad.shape == (4,) and weight.grad.norm().asscalar() > 0


def part_of_a_batch(net, loss_of):
    write_twice(net, loss_of)  # so that there is a program for 4 rows
    with mx.autograd.record():
        loss = loss_of(net, rows=3)
    loss.backward()


def only_the_head(net, loss_of):
    write_twice(net, loss_of)
    net.bert.collect_params().setattr("grad_req", "null")
    write_twice(net, loss_of)


def stopped_gradients(net, loss_of):
    with mx.autograd.record():
        loss = loss_of(net)
        loss = (mx.nd.stop_gradient(loss) * loss).sum() + loss.detach().sum()
    loss.backward()


def after_a_failed_backward(net, loss_of):
    write_twice(net, loss_of)
    with mx.autograd.record():
        loss = loss_of(net)
    loss.backward()
    with pytest.raises(mx.MXNetError):
        loss.backward()
    write_twice(net, loss_of)


@pytest.mark.parametrize(
    "script",
    [
        write_twice,
        two_calls,
        two_losses,
        two_losses_of_one_call,
        add_twice,
        add_after_zero_grad,
        retain_the_graph,
        given_gradient,
        predict_mode,
        paused,
        never_differentiated,
        weighted,
        part_of_a_batch,
        only_the_head,
        stopped_gradients,
        after_a_failed_backward,
    ],
)
def test_gradients_are_mxnets(script, gpus, make_classifier, loss_of, assert_equal):
    def gradients_of(context):
        net = make_classifier(context)
        script(net, loss_of)
        parameters = net._collect_params_with_prefix().items()
        return {name: p.grad().asnumpy() for name, p in parameters if p.grad_req != "null"}

    expected = gradients_of(mx.cpu())
    with gpus():
        assert_equal(gradients_of(mx.gpu(0)), expected)


def test_the_gradient_of_tokens_however_a_script_uses_them(gpus, make_bert, bert_inputs, assert_equal):
    def gradients_of(context):
        bert = make_bert(encoder={"num_layers": 1})
        bert(*bert_inputs())
        bert.collect_params().reset_ctx(context)
        with mx.autograd.record():
            tokens, _ = bert(*bert_inputs(ctx=context))
            parts = [tokens * tokens, tokens[:, 0], tokens[1], tokens[1:3], tokens[:, 1, :], tokens[0, 1, 2]]
            parts += [tokens.reshape((0, -1)), tokens.reshape(-1)[3], tokens.slice_axis(1, 0, 2), tokens.T]
            parts += [mx.nd.concat(tokens, tokens, dim=1), tokens.expand_dims(0).tanh(), tokens.mean(axis=(1, 2))]
            loss = sum(part.sum() * (number + 1) for number, part in enumerate(parts)) / 100
        loss.backward()
        found = bert._collect_params_with_prefix().items()
        return {name: p.grad().asnumpy() for name, p in found if p.grad().norm().asscalar()}

    expected = gradients_of(mx.cpu())
    with gpus():
        found = gradients_of(mx.gpu(0))
    assert_equal({name: found.get(name, 0) for name in expected}, expected, 2e-3)


def test_a_net_that_learns_from_another(gpus, make_classifier, bert_inputs, assert_equal):
    def gradients_of(context):
        student, teacher = make_classifier(context, num_layers=1), make_classifier(context, num_layers=2)
        teacher.collect_params().setattr("grad_req", "null")
        with mx.autograd.record():
            loss = ((student(*bert_inputs(ctx=context)) - teacher(*bert_inputs(ctx=context))) ** 2).mean()
        loss.backward()
        return {name: p.grad().asnumpy() for name, p in student._collect_params_with_prefix().items()}

    expected = gradients_of(mx.cpu())
    with gpus():
        assert_equal(gradients_of(mx.gpu(0)), expected)


def test_two_texts_in_one_bert(gpus, make_classifier, bert_inputs, assert_equal):
    def gradients_of(context):
        bert = make_classifier(context).bert
        with mx.autograd.record():
            (_, left), (_, right) = (bert(*bert_inputs(seed=seed, ctx=context)) for seed in (0, 1))
            loss = (left * right).sum()
        loss.backward()
        return {name: p.grad().asnumpy() for name, p in bert._collect_params_with_prefix().items()}

    expected = gradients_of(mx.cpu())
    with gpus():
        assert_equal(gradients_of(mx.gpu(0)), expected, 1e-3)


def test_a_saliency_is_the_gradient_of_detached_tokens(gpus, make_bert, bert_inputs):
    def saliency(context):
        bert = make_bert(encoder={"num_layers": 1})
        bert(*bert_inputs())
        bert.collect_params().reset_ctx(context)
        tokens = bert(*bert_inputs(ctx=context))[0]
        tokens.attach_grad()
        with mx.autograd.record():
            loss = (tokens**2).sum()
        loss.backward()
        return tokens.grad.asnumpy()

    expected = saliency(mx.cpu())
    with gpus():
        np.testing.assert_allclose(saliency(mx.gpu(0)), expected, atol=1e-4)


def test_a_step_without_a_new_gradient_is_refused_as_mxnet_does(gpus, make_classifier, make_trainer, loss_of):
    with gpus():
        net = make_classifier(mx.gpu(0))
        trainer = make_trainer(net)
        with mx.autograd.record():
            loss = loss_of(net)
        loss.backward()
        trainer.step(4)
        weight = net.bert.pooler.weight.data().asnumpy()
        with pytest.raises(UserWarning, match="has not been updated"):
            trainer.step(4)
        trainer.step(4, ignore_stale_grad=True)
        np.testing.assert_array_equal(net.bert.pooler.weight.data().asnumpy(), weight)


def penalty(net):
    with mx.autograd.record():
        return sum((p.data() ** 2).sum() for p in net.collect_params().values())


def penalty_of_a_row(net):
    with mx.autograd.record():
        return net.bert.pooler.weight.data()[0].sum()


def grad(net):
    return mx.autograd.grad(net.bert.pooler.weight.data().sum(), [net.bert.pooler.weight.data()])


def attach_grad(net):
    net.bert.pooler.weight.data().attach_grad()


def test_an_array_from_before_the_first_call_does_not_follow_its_parameter_which_is_told(
    gpus, make_classifier, loss_of, caplog
):
    with gpus():
        net = make_classifier(mx.gpu(0))
        loss_of(net)
        assert not caplog.records
        other = make_classifier(mx.gpu(0))
        kept = other.bert.pooler.weight.data()
        loss_of(other)
        assert "pooler_weight from before its net's first call on gpu(0) follows the parameter no longer" in caplog.text
        assert kept is not other.bert.pooler.weight.data()


def test_a_gradient_of_an_array_from_before_the_first_call_is_refused(gpus, make_classifier, loss_of):
    with gpus():
        net = make_classifier(mx.gpu(0))
        weight = net.bert.pooler.weight.data()
        loss = loss_of(net)
        with pytest.raises(PluginError, match="mx.autograd.grad of a parameter of a net on gpu\\(0\\)"):
            mx.autograd.grad(loss, [weight])


@pytest.mark.parametrize(
    "script, message",
    [
        (penalty, "a parameter of a net on gpu\\(0\\) is used outside of that net while its loss is recorded"),
        (penalty_of_a_row, "is used outside of that net while its loss is recorded"),
        (grad, "mx.autograd.grad of a parameter of a net on gpu\\(0\\)"),
        (attach_grad, "attach_grad of a parameter of a net on gpu\\(0\\)"),
    ],
)
def test_what_has_no_gradient_through_xla_is_refused(script, message, gpus, make_classifier, loss_of):
    with gpus():
        net = make_classifier(mx.gpu(0))
        loss_of(net)
        with pytest.raises(PluginError, match=message):
            script(net)


def test_frozen_and_detached_parameters_may_be_in_a_loss(gpus, make_classifier, loss_of):
    with gpus():
        net = make_classifier(mx.gpu(0))
        net.bert.word_embed.collect_params().setattr("grad_req", "null")
        with mx.autograd.record():
            loss = (
                loss_of(net) + net.bert.word_embed[0].weight.data().sum() + net.bert.pooler.weight.data().detach().sum()
            )
        loss.backward()
        assert net.bert.pooler.weight.grad().norm().asscalar() > 0
