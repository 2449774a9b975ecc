"""What a script may do with the parameters and gradients of a net on a device, as with MXNet's own."""

import copy
import pickle

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier

pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")


@pytest.fixture
def step(batches):
    """Makes an update of a net without clipping; `change` is what the script does between backward and step."""
    loss_function = mx.gluon.loss.SoftmaxCELoss()

    def run(net, trainer, number=0, change=lambda parameters: None):
        context = net.classifier[-1].weight.list_ctx()[0]
        *inputs, label = (array.as_in_context(context) for array in list(batches(number + 1))[number])
        with mx.autograd.record():
            loss = loss_function(net(*inputs), label)
        loss.backward()
        change(net.collect_params().values())
        trainer.step(4)

    return run


def noise(parameters):
    for parameter in parameters:
        parameter.grad()[:] += 0.1


def noise_on_rows(parameters):
    for parameter in parameters:
        parameter.grad()[0] += 0.1
        parameter.grad().reshape(-1)[1:3] = 0.5


def scale_each(parameters):
    for parameter in parameters:
        for gradient in parameter.list_grad():
            gradient *= 0.5 / (1 + gradient.norm())


def clip(parameters):
    mx.gluon.utils.clip_global_norm([parameter.grad() for parameter in parameters], 0.1)


def clip_by_data(parameters):
    for parameter in parameters:
        mx.nd.clip(parameter.data().grad, -0.01, 0.01, out=parameter.data().grad)


def read_views(parameters):
    for parameter in parameters:
        for array in (parameter.data(), parameter.grad()):
            for view in (array[0], array[0:2], array.reshape((1, -1)), array.T, array.flatten(), array.detach()):
                assert isinstance(view.asnumpy(), np.ndarray)


@pytest.mark.parametrize("change", [noise, noise_on_rows, scale_each, clip, clip_by_data, read_views])
def test_changed_gradients_are_what_updates_use(
    change, gpus, make_classifier, make_trainer, step, values_of, assert_equal
):
    def trained(context):
        net = make_classifier(context)
        trainer = make_trainer(net)
        for number in range(3):
            step(net, trainer, number, change)
        return values_of(net)

    expected = trained(mx.cpu())
    with gpus():
        assert_equal(trained(mx.gpu(0)), expected)


@pytest.mark.parametrize(
    "optimizer, settings",
    [
        ("bertadam", {"learning_rate": 1e-3, "clip_gradient": 0.01, "wd": 0.1}),
        ("bertadam", {"lr_scheduler": mx.lr_scheduler.FactorScheduler(1, 0.5, base_lr=1e-3)}),
        ("sgd", {"learning_rate": 1e-2, "momentum": 0.9, "multi_precision": True}),
        ("lamb", {"learning_rate": 1e-3, "epsilon": 1e-4}),
    ],
)
def test_settings_of_optimizers(optimizer, settings, gpus, make_classifier, step, values_of, assert_equal):
    def trained(context):
        net = make_classifier(context)
        for parameter in net.collect_params(".*bias|.*beta").values():
            parameter.wd_mult, parameter.lr_mult = 0.0, 0.5
        own = copy.deepcopy(settings)  # a scheduler counts
        trainer = mx.gluon.Trainer(net.collect_params(), optimizer, own, update_on_kvstore=False)
        for number in range(3):
            step(net, trainer, number)
        return values_of(net)

    expected = trained(mx.cpu())
    with gpus():
        assert_equal(trained(mx.gpu(0)), expected)


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_an_update_by_a_factor_that_is_not_finite_changes_nothing(
    factor, gpus, make_classifier, make_trainer, step, values_of
):
    with gpus():
        net = make_classifier(mx.gpu(0))
        trainer = make_trainer(net)
        step(net, trainer)
        before = values_of(net)
        for parameter in net.collect_params().values():
            parameter.data()._fresh_grad = True
        trainer.update(mx.nd.array([1 / factor], mx.gpu(0)))
        for name, values in values_of(net).items():
            np.testing.assert_array_equal(values, before[name], err_msg=name)


def test_a_moving_average_of_parameters(gpus, make_classifier, make_trainer, step, values_of, assert_equal):
    def trained(context):
        net = make_classifier(context)
        trainer, parameters = make_trainer(net), list(net.collect_params().values())
        averages = [parameter.data().copy() for parameter in parameters]
        for number in range(3):
            step(net, trainer, number)
            for average, parameter in zip(averages, parameters):
                average[:] = 0.9 * average + 0.1 * parameter.data()
        for average, parameter in zip(averages, parameters):
            parameter.set_data(average)
        step(net, trainer)
        return values_of(net)

    expected = trained(mx.cpu())
    with gpus():
        assert_equal(trained(mx.gpu(0)), expected)


def test_arrays_and_views_that_a_script_keeps_stay_current(gpus, make_classifier, make_trainer, step, bert_inputs):
    with gpus():
        net = make_classifier(mx.gpu(0))
        net(*bert_inputs(ctx=mx.gpu(0)))
        weight = net.classifier[-1].weight
        data, row, flat, detached = weight.data(), weight.data()[1], weight.data().reshape(-1), weight.data().detach()
        before = data.asnumpy()
        step(net, make_trainer(net))
        after = weight.data().asnumpy()
        assert not np.array_equal(after, before)
        for view, expected in ((data, after), (row, after[1]), (flat, after.reshape(-1)), (detached, after)):
            np.testing.assert_array_equal(view.asnumpy(), expected)
            np.testing.assert_array_equal((view * 1).asnumpy(), expected)
        row[0:2] = 7
        np.testing.assert_array_equal(weight.data().asnumpy()[1, :2], [7, 7])
        logits = net(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
        row[:] = 0
        assert not np.array_equal(net(*bert_inputs(ctx=mx.gpu(0))).asnumpy(), logits)


def test_a_failed_assignment_changes_nothing(gpus, make_classifier, bert_inputs, values_of, assert_equal, train):
    with gpus():
        net = make_classifier(mx.gpu(0))
        train(net, mx.gpu(0), updates=1)
        logits = net(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
        for parameter in net.collect_params().values():
            with pytest.raises(ValueError):
                parameter.data()[:] = np.zeros((2, 3, 5))
            parameter.data()[:] = parameter.data()
        np.testing.assert_array_equal(net(*bert_inputs(ctx=mx.gpu(0))).asnumpy(), logits)


def test_copies_and_pickles_are_arrays_of_the_hosts(gpus, make_classifier, bert_inputs):
    with gpus():
        net = make_classifier(mx.gpu(0))
        net(*bert_inputs(ctx=mx.gpu(0)))
        weight = net.bert.pooler.weight
        for array in (weight.data(), weight.grad(), weight.data()[0:2]):
            for other in (copy.copy(array), copy.deepcopy(array), array.copy(), pickle.loads(pickle.dumps(array))):
                assert type(other) is mx.nd.NDArray
                np.testing.assert_array_equal(other.asnumpy(), array.asnumpy())
        pickled = pickle.dumps([weight.data(), weight.grad()])
    assert [str(array.context) for array in pickle.loads(pickled)] == ["cpu(0)"] * 2


def test_parameters_that_leave_a_device_and_come_back(gpus, make_classifier, make_trainer, step, bert_inputs):
    with gpus():
        net = make_classifier(mx.gpu(0))
        step(net, make_trainer(net))
        logits = net(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
        net.collect_params().reset_ctx(mx.cpu())
        np.testing.assert_allclose(net(*bert_inputs()).asnumpy(), logits, atol=1e-4)
        net.collect_params().reset_ctx(mx.gpu(0))
        np.testing.assert_array_equal(net(*bert_inputs(ctx=mx.gpu(0))).asnumpy(), logits)


def test_parameters_frozen_and_thawed_between_updates(
    gpus, make_classifier, make_trainer, step, values_of, assert_equal
):
    def trained(context):
        net = make_classifier(context)
        trainer = make_trainer(net)
        for number, grad_req in enumerate(["write", "null", "write", "add"]):
            net.bert.collect_params().setattr("grad_req", grad_req)
            step(net, trainer, number)
        return values_of(net)

    expected = trained(mx.cpu())
    with gpus():
        assert_equal(trained(mx.gpu(0)), expected)


def test_a_replaced_layer_is_seen_by_the_next_call(gpus, make_classifier, bert_inputs):
    def logits_of(context):
        net = make_classifier(context)
        net(*bert_inputs(ctx=context))
        found = []
        for layers in ([mx.gluon.nn.Dense(5)], [mx.gluon.nn.Dense(4, activation="tanh"), mx.gluon.nn.Dense(2)]):
            head = mx.gluon.nn.HybridSequential()
            head.add(*layers)
            mx.random.seed(2)
            head.initialize(mx.init.Normal(0.3), ctx=context)
            net.classifier = head
            found.append(net(*bert_inputs(ctx=context)).asnumpy())
        return found

    expected = logits_of(mx.cpu())
    with gpus():
        for found, logits in zip(logits_of(mx.gpu(0)), expected):
            np.testing.assert_allclose(found, logits, atol=1e-4)


def test_two_classifiers_share_a_bert(gpus, make_classifier, make_trainer, step, bert_inputs):
    with gpus():
        net = make_classifier(mx.gpu(0))
        other = nlp.model.BERTClassifier(net.bert, num_classes=2)
        other.classifier.initialize(mx.init.One(), ctx=mx.gpu(0))
        before = other(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
        step(net, make_trainer(net))
        after = other(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
        pooled = net.bert(*bert_inputs(ctx=mx.gpu(0)))[1].asnumpy()
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, np.stack([pooled.sum(axis=1)] * 2, axis=1), atol=1e-4)


def test_nets_one_after_the_other_have_programs_of_their_own(gpus, make_classifier, bert_inputs):
    with gpus():
        for num_layers in (1, 2, 1, 2):
            expected = make_classifier(mx.cpu(), num_layers=num_layers)(*bert_inputs()).asnumpy()
            found = make_classifier(mx.gpu(0), num_layers=num_layers)(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_states_saved_on_a_device_continue_on_the_cpu_and_the_other_way_round(
    gpus, make_classifier, make_trainer, train, values_of, assert_equal, tmp_path
):
    """With Adam, too, whose step depends on the number of updates before."""
    for optimizer in ("bertadam", "adam"):
        straight = make_classifier(mx.cpu())
        train(straight, mx.cpu(), updates=5, trainer=make_trainer(straight, optimizer))
        train(straight, mx.cpu(), updates=5, trainer=straight.bert.pooler.weight._trainer)
        expected = values_of(straight)
        with gpus():
            for contexts in ((mx.cpu(), mx.gpu(0)), (mx.gpu(0), mx.cpu()), (mx.gpu(0), mx.gpu(0))):
                states, parameters = str(tmp_path / "x.states"), str(tmp_path / "x.params")
                for number, context in enumerate(contexts):
                    net = make_classifier(context)
                    trainer = make_trainer(net, optimizer)
                    if number:
                        net.load_parameters(parameters, ctx=context)
                        nlp.utils.load_states(trainer, states)
                    train(net, context, updates=5, trainer=trainer)
                    nlp.utils.save_states(trainer, states)
                    nlp.utils.save_parameters(net, parameters)
                assert_equal(values_of(net), expected)
                train(net, context, updates=1, trainer=trainer)  # moments that were read can still be updated
        index_counts = pickle.loads((tmp_path / "x.states").read_bytes())[1]._all_index_update_counts
        assert set(index_counts) == {0}


def test_an_exported_net_is_mxnets(gpus, make_classifier, make_trainer, step, bert_inputs, tmp_path):
    with gpus():
        net = make_classifier(mx.gpu(0))
        step(net, make_trainer(net))
        logits = net(*bert_inputs(ctx=mx.gpu(0))).asnumpy()
        net.export(str(tmp_path / "net"))
    names = ["data0", "data1", "data2"]
    exported = mx.gluon.SymbolBlock.imports(str(tmp_path / "net-symbol.json"), names, str(tmp_path / "net-0000.params"))
    np.testing.assert_allclose(exported(*bert_inputs()).asnumpy(), logits, atol=1e-4)


@pytest.mark.parametrize("around", [nlp.model.RoBERTaClassifier, SNLIBertClassifier, None])
def test_an_exported_net_without_segments_is_mxnets(gpus, around, bert_inputs, tmp_path):
    ids, segments, length = bert_inputs()
    vocab = nlp.Vocab(nlp.data.count_tokens(map(str, range(60))))
    with gpus():
        net, _ = nlp.model.get_model("roberta_2_24_3", vocab=vocab, pretrained=False, use_decoder=False)
        net = around(net, num_classes=3) if around else net
        net.initialize(mx.init.Normal(0.3), ctx=mx.gpu(0))
        net.hybridize()
        inputs = (ids, segments, length) if around is SNLIBertClassifier else (ids, length)
        expected = net(*(array.as_in_context(mx.gpu(0)) for array in inputs)).asnumpy()
        net.export(str(tmp_path / "net"))
    files = str(tmp_path / "net-symbol.json"), str(tmp_path / "net-0000.params")
    exported = mx.gluon.SymbolBlock.imports(files[0], ["data0", "data1"], files[1])
    np.testing.assert_allclose(exported(ids, length).asnumpy(), expected, atol=1e-4)


def test_a_net_around_a_bert_is_exported_from_the_cpu(gpus, make_classifier, bert_inputs, tmp_path):
    class Classifier(nlp.model.BERTClassifier):
        """A class of the user's."""

    with gpus():
        net = Classifier(make_classifier(mx.gpu(0)).bert, 3)
        net.classifier.initialize(ctx=mx.gpu(0))
        net.hybridize()
        net(*bert_inputs(ctx=mx.gpu(0)))
        with pytest.raises(PluginError, match="Classifier was not computed by MXNet, which exports it: before export"):
            net.export(str(tmp_path / "net"))
        net.collect_params().reset_ctx(mx.cpu())
        net(*bert_inputs())
        net.export(str(tmp_path / "net"))
    assert (tmp_path / "net-symbol.json").exists()
