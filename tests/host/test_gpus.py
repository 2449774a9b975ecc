"""``mx.gpu(i)`` in a script: a context of its own on the host, and MXNet and GluonNLP as they were afterwards."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from gluonnlp.utils import parameter as host_parameter
from mxnet.contrib import amp

from gluonnlp_snli_plugin.errors import UsageError

pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")

OWNERS = [
    mx,
    mx.nd,
    mx.nd.NDArray,
    mx.autograd,
    mx.context,
    mx.Context,
    mx.random,
    mx.gluon.Block,
    mx.gluon.HybridBlock,
    mx.gluon.SymbolBlock,
    mx.gluon.Parameter,
    mx.gluon.ParameterDict,
    mx.gluon.Trainer,
    mx.optimizer.Optimizer,
    mx.optimizer.Updater,
    amp,
    amp.amp,
    nlp.utils,
    host_parameter,
]


def test_mxnet_and_gluonnlp_are_as_before(gpus, make_bert, bert_inputs):
    def attributes():
        return [dict(vars(owner)) for owner in OWNERS]

    before = attributes()
    with gpus():
        during = attributes()
        make_bert(ctx=mx.gpu(0), encoder={"num_layers": 1})(*bert_inputs(ctx=mx.gpu(0)))
    changed = [
        (owner.__name__, name)
        for owner, old, new in zip(OWNERS, before, during)
        for name in old
        if old[name] is not new.get(name)
    ]
    assert ("HybridBlock", "forward") in changed and ("Context", "__init__") in changed
    for owner, old, new in zip(OWNERS, before, attributes()):
        assert set(old) == set(new), owner
        assert [name for name in old if old[name] is not new[name]] == [], owner
    context = mx.Context("gpu", 3)
    assert (str(context), context.device_type, context.device_typeid, context.device_id) == ("gpu(3)", "gpu", 2, 3)
    assert mx.context.num_gpus() == 0


def test_a_context_looks_as_mxnets(gpus):
    with gpus(2):
        for context in (mx.gpu(1), mx.Context("gpu", 1), mx.Context(mx.gpu(1)), eval("mx." + str(mx.gpu(1)))):
            assert (str(context), repr(context), context.device_type) == ("gpu(1)", "gpu(1)", "gpu")
            assert context == mx.gpu(1) and hash(context) == hash(mx.gpu(1))
        assert len({mx.gpu(0), mx.gpu(1), mx.cpu(0), mx.cpu(1), mx.gpu()}) == 4
        assert mx.context.num_gpus() == 2
        assert str(mx.cpu(1)) == "cpu(1)" and mx.cpu().device_type == "cpu"


def zeros(context):
    return mx.nd.zeros((2, 3), ctx=context)


def array(context):
    return mx.nd.array([[1, 2, 3]], ctx=context)


def arange(context):
    return mx.nd.arange(6, ctx=context).reshape((2, 3))


def full(context):
    return mx.nd.full((2, 3), 7, ctx=context)


def random(context):
    mx.random.seed(1)
    return mx.nd.random.uniform(shape=(2, 3), ctx=context)


def current_context(context):
    with context:
        assert mx.context.current_context() == context
        return mx.nd.ones((2, 3)) + mx.nd.eye(3)[:2]


def split_and_load(context):
    return mx.gluon.utils.split_and_load(np.ones((2, 3)), [context])[0]


def copied(context):
    return mx.nd.ones((2, 3)).copyto(context)


def operators(context):
    x = mx.nd.ones((2, 3), ctx=context) * 3
    return mx.nd.concat(x.softmax(), x.sum(axis=1, keepdims=True), mx.nd.one_hot(x[:, 0], 4), dim=1)


def like(context):
    return mx.nd.zeros_like(mx.nd.ones((2, 3), ctx=context)) + mx.nd.ones((1,), ctx=context)


@pytest.mark.parametrize(
    "make", [zeros, array, arange, full, random, current_context, split_and_load, copied, operators, like]
)
def test_mxnets_operators_compute_there(make, gpus):
    expected = make(mx.cpu()).asnumpy()
    with gpus():
        found = make(mx.gpu(0))
        assert found.context == mx.gpu(0)
        np.testing.assert_array_equal(found.as_in_context(mx.cpu()).asnumpy(), expected)
        assert "@gpu(0)" in repr(found)


def test_saved_arrays_are_read_on_the_cpu(gpus, tmp_path):
    with gpus():
        mx.nd.save(str(tmp_path / "x"), {"x": mx.nd.ones(3, ctx=mx.gpu(0))})
        assert mx.nd.load(str(tmp_path / "x"))["x"].context == mx.cpu(0)
    assert str(mx.nd.load(str(tmp_path / "x"))["x"].context) == "cpu(0)"


def test_a_gpu_that_the_script_was_not_given(gpus):
    message = r"the script asks for mx.gpu\(2\), but has mx.gpu\(0\), mx.gpu\(1\)"
    with gpus(2), pytest.raises(UsageError, match=message):
        mx.gpu(2)
