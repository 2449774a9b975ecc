"""A net with packed weights gives the answers of the net that it was made of, and is what a predictor computes with."""

import mxnet as mx
import numpy as np
import pytest
from accelerated_nets import operators_of

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.model.inference import logits
from gluonnlp_snli_plugin.native import accelerate, operators
from gluonnlp_snli_plugin.native.packed import pack, pack_weights

needs_operator = pytest.mark.usefixtures("packed_products")


@pytest.fixture
def packed_products(native_operators, monkeypatch):
    """Uses packed products also where others are faster."""
    panel = int(operators._loaded().snli_panel())
    if not panel:
        pytest.skip("the processor does not multiply and add at once")
    monkeypatch.setattr(operators, "panel", lambda: panel)


@pytest.fixture
def model(tiny_run):
    return load_model(tiny_run)


@needs_operator
@pytest.mark.parametrize("batch_size", [1, 32])
def test_the_same_answers_and_the_net_itself_stays_as_it_is(model, encoded, batch_size):
    before = logits(model.net, encoded, [mx.cpu()], batch_size)
    accelerate(model.net)
    accelerated = logits(model.net, encoded, [mx.cpu()], batch_size)
    packed = pack_weights(model.net)
    packed.hybridize(static_alloc=True)
    np.testing.assert_allclose(logits(packed, encoded, [mx.cpu()], batch_size), before, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(logits(model.net, encoded, [mx.cpu()], batch_size), accelerated)
    assert packed.num_classes == model.net.num_classes


@needs_operator
def test_query_key_and_value_are_one_product_and_gelu_is_part_of_another(model):
    accelerate(model.net)
    found = operators_of(pack_weights(model.net))
    layers = len(model.net.bert.encoder.transformer_cells)
    # Of a layer: query, key and value; output projection; two of the feed-forward layer. The last layer's query is of
    # the first position alone, its key and value of all. The head has one more.
    assert found.count("_snli_dense_packed") == 4 * layers + 2
    assert found.count("FullyConnected") == 1  # the logits
    assert "_snli_gelu" not in found


@needs_operator
def test_a_predictor_in_float32_computes_with_it(tiny_run):
    assert "_snli_dense_packed" in operators_of(Predictor.load(tiny_run)._net)
    assert "_snli_dense_packed" not in operators_of(Predictor.load(tiny_run, native=False)._net)


@needs_operator
def test_a_model_that_was_accelerated_before_is_packed_too(model):
    accelerate(model.net)
    assert "_snli_dense_packed" in _operators(Predictor(model)._net)


def test_where_other_products_are_faster_a_net_is_left_as_it_is(model, monkeypatch):
    monkeypatch.setattr(operators, "panel", lambda: 0)
    assert pack_weights(model.net) is model.net


def test_units_are_packed_in_panels_with_zeros_after_the_last():
    weight = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert pack(weight, 4).tolist() == [[[0, 2, 4, 6], [1, 3, 5, 7]], [[8, 0, 0, 0], [9, 0, 0, 0]]]


@needs_operator
def test_packed_weights_are_freed_with_their_net(model):
    """MXNet registers the value of a Constant as an initializer, for ever."""
    accelerate(model.net)
    before = dict(mx.registry._REGISTRY[mx.init.Initializer])
    pack_weights(model.net)
    assert mx.registry._REGISTRY[mx.init.Initializer] == before
