"""The C++ operators in the layers of a BERT: the same net, only faster."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model import BERTClassifier

from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.native import accelerate, is_accelerated, operators, restore

pytestmark = pytest.mark.usefixtures("native_operators")

POSITIONS = mx.nd.array([[1, 2], [0, 2], [2, 1], [1, 0]], dtype="int32")
MODES = {"imperative": None, "hybridized": {}, "static": {"static_alloc": True}}


def _randomize(net):
    """Biases, gammas and betas too, whose first values would hide much."""
    random = np.random.RandomState(5)
    for parameter in net.collect_params(".*bias|.*gamma|.*beta").values():
        value = random.normal(float(parameter.name.endswith("gamma")), 0.3, parameter.shape)
        parameter.set_data(mx.nd.array(value))
    return net


@pytest.fixture
def nets(make_bert):
    """Makes a net by name, all its parameters random."""

    def make(kind, dropout=0.0, **options):
        if kind == "bert":
            net = make_bert(dropout, **options)
        elif kind == "bert with all parts":
            net = make_bert(dropout, use_decoder=True, use_classifier=True, **options)
        elif kind == "bert with all encodings":
            net = make_bert(dropout, encoder={"output_all_encodings": True}, use_pooler=False, **options)
        elif kind == "gluonnlp":
            net = BERTClassifier(make_bert(dropout, **options), num_classes=3, dropout=dropout)
            net.classifier.initialize(mx.init.Normal(0.3), ctx=options.get("ctx"))
        else:
            net = SNLIBertClassifier(make_bert(dropout, use_pooler=kind == "pooled", **options), 3, kind, 20, dropout)
            net.classifier.initialize(mx.init.Normal(0.3), ctx=options.get("ctx"))
        return net

    return make


KINDS = ["bert", "bert with all parts", "bert with all encodings", "gluonnlp", "mlp", "pooled"]


def _flat(outputs):
    if isinstance(outputs, (list, tuple)):
        return [array for output in outputs for array in _flat(output)]
    return [outputs]


def _call(net, inputs, kind):
    return _flat(net(*inputs, POSITIONS) if kind == "bert with all parts" else net(*inputs))


def _loss(outputs):
    """Reads every element of every output, each with a weight of its own."""
    total = 0
    for i, output in enumerate(outputs):
        weights = np.random.RandomState(i).normal(size=output.shape)
        total = total + (output * mx.nd.array(weights, output.context)).sum()
    return total


def _results(net, inputs, kind="mlp", mode="imperative", backward_passes=1):
    """Outputs, and the gradient of every parameter by its name."""
    if MODES[mode] is not None:
        net.hybridize(**MODES[mode])
    for _ in range(backward_passes):
        with mx.autograd.record():
            outputs = _call(net, inputs, kind)
            loss = _loss(outputs)
        loss.backward()
    gradients = {name: parameter.grad().asnumpy() for name, parameter in net.collect_params().items()}
    return [output.asnumpy() for output in outputs], gradients


def _assert_same(ours, theirs, tolerance=1e-5):
    (outputs, gradients), (expected_outputs, expected_gradients) = ours, theirs
    assert len(outputs) == len(expected_outputs) and gradients.keys() == expected_gradients.keys()
    for i, (output, expected) in enumerate(zip(outputs, expected_outputs)):
        atol = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(output, expected, rtol=0, atol=atol, err_msg=f"output {i}")
    largest = max(np.abs(gradient).max() for gradient in expected_gradients.values())
    for name, expected in expected_gradients.items():
        # They are sums of many terms, rounded in another order on each processor; the key's bias has nothing but that.
        atol = 3 * tolerance * max(np.abs(expected).max(), 0.2 * largest)
        np.testing.assert_allclose(gradients[name], expected, rtol=0, atol=atol, err_msg=name)


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
    expected = _results(_randomize(net), inputs, kind)
    assert accelerate(net) and is_accelerated(net)
    _assert_same(_results(net, inputs, kind, mode), expected)


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 33), (2, 64)], ids=str)
def test_batches_of_any_shape_one_after_the_other(nets, bert_inputs, shape, mode):
    net = nets("pooled")
    shapes = [(4, 11), shape, (4, 11)]
    expected = [_results(net, bert_inputs(*each)) for each in shapes]
    accelerate(net)
    for each, results in zip(shapes, expected):
        _assert_same(_results(net, bert_inputs(*each), mode=mode), results)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["bert", "bert with all encodings"])
def test_a_bert_without_lengths_gives_what_it_gave(nets, bert_inputs, kind, mode):
    net, inputs = nets(kind), bert_inputs()[:2]
    expected = _results(net, inputs, kind)
    accelerate(net)
    _assert_same(_results(net, inputs, kind, mode), expected)


@pytest.mark.parametrize("mode", ["hybridized", "static"])
def test_a_graph_that_is_built_already_is_built_anew(nets, bert_inputs, mode):
    net, inputs = nets("mlp"), bert_inputs()
    expected = _results(net, inputs, mode=mode)
    accelerate(net)
    _assert_same(_results(net, inputs, mode=mode), expected)
    assert "_snli_attention" in net._cached_graph[1].tojson()


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("mode", MODES)
def test_two_backward_passes_with_grad_req_add_give_the_sum_for_every_parameter(nets, bert_inputs, mode):
    net, inputs = nets("bert with all parts"), bert_inputs()
    _, once = _results(net, inputs, "bert with all parts")
    accelerate(net)
    for parameter in net.collect_params().values():
        parameter.grad_req = "add"
    _, twice = _results(net, inputs, "bert with all parts", mode, backward_passes=2)
    _assert_same(([], {name: gradient / 2 for name, gradient in twice.items()}), ([], once))


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
    expected = [output.asnumpy() for output in _call(net, inputs, kind)]
    accelerate(net)
    for output, values in zip(_call(net, inputs, kind), expected):
        np.testing.assert_allclose(output.asnumpy(), values, rtol=0, atol=5e-6 * np.abs(values).max())


@pytest.mark.parametrize("mode", MODES)
def test_a_net_with_dropout_drops_anew_in_each_step_and_the_same_for_the_same_seed(nets, bert_inputs, mode):
    net, inputs = nets("mlp", dropout=0.5), bert_inputs()
    accelerate(net)
    net(*inputs)  # draws the last weights
    runs = []
    for _ in range(2):
        mx.random.seed(3)
        runs.append([_results(net, inputs, mode=mode) for _ in range(2)])
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
    classes, expected = list(_classes(net)), [output.asnumpy() for output in _call(net, inputs, kind)]
    accelerate(net)
    assert list(_classes(net)) != classes
    _call(net, inputs, kind)
    restore(net)
    assert list(_classes(net)) == classes and not is_accelerated(net)
    for output, values in zip(_call(net, inputs, kind), expected):
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
    ours = _results(net, bert_inputs(), "bert with all parts", mode)
    restore(net)
    _assert_same(ours, _results(net, bert_inputs(), "bert with all parts"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("all_encodings", [False, True])
def test_a_bert_still_gives_its_attention_weights(make_bert, bert_inputs, all_encodings, mode):
    encoder = {"output_attention": True, "output_all_encodings": all_encodings}
    net, inputs = make_bert(encoder=encoder, use_pooler=False), bert_inputs()
    expected = _results(net, inputs, "bert")
    assert len(expected[0]) == (6 if all_encodings else 4)
    accelerate(net)
    _assert_same(_results(net, inputs, "bert", mode), expected)


def test_a_bert_with_another_activation_keeps_it(make_bert, bert_inputs):
    net, inputs = make_bert(encoder={"activation": "relu"}), bert_inputs()
    expected = _results(net, inputs, "bert")
    assert accelerate(net)
    _assert_same(_results(net, inputs, "bert"), expected)


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
    monkeypatch.setattr(operators, "_loaded", lambda: pytest.fail("operators that nobody needs are built"))
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


# Export ---------------------------------------------------------------------------------------------------------------

_IMPORT = """
import sys
import numpy as np
import mxnet as mx
path, = sys.argv[1:]
net = mx.gluon.SymbolBlock.imports(path + "-symbol.json", ["data0", "data1", "data2"], path + "-0000.params")
arrays = np.load(path + ".npz")
inputs = [mx.nd.array(arrays[name], dtype=arrays[name].dtype) for name in ("ids", "segments", "lengths")]
out = net(*inputs).asnumpy()
assert not any(name.startswith("gluonnlp_snli_plugin.native") for name in sys.modules)
assert np.abs(out - arrays["logits"]).max() <= 5e-6 * np.abs(arrays["logits"]).max(), (out, arrays["logits"])
"""


def _exported(net, inputs, path):
    net.hybridize(static_alloc=True)
    logits = net(*inputs).asnumpy()
    net.export(str(path))
    ids, segments, lengths = (array.asnumpy() for array in inputs)
    np.savez(f"{path}.npz", ids=ids, segments=segments, lengths=lengths, logits=logits)
    return (path.parent / f"{path.name}-symbol.json").read_text()


@pytest.mark.parametrize("kind", ["mlp", "gluonnlp"])
def test_an_exported_net_is_of_mxnets_own_operators_and_runs_without_the_plugin(
    nets, bert_inputs, repair_mxnet, kind, tmp_path
):
    net = nets(kind, dropout=0.1)
    accelerate(net)
    assert "_snli_" not in _exported(net, bert_inputs(), tmp_path / "net")
    command = [sys.executable, "-c", repair_mxnet + _IMPORT, str(tmp_path / "net")]
    subprocess.run(command, check=True, cwd=str(tmp_path), env=dict(os.environ))


def test_an_exported_net_is_the_one_that_a_net_as_gluonnlp_made_it_exports(nets, bert_inputs, tmp_path):
    net = nets("mlp", dropout=0.1)
    restored = _exported(net, bert_inputs(), tmp_path / "stock")
    accelerate(net)
    accelerated = _exported(net, bert_inputs(), tmp_path / "accelerated")
    assert [line for line in accelerated.splitlines() if '"op"' in line] == [
        line for line in restored.splitlines() if '"op"' in line
    ]
    one, other = (mx.nd.load(str(tmp_path / f"{name}-0000.params")) for name in ("stock", "accelerated"))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).asnumpy().all() for name in one)


def test_an_exported_net_trains_on_accelerated(nets, bert_inputs, tmp_path):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net)
    expected = _results(net, inputs, mode="static")
    net.export(str(tmp_path / "net"))
    assert is_accelerated(net) and "_snli_" in net._cached_graph[1].tojson()
    _assert_same(_results(net, inputs), expected, 0)
    _assert_same(_results(net, bert_inputs(2, 5)), _results(net, bert_inputs(2, 5)), 0)


def test_an_export_that_fails_leaves_the_net_accelerated(nets, bert_inputs, tmp_path):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net)
    net.hybridize()
    expected = net(*inputs).asnumpy()
    with pytest.raises(mx.MXNetError):
        net.export(str(tmp_path / "no such folder" / "net"))
    assert is_accelerated(net)
    np.testing.assert_array_equal(net(*inputs).asnumpy(), expected)
