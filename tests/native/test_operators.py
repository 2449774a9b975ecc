"""What holds for all C++ operators: wrong inputs, prediction, threads."""

import hashlib
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")


# What cannot be computed ----------------------------------------------------------------------------------------------


def _zeros(*shape, dtype="float32"):
    return mx.nd.zeros(shape, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
@pytest.mark.parametrize(
    "call, number",
    [
        (lambda wrong: operators.gelu(wrong(3, 4)), 0),
        (lambda wrong: operators.gelu(_zeros(3, 4), wrong(4)), 1),
        (lambda wrong: operators.add_rows(_zeros(3, 2, 4), wrong(3, 4)), 1),
        (lambda wrong: operators.dropout(wrong(3, 4), _zeros(64), 0.5), 0),
        (lambda wrong: operators.dense(wrong(3, 4), _zeros(5, 4), None, 5), 0),
        (lambda wrong: operators.layer_norm(wrong(3, 4), _zeros(4), _zeros(4)), 0),
        (lambda wrong: operators.layer_norm(_zeros(3, 4), wrong(4), _zeros(4)), 1),
        (lambda wrong: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), wrong(3, 4)), 3),
        (lambda wrong: operators.attention(wrong(3, 2, 4), _zeros(3, 2, 4), _zeros(3, 2, 4), heads=2), 0),
        (lambda wrong: operators.attention(_zeros(1, 2, 4), _zeros(3, 2, 4), wrong(3, 2, 4), heads=2), 2),
        (lambda wrong: operators.clip_factor([_zeros(3), wrong(3)], 1.0), 1),
    ],
)
def test_an_input_that_is_not_float32_is_named(call, number, dtype):
    with pytest.raises(mx.MXNetError, match=f"input {number} must be float32"):
        call(lambda *shape: _zeros(*shape, dtype=dtype)).wait_to_read()


def test_lengths_that_are_not_integers_are_named():
    with pytest.raises(mx.MXNetError, match="input 3 must be int32"):
        operators.attention(*[_zeros(3, 2, 4)] * 3, mx.nd.ones((2, 3)), heads=2).wait_to_read()


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: operators.gelu(_zeros(3, 4), _zeros(3)), "[Ss]hape"),
        (lambda: operators.add_rows(_zeros(3, 2, 4), _zeros(2, 4)), "[Ss]hape"),
        (lambda: operators.add_rows(_zeros(3, 4), _zeros(3, 4)), "positions, batch, width"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), bias=_zeros(3)), "[Ss]hape"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(3), _zeros(4)), "[Ss]hape"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(5)), "[Ss]hape"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), _zeros(4, 3)), "residual"),
        (lambda: operators.layer_norm(_zeros(3, 4), _zeros(4), _zeros(4), None, _zeros(3), p=0.5), "[Ss]hape"),
        (lambda: operators.dropout(_zeros(3, 4), _zeros(3), 0.5), "[Ss]hape"),
        (lambda: operators.attention(*[_zeros(3, 2, 7)] * 3, heads=2), "queries, keys and values"),
        (lambda: operators.attention(*[_zeros(3, 12)] * 3, heads=2), "queries, keys and values"),
        (lambda: operators.attention(*[_zeros(3, 2, 4)] * 3, heads=0), "queries, keys and values"),
        (lambda: operators.attention(*[_zeros(3, 2, 4)] * 3, heads=-1), "queries, keys and values"),
        (
            lambda: operators.attention(_zeros(1, 2, 8), _zeros(3, 2, 12), _zeros(3, 2, 12), heads=2),
            "queries, keys and values",
        ),
        (
            lambda: operators.attention(_zeros(1, 3, 8), _zeros(3, 2, 8), _zeros(3, 2, 8), heads=2),
            "queries, keys and values",
        ),
        (
            lambda: operators.attention(_zeros(1, 2, 8), _zeros(3, 2, 8), _zeros(4, 2, 8), heads=2),
            "queries, keys and values",
        ),
        (lambda: operators.attention(*[_zeros(3, 2, 4)] * 3, _zeros(3, 2, dtype="int32"), heads=2), "lengths"),
    ],
)
def test_inputs_whose_shapes_do_not_fit_are_refused(call, complaint):
    with pytest.raises(mx.MXNetError, match=complaint):
        call().wait_to_read()


# Prediction -----------------------------------------------------------------------------------------------------------


def test_nothing_is_dropped_outside_training(normal):
    data = mx.nd.array(normal(7, 3, 48))
    key = operators.dropout_key(mx.nd)
    one, zero = mx.nd.ones(48), mx.nd.zeros(48)
    for with_dropout, without in (
        (operators.dropout(data, key, 0.5), data),
        (operators.attention(*[data] * 3, None, key, heads=2, p=0.5), operators.attention(*[data] * 3, heads=2)),
        (operators.layer_norm(data, one, zero, data, key, p=0.5), operators.layer_norm(data, one, zero, data)),
    ):
        np.testing.assert_array_equal(with_dropout.asnumpy(), without.asnumpy())


# Threads --------------------------------------------------------------------------------------------------------------

_ALL_RESULTS = """
import hashlib, sys
import mxnet as mx
from gluonnlp_snli_plugin.native import operators

assert operators.are_available()
mx.random.seed(3)
result = hashlib.sha256()
data = mx.nd.array(mx.np.arange(300 * 5 * 96).asnumpy() % 89 / 89 - 0.5).reshape((300, 5, 96))
data.attach_grad()
gamma, beta, bias, other_bias = (data[i, 0].copy() for i in range(4))
weight, rows = data[2:98, 0].copy(), data[:, 3].copy()
parameters = [gamma, beta, bias, other_bias, weight, rows]
for parameter in parameters:
    parameter.attach_grad()
for _ in range(3):
    with mx.autograd.record():
        out = operators.add_rows(data, rows)
        out = operators.layer_norm(out, gamma, beta, data * 2, operators.dropout_key(mx.nd), p=0.1, bias=bias)
        out = operators.dense(out, weight, None, 96)
        out = operators.attention(out, out, out, None, operators.dropout_key(mx.nd), heads=4, p=0.1)
        out = operators.dropout(operators.gelu(out, other_bias), operators.dropout_key(mx.nd), 0.1)
    out.backward(out)
    gradients = [array.grad for array in (data, *parameters)]
    for array in (out, *gradients, operators.clip_factor(gradients, 1.0)):
        result.update(array.asnumpy().tobytes())
print(result.hexdigest())
"""


def test_values_gradients_and_masks_do_not_depend_on_the_number_of_threads():
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ALL_RESULTS],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in "12"
    ]
    one, two = (process.communicate(timeout=600)[0] for process in processes)
    assert len(one.strip()) == 2 * hashlib.sha256().digest_size
    assert one == two
