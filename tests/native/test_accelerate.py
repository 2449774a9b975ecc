"""The C++ operators in the layers of a BERT: the same net, only faster."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from accelerated_nets import MODES, POSITIONS, assert_same_results, call, results_of

from gluonnlp_snli_plugin.native import accelerate, is_accelerated, operators, restore

pytestmark = pytest.mark.usefixtures("native_operators")


def _randomize(net):
    """Biases, gammas and betas too, whose first values would hide much."""
    random = np.random.RandomState(5)
    for parameter in net.collect_params(".*bias|.*gamma|.*beta").values():
        value = random.normal(float(parameter.name.endswith("gamma")), 0.3, parameter.shape)
        parameter.set_data(mx.nd.array(value))
    return net


KINDS = ["bert", "bert with all parts", "bert with all encodings", "gluonnlp", "mlp", "pooled"]


def _classes(net):
    yield type(net)
    for child in net._children.values():
        yield from _classes(child)


@pytest.fixture(params=["MXNet's", "ours"])
def products(request, monkeypatch):
    """Whose matrix products an accelerated net makes, whatever this processor is best at."""
    monkeypatch.setattr(operators, "has_amx", lambda: request.param == "ours")


# The same net ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_before(nets, bert_inputs, kind, mode):
    net, inputs = nets(kind), bert_inputs()
    net(*inputs, *([POSITIONS] if "parts" in kind else []))  # GluonNLP's layers learn their sizes
    expected = results_of(_randomize(net), inputs, kind)
    assert accelerate(net) and is_accelerated(net)
    assert_same_results(results_of(net, inputs, kind, mode), expected)


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 33), (2, 64)], ids=str)
def test_batches_of_any_shape_one_after_the_other(nets, bert_inputs, shape, mode):
    net = nets("pooled")
    shapes = [(4, 11), shape, (4, 11)]
    expected = [results_of(net, bert_inputs(*each)) for each in shapes]
    accelerate(net)
    for each, results in zip(shapes, expected):
        assert_same_results(results_of(net, bert_inputs(*each), mode=mode), results)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["bert", "bert with all encodings"])
def test_a_bert_without_lengths_gives_what_it_gave(nets, bert_inputs, kind, mode):
    net, inputs = nets(kind), bert_inputs()[:2]
    expected = results_of(net, inputs, kind)
    accelerate(net)
    assert_same_results(results_of(net, inputs, kind, mode), expected)


@pytest.mark.parametrize("mode", ["hybridized", "static"])
def test_a_graph_that_is_built_already_is_built_anew(nets, bert_inputs, mode):
    net, inputs = nets("mlp"), bert_inputs()
    expected = results_of(net, inputs, mode=mode)
    accelerate(net)
    assert_same_results(results_of(net, inputs, mode=mode), expected)
    assert "_snli_attention" in net._cached_graph[1].tojson()


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("mode", MODES)
def test_two_backward_passes_with_grad_req_add_give_the_sum_for_every_parameter(nets, bert_inputs, mode):
    net, inputs = nets("bert with all parts"), bert_inputs()
    _, once = results_of(net, inputs, "bert with all parts")
    accelerate(net)
    for parameter in net.collect_params().values():
        parameter.grad_req = "add"
    _, twice = results_of(net, inputs, "bert with all parts", mode, backward_passes=2)
    assert_same_results(([], {name: gradient / 2 for name, gradient in twice.items()}), ([], once))


def test_gradients_that_mxnet_adds_up_in_place_are_right():
    """MXNet reads that wish once, so the test of before runs in a process of its own."""
    test = f"{__file__}::{test_outputs_and_gradients_are_those_of_before.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test, "-k", "mlp"]
    done = subprocess.run(
        command, env={**os.environ, "MXNET_EXEC_INPLACE_GRAD_SUM_CAP": "2"}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "6 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_with_dropout_predicts_as_before(nets, bert_inputs, kind):
    net, inputs = nets(kind, dropout=0.5), bert_inputs()
    expected = [output.asnumpy() for output in call(net, inputs, kind)]
    accelerate(net)
    for output, values in zip(call(net, inputs, kind), expected):
        np.testing.assert_allclose(output.asnumpy(), values, rtol=0, atol=5e-6 * np.abs(values).max())


@pytest.mark.parametrize("mode", MODES)
def test_a_net_with_dropout_drops_anew_in_each_step_and_the_same_for_the_same_seed(nets, bert_inputs, mode):
    net, inputs = nets("mlp", dropout=0.5), bert_inputs()
    accelerate(net)
    net(*inputs)  # draws the last weights
    runs = []
    for _ in range(2):
        mx.random.seed(3)
        runs.append([results_of(net, inputs, mode=mode) for _ in range(2)])
    (one, two), again = runs
    assert (one[0][0] != two[0][0]).any()
    for step, same in zip((one, two), again):
        np.testing.assert_array_equal(step[0][0], same[0][0])
        for name, gradient in step[1].items():
            np.testing.assert_array_equal(gradient, same[1][name])


def test_dropout_keeps_the_mean_of_the_logits_of_the_net_it_was(nets, bert_inputs):
    """Of many draws, within five standard errors: as much is dropped as before, in as many places."""
    net, inputs = nets("mlp", dropout=0.2), bert_inputs(batch=1)
    repeated = [array.repeat(400, axis=0) for array in inputs]

    def draws():
        with mx.autograd.train_mode():
            return net(*repeated).asnumpy().astype(np.float64)

    before = draws()
    accelerate(net)
    after = draws()
    error = np.sqrt((before.var(axis=0) + after.var(axis=0)) / 400)
    assert (np.abs(before.mean(axis=0) - after.mean(axis=0)) < 5 * error).all()
    assert (np.abs(np.log(after.var(axis=0) / before.var(axis=0))) < 5 * np.sqrt(4 / 400)).all()


def test_fifteen_steps_of_training_have_the_same_losses(nets, bert_inputs):
    def losses(accelerated):
        net = nets("mlp")
        inputs = bert_inputs(8, 16)
        net(*inputs)
        if accelerated:
            accelerate(net)
        net.hybridize(static_alloc=True)
        trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 2e-3})
        cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        result = []
        for _ in range(15):
            with mx.autograd.record():
                loss = cross_entropy(net(*inputs), mx.nd.arange(8) % 3).mean()
            loss.backward()
            trainer.step(1)
            result.append(loss.asscalar())
        return result

    ours, theirs = losses(True), losses(False)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert theirs[-1] < 0.5 * theirs[0]


def test_several_devices_compute_what_one_does(nets, bert_inputs):
    contexts = [mx.cpu(0), mx.cpu(1)]
    net, inputs = nets("pooled", ctx=contexts), bert_inputs()
    expected = net(*inputs).asnumpy()
    assert accelerate(net)
    net.hybridize(static_alloc=True)
    with mx.autograd.record():
        outputs = [net(*bert_inputs(ctx=ctx)) for ctx in contexts]
        losses = [(output**2).sum() for output in outputs]
    mx.autograd.backward(losses)
    for output in outputs:
        np.testing.assert_allclose(output.asnumpy(), expected, rtol=0, atol=5e-6 * np.abs(expected).max())
    for parameter in net.collect_params().values():
        one, other = (gradient.asnumpy() for gradient in parameter.list_grad())
        np.testing.assert_array_equal(one, other)


# The same parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_are_the_same_objects(nets, kind):
    net = nets(kind)
    before, structure = list(net.collect_params().items()), net._collect_params_with_prefix()
    accelerate(net)
    after = list(net.collect_params().items())
    assert [name for name, _ in after] == [name for name, _ in before]
    assert all(a is b for (_, a), (_, b) in zip(after, before))
    assert net._collect_params_with_prefix() == structure


def test_a_parameter_file_is_the_same_to_the_byte_and_loads_either_way(nets, bert_inputs, tmp_path):
    net, inputs = nets("mlp"), bert_inputs()
    expected = net(*inputs).asnumpy()
    net.save_parameters(str(tmp_path / "before"))
    accelerate(net)
    net.save_parameters(str(tmp_path / "after"))
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
    for accelerated, file in ((False, "after"), (True, "before")):
        other = nets("mlp")
        if accelerated:
            accelerate(other)
        other.load_parameters(str(tmp_path / file), ctx=mx.cpu())
        np.testing.assert_allclose(other(*inputs).asnumpy(), expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_restore_gives_exactly_the_classes_of_before(nets, bert_inputs, kind):
    net, inputs = nets(kind), bert_inputs()
    classes, expected = list(_classes(net)), [output.asnumpy() for output in call(net, inputs, kind)]
    accelerate(net)
    assert list(_classes(net)) != classes
    call(net, inputs, kind)
    restore(net)
    assert list(_classes(net)) == classes and not is_accelerated(net)
    for output, values in zip(call(net, inputs, kind), expected):
        np.testing.assert_array_equal(output.asnumpy(), values)


def test_a_hybridized_net_forgets_its_graph_when_it_is_restored(nets, bert_inputs):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net)
    net.hybridize(static_alloc=True)
    net(*inputs)
    restore(net)
    net(*inputs)
    assert "_snli_" not in net._cached_graph[1].tojson()


def test_doing_it_twice_changes_nothing_more(nets, bert_inputs):
    net, inputs = nets("mlp"), bert_inputs()
    assert accelerate(net)
    classes, expected = list(_classes(net)), net(*inputs).asnumpy()
    assert not accelerate(net)
    assert list(_classes(net)) == classes
    np.testing.assert_array_equal(net(*inputs).asnumpy(), expected)
    restore(net)
    restore(net)
    assert accelerate(net)
    np.testing.assert_array_equal(net(*inputs).asnumpy(), expected)


def test_both_heads_of_ours_share_a_bert_with_what_else_uses_it(nets, bert_inputs):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net.bert)
    assert is_accelerated(net) and is_accelerated(net.bert)
    assert net(*inputs).shape == (4, 3)


# Nets of many kinds ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("first", ["accelerate", "initialize"])
@pytest.mark.parametrize("mode", MODES)
def test_a_net_may_learn_its_sizes_from_the_first_input(nets, bert_inputs, mode, first):
    net = nets("bert with all parts", initialized=False)
    steps = [lambda: accelerate(net), lambda: net.initialize(mx.init.Normal(0.3))]
    for step in steps if first == "accelerate" else steps[::-1]:
        step()
    assert is_accelerated(net)
    assert any(0 in parameter.shape for parameter in net.collect_params().values())
    ours = results_of(net, bert_inputs(), "bert with all parts", mode)
    restore(net)
    assert_same_results(ours, results_of(net, bert_inputs(), "bert with all parts"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("all_encodings", [False, True])
def test_a_bert_still_gives_its_attention_weights(make_bert, bert_inputs, all_encodings, mode):
    encoder = {"output_attention": True, "output_all_encodings": all_encodings}
    net, inputs = make_bert(encoder=encoder, use_pooler=False), bert_inputs()
    expected = results_of(net, inputs, "bert")
    assert len(expected[0]) == (6 if all_encodings else 4)
    accelerate(net)
    assert_same_results(results_of(net, inputs, "bert", mode), expected)


def test_a_bert_with_another_activation_keeps_it(make_bert, bert_inputs):
    net, inputs = make_bert(encoder={"activation": "relu"}), bert_inputs()
    expected = results_of(net, inputs, "bert")
    assert accelerate(net)
    assert_same_results(results_of(net, inputs, "bert"), expected)


def test_a_net_that_is_cast_to_float16_is_restored(nets):
    net = nets("mlp", dropout=0.1)
    classes = list(_classes(net))
    accelerate(net)
    net.cast("float16")
    assert not is_accelerated(net) and list(_classes(net)) == classes
    assert net.bert.encoder.position_weight.dtype == "float16"
    assert not accelerate(net)


def test_a_net_that_is_cast_to_float32_stays_accelerated(nets, bert_inputs):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net)
    expected = net(*inputs).asnumpy()
    net.cast("float32")
    assert is_accelerated(net)
    np.testing.assert_array_equal(net(*inputs).asnumpy(), expected)


def test_a_net_in_float16_is_left_as_it_is(nets):
    net = nets("mlp")
    net.cast("float16")
    assert not accelerate(net) and not is_accelerated(net)


@pytest.mark.parametrize("contexts", [[mx.gpu(0)], [mx.cpu(), mx.gpu(1)]], ids=str)
def test_a_net_on_a_gpu_is_left_as_it_is(nets, monkeypatch, contexts):
    net = nets("mlp")
    monkeypatch.setattr(operators, "loaded", lambda: pytest.fail("operators that nobody needs are built"))
    for parameter in net.collect_params().values():
        monkeypatch.setattr(parameter, "_ctx_list", contexts)
    assert not accelerate(net) and not is_accelerated(net)


def test_a_net_without_a_bert_is_left_as_it_is():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(3), mx.gluon.nn.LayerNorm(), mx.gluon.nn.Dropout(0.1))
    net.initialize()
    classes = list(_classes(net))
    assert not accelerate(net) and list(_classes(net)) == classes


def test_what_lies_around_a_bert_is_left_as_it_is(nets):
    net = nets("mlp", dropout=0.1)
    accelerate(net)
    assert [type(layer) for layer in net.classifier] == [mx.gluon.nn.Dense, mx.gluon.nn.Dropout, mx.gluon.nn.Dense]


def test_without_operators_a_net_is_left_as_it_is(nets, monkeypatch):
    monkeypatch.setattr(operators, "are_available", lambda: False)
    net = nets("mlp")
    assert not accelerate(net) and not is_accelerated(net)
