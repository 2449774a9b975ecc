"""A classifier in one call of C++ gives the logits of the net that it was made of."""

import concurrent.futures

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.data.encoding import EncodedPairs
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.backbone import UnknownNet
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.model.heads import head_names
from gluonnlp_snli_plugin.model.inference import logits
from gluonnlp_snli_plugin.native import accelerate, operators
from gluonnlp_snli_plugin.native.classifier import NativeClassifier
from gluonnlp_snli_plugin.system import threads

pytestmark = pytest.mark.usefixtures("packed_products")


def random_pairs(number=30, longest=60):
    random = np.random.RandomState(5)
    len_a, len_b = (random.randint(1, longest // 2 - 1, number) for _ in range(2))
    offsets = np.concatenate([[0], np.cumsum(len_a + len_b + 3)])
    ids = random.randint(5, 60, offsets[-1]).astype(np.int32)
    return EncodedPairs(ids, offsets, len_a, len_b, None, 0)


@pytest.fixture
def make_net(make_bert):
    def make(head="mlp", **options):
        net = SNLIBertClassifier(make_bert(use_pooler=head == "pooled", **options), 3, head, 40, 0.0)
        net.classifier.initialize(mx.init.Normal(0.3))
        logits(net, random_pairs(1), [mx.cpu()])  # some layers learn their size from the first input
        return net

    return make


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("head", head_names())
def test_the_same_logits_with_every_head(make_net, head, accelerated):
    net, pairs = make_net(head), random_pairs()
    expected = logits(net, pairs, [mx.cpu()])
    if accelerated:
        accelerate(net)
    np.testing.assert_allclose(NativeClassifier(net).logits(pairs), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "encoder",
    [
        {"activation": "relu"},
        {"activation": "approx_gelu"},
        {"layer_norm_eps": 0.5},
        {"num_layers": 1},
        {"units": 24, "num_heads": 1, "hidden_size": 7},
    ],
    ids=str,
)
def test_the_same_logits_with_every_encoder(make_net, encoder):
    net, pairs = make_net(encoder=encoder), random_pairs()
    expected = logits(net, pairs, [mx.cpu()])
    np.testing.assert_allclose(NativeClassifier(net).logits(pairs), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_an_answer_has_the_same_bits_in_any_batch_by_any_number_of_threads(make_net, monkeypatch, request, dtype):
    if dtype == "int8":
        request.getfixturevalue("int8_operator")
    net, pairs = make_net(), random_pairs(70)
    whole = NativeClassifier(net, dtype, 70).logits(pairs)
    try:
        for number in ("1", "3"):
            monkeypatch.setenv(threads.VARIABLE, number)
            threads.use_cores([mx.cpu()])
            for batch_size in (1, 8, 69):
                np.testing.assert_array_equal(NativeClassifier(net, dtype, batch_size).logits(pairs), whole)
    finally:
        monkeypatch.undo()
        threads.use_cores([mx.cpu()])


def test_several_threads_may_ask_at_once(make_net):
    classifier, pairs = NativeClassifier(make_net()), random_pairs(200)
    expected = classifier.logits(pairs)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(classifier.logits, [pairs] * 12):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("int8_operator")
@pytest.mark.parametrize("head", head_names())
def test_with_8_bit_integers_the_logits_are_nearly_the_same(make_net, head):
    net, pairs = make_net(head), random_pairs()
    expected = logits(net, pairs, [mx.cpu()])
    difference = np.abs(NativeClassifier(net, "int8").logits(pairs) - expected).max()
    assert 1e-4 < difference / np.abs(expected).max() < 0.1


def test_the_net_itself_stays_as_it_is(make_net):
    net, pairs = make_net(), random_pairs()
    accelerate(net)
    before = logits(net, pairs, [mx.cpu()])
    NativeClassifier(net).logits(pairs)
    np.testing.assert_array_equal(logits(net, pairs, [mx.cpu()]), before)


def test_what_is_done_to_the_net_later_has_no_effect(make_net):
    net, pairs = make_net(), random_pairs()
    classifier = NativeClassifier(net)
    before = classifier.logits(pairs)
    for parameter in net.collect_params().values():
        parameter.set_data(parameter.data() * 0)
    np.testing.assert_array_equal(classifier.logits(pairs), before)


def test_no_pairs_have_no_logits(make_net):
    empty = EncodedPairs(np.zeros(0, np.int32), np.zeros(1, np.int64), *2 * [np.zeros(0, np.int32)], None, 0)
    assert NativeClassifier(make_net()).logits(empty).shape == (0, 3)


def test_a_net_with_parts_of_a_users_own_is_left_to_mxnet(make_net):
    class OwnNorm(mx.gluon.nn.LayerNorm):
        pass

    net = make_net()
    net.bert.encoder.transformer_cells[1].layer_norm.__class__ = OwnNorm
    with pytest.raises(UnknownNet, match="^a backbone with a OwnNorm inside$"):
        NativeClassifier(net)


def test_a_processor_without_instructions_for_8_bit_integers_refuses_them(make_net, monkeypatch):
    monkeypatch.setattr(operators, "has_int8", lambda: False)
    with pytest.raises(UsageError, match="on this processor, which has no VNNI; leave it out$"):
        NativeClassifier(make_net(), "int8")
