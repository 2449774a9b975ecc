"""What the tests of the C++ operators share: running a function of arrays, comparing what comes out, and nets."""

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model import BERTClassifier

from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.native import operators


@pytest.fixture(params=["imperative", "hybridized", "static"])
def mode(request):
    """How a function is run."""
    return request.param


@pytest.fixture(scope="session")
def packed_products(native_operators):
    """For tests of products with packed weights."""
    if not operators.panel():
        pytest.skip("the processor does not multiply and add at once")


@pytest.fixture(scope="session")
def run():
    """Runs a function: its result, and the gradient for each of its arrays that is of floats."""

    def run(function, arrays, head=None, mode="imperative"):
        arrays = [mx.nd.array(array, dtype=array.dtype) for array in arrays]
        inputs = [array for array in arrays if array.dtype == np.float32]
        for array in inputs:
            array.attach_grad()
        call = mx.gluon.nn.HybridLambda(function)
        if mode != "imperative":
            call.hybridize(static_alloc=mode == "static", static_shape=False)
        with mx.autograd.record():
            out = call(*arrays)
        out.backward(None if head is None else mx.nd.array(head))
        return [out.asnumpy(), *(array.grad.asnumpy() for array in inputs)]

    return run


@pytest.fixture(scope="session")
def assert_same():
    """Asserts that differences are at most a share of the largest value, and what is no number is none in both.

    `least`: how large the terms are that an array is the difference of.
    """

    def assert_same(ours, theirs, tolerance=2e-6, least=1e-3):
        for which, (a, b) in enumerate(zip(ours, theirs)):
            assert a.shape == b.shape
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            finite = np.isfinite(b)
            np.testing.assert_array_equal(a[~finite], b[~finite])
            largest = np.abs(b[finite]).max(initial=least)
            np.testing.assert_allclose(a[finite], b[finite], rtol=0, atol=tolerance * largest, err_msg=f"array {which}")

    return assert_same


@pytest.fixture(scope="session")
def normal():
    """Makes an array of normally distributed numbers, the same for the same shape and seed."""

    def normal(*shape, scale=1.0, seed=0):
        random = np.random.RandomState(seed + 1000 * len(shape) + sum(shape))
        return random.normal(0, scale, shape).astype(np.float32)

    return normal


@pytest.fixture(scope="session")
def assert_uncorrelated():
    """Asserts that the correlation of two masks is within five standard deviations of none."""

    def assert_uncorrelated(a, b):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)

    return assert_uncorrelated


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
