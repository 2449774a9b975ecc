"""Nets with the C++ operators in their layers: what they compute, compared with what they computed without."""

import json

import mxnet as mx
import numpy as np

POSITIONS = mx.nd.array([[1, 2], [0, 2], [2, 1], [1, 0]], dtype="int32")
MODES = {"imperative": None, "hybridized": {}, "static": {"static_alloc": True}}


def flat(outputs):
    if isinstance(outputs, (list, tuple)):
        return [array for output in outputs for array in flat(output)]
    return [outputs]


def call(net, inputs, kind):
    return flat(net(*inputs, POSITIONS) if kind == "bert with all parts" else net(*inputs))


def loss_of(outputs):
    """Reads every element of every output, each with a weight of its own."""
    total = 0
    for i, output in enumerate(outputs):
        weights = np.random.RandomState(i).normal(size=output.shape)
        total = total + (output * mx.nd.array(weights, output.context)).sum()
    return total


def results_of(net, inputs, kind="mlp", mode="imperative", backward_passes=1):
    """Outputs, and the gradient of every parameter by its name."""
    if MODES[mode] is not None:
        net.hybridize(**MODES[mode])
    for _ in range(backward_passes):
        with mx.autograd.record():
            outputs = call(net, inputs, kind)
            loss = loss_of(outputs)
        loss.backward()
    gradients = {name: parameter.grad().asnumpy() for name, parameter in net.collect_params().items()}
    return [output.asnumpy() for output in outputs], gradients


def assert_same_results(ours, theirs, tolerance=1e-5):
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


def operators_of(net):
    """The operators of a classifier's graph, in the order of its nodes."""
    inputs = [mx.sym.var(name) for name in ("input_ids", "segment_ids", "valid_length")]
    return [node["op"] for node in json.loads(net(*inputs).tojson())["nodes"]]
