"""Dense layers with packed weights: what products in float64 give, to rounding, and the same bits however computed."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators
from gluonnlp_snli_plugin.native.packed import pack
from gluonnlp_snli_plugin.system import threads

pytestmark = pytest.mark.usefixtures("native_operators")

# rows, inputs, units: less than a tile, whole tiles, groups of rows and blocks of depth, and what is left over
SHAPES = [(1, 1, 1), (3, 5, 7), (14, 16, 32), (29, 65, 31), (57, 384, 96), (70, 400, 129), (300, 64, 40)]
SHAPES += [(20, 1024, 33)]  # rows that begin a page apart


@pytest.fixture
def panel():
    """The units of a panel, on any processor."""
    return int(operators._loaded().snli_panel()) or pytest.skip("the processor does not multiply and add at once")


@pytest.fixture
def dense(panel):
    """Layers of the same data, by numpy arrays."""

    def dense(x, weights, biases, activation=""):
        graph = json.loads(mx.sym.Group([mx.sym.var(name) for name in ("data", "weight", "bias")]).tojson())
        attributes = {"units": str(len(weights[0])), "parts": str(len(weights)), "activation": activation}
        entries = [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
        graph["nodes"].append({"op": "_snli_dense_packed", "name": "dense", "attrs": attributes, "inputs": entries})
        heads = [[3, part, 0] for part in range(len(weights))]
        symbol = mx.sym.load_json(json.dumps({**graph, "heads": heads}))
        packed = np.concatenate([pack(weight, panel) for weight in weights])
        arrays = [mx.nd.array(array, dtype=array.dtype) for array in (x, packed, np.concatenate(biases))]
        return [output.asnumpy() for output in symbol.bind(mx.cpu(), arrays, grad_req="null").forward()]

    return dense


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("rows, inputs, units", SHAPES)
def test_packed_values(dense, assert_same, normal, rows, inputs, units, parts):
    x, weights = normal(rows, inputs), [normal(units, inputs, seed=i) for i in range(parts)]
    biases = [normal(units, seed=i) for i in range(parts)]
    expected = [x.astype(np.float64) @ weight.T.astype(np.float64) + bias for weight, bias in zip(weights, biases)]
    assert_same(dense(x, weights, biases), expected)


@pytest.mark.parametrize("rows, inputs, units", [(3, 5, 7), (33, 65, 31), (100, 400, 96)])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_an_activation_gelu_is_applied_to_the_sums(dense, assert_same, normal, rows, inputs, units, activation):
    x, weight, bias = normal(rows, inputs), normal(units, inputs), normal(units)
    before = mx.nd.array(dense(x, [weight], [bias])[0])
    expected = mx.nd.LeakyReLU(before, act_type="gelu") if activation == "gelu" else mx.nd.relu(before)
    assert_same(dense(x, [weight], [bias], activation), [expected.asnumpy()])


def test_any_number_of_axes(dense, normal):
    x, weight, bias = normal(3, 2, 5), normal(4, 5), normal(4)
    (out,), (flat,) = dense(x, [weight], [bias]), dense(x.reshape(6, 5), [weight], [bias])
    np.testing.assert_array_equal(out, flat.reshape(3, 2, 4))


def test_what_is_not_finite_stays_so_and_in_its_row(dense):
    x = np.ones((3, 40), np.float32)
    x[0, 3], x[1, 5] = np.nan, np.inf
    (out,) = dense(x, [np.ones((2, 40), np.float32)], [np.zeros(2, np.float32)])
    assert np.isnan(out[0]).all() and np.isposinf(out[1]).all() and (out[2] == 40).all()


@pytest.mark.parametrize("rows", [1, 20, 57, 500])
def test_a_row_has_the_same_bits_in_any_batch_by_any_number_of_threads(dense, normal, monkeypatch, rows):
    x, weight, bias = normal(500, 400), normal(100, 400), normal(100)
    (whole,) = dense(x, [weight], [bias])
    try:
        for number in ("1", "3"):
            monkeypatch.setenv(threads.VARIABLE, number)
            threads.use_cores([mx.cpu()])
            np.testing.assert_array_equal(dense(x[:rows], [weight], [bias])[0], whole[:rows])
    finally:
        monkeypatch.undo()
        threads.use_cores([mx.cpu()])


def test_shapes_that_do_not_fit_are_refused(dense, normal):
    with pytest.raises(mx.MXNetError, match="[Ss]hape"):
        dense(normal(3, 4), [normal(5, 3)], [normal(5)])
