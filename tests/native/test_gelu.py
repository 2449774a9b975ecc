"""The GELU in C++ gives what GluonNLP's own gives."""

import math

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.model.block import GELU

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")


@pytest.mark.parametrize("shape", [(1,), (7,), (17, 3), (2, 1, 65), (130, 33), (4097,)], ids=str)
def test_gelu_is_gluonnlps_own(run, assert_same, normal, shape, mode):
    x, head = normal(*shape, scale=2), normal(*shape, seed=1)
    theirs = run(lambda F, x: GELU()(x), [x], head)
    assert_same(run(lambda F, x: operators.gelu(x), [x], head, mode), theirs)


@pytest.mark.parametrize("shape", [(7,), (17, 3), (2, 1, 65), (31, 32, 130), (1, 1, 16)], ids=str)
def test_a_bias_is_added_before(run, assert_same, normal, shape, mode):
    arrays, head = [normal(*shape, scale=2), normal(shape[-1], seed=2)], normal(*shape, seed=1)
    of_last_axis = (1,) * (len(shape) - 1) + (-1,)
    theirs = run(lambda F, x, bias: GELU()(F.broadcast_add(x, bias.reshape(of_last_axis))), arrays, head)
    assert_same(run(lambda F, x, bias: operators.gelu(x, bias), arrays, head, mode), theirs, 4e-6)


def test_gelu_is_x_times_the_normal_distribution_function_to_1e6(run):
    x = np.linspace(-12, 12, 4801, dtype=np.float32)
    phi = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])
    density = np.exp(-0.5 * x.astype(np.float64) ** 2) / math.sqrt(2 * math.pi)
    out, gradient = run(lambda F, x: operators.gelu(x), [x])
    np.testing.assert_allclose(out, x * phi, rtol=2e-7, atol=1e-6)
    np.testing.assert_allclose(gradient, phi + x * density, atol=1e-6)


@pytest.mark.parametrize("x", [80.0, -80.0, 1e4, -1e4, 1e30, -1e30, np.inf, np.nan])
def test_gelu_of_extreme_values_is_gluonnlps_own(x):
    x = np.full(20, x, np.float32)
    ours = operators.gelu(mx.nd.array(x)).asnumpy()
    np.testing.assert_allclose(ours, GELU()(mx.nd.array(x)).asnumpy(), rtol=2e-7)


def test_gelus_gradient_for_large_values_is_zero_or_one(run):
    _, gradient = run(lambda F, x: operators.gelu(x), [np.array([-1e30, -80, 0, 80, 1e18], np.float32)])
    np.testing.assert_allclose(gradient, [0, 0, 0.5, 1, 1], atol=1e-6)
