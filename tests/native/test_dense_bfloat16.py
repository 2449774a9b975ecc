"""A dense layer with products of bfloat16 gives what float32 gives for numbers that are rounded to bfloat16."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")

# rows, inputs, units: less than a tile, whole tiles and blocks of them, and what is left over
SHAPES = [(1, 1, 1), (3, 5, 7), (16, 32, 16), (32, 32, 32), (33, 65, 31), (100, 384, 96), (70, 31, 129), (300, 64, 40)]


def _rounded(array):
    """The nearest numbers of bfloat16, of two that are equally near the even one."""
    bits = array.view(np.uint32)
    return (((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)


def _layer(units):
    return lambda F, x, weight, bias=None: operators.dense_bfloat16(x, weight, bias, units)


@pytest.mark.parametrize("rows, inputs, units", SHAPES)
def test_values_and_gradients(run, assert_same, normal, rows, inputs, units, mode):
    x, weight, bias = normal(rows, inputs), normal(units, inputs, seed=1), normal(units)
    head = normal(rows, units, seed=2)
    expected = [
        _rounded(x) @ _rounded(weight).T + bias,
        _rounded(head) @ _rounded(weight),
        _rounded(head).T @ _rounded(x),
        head.sum(axis=0),
    ]
    assert_same(run(_layer(units), [x, weight, bias], head, mode), expected, tolerance=3e-6)


def test_any_number_of_axes_and_no_bias(run, assert_same, normal):
    x, weight, head = normal(3, 2, 5), normal(4, 5), normal(3, 2, 4)
    expected = [_rounded(x) @ _rounded(weight).T, _rounded(head) @ _rounded(weight)]
    expected.append(np.einsum("abu,abc->uc", _rounded(head), _rounded(x)))
    assert_same(run(_layer(4), [x, weight], head), expected, tolerance=3e-6)


def test_what_is_no_number_or_too_large_stays_so(run):
    x = np.ones((3, 40), np.float32)
    x[0, 3], x[1, 5] = np.nan, np.inf
    x[0, 4] = np.uint32(0xFFFFFFFF).view(np.float32)  # NaN with all bits set: rounding must not make it zero
    out = run(_layer(2), [x, np.ones((2, 40), np.float32)])[0]
    assert np.isnan(out[0]).all() and np.isposinf(out[1]).all() and (out[2] == 40).all()


def test_numbers_half_way_are_rounded_to_even():
    below, above = 1 + 2**-8, 1 + 3 * 2**-8  # between 1, 1 + 2**-7 and 1 + 2**-6
    out = operators.dense_bfloat16(mx.nd.array([[below], [above]]), mx.nd.ones((1, 1)), None, 1)
    assert out.asnumpy().ravel().tolist() == [1, 1 + 2**-6]


@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (5, 3), (5,)), ((3, 4), (6, 4), (5,)), ((3, 4), (5, 4), (4,)), ((3, 4), (5, 4, 1), (5,))],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(mx.MXNetError, match="[Ss]hape"):
        operators.dense_bfloat16(*map(mx.nd.zeros, shapes), 5).wait_to_read()


# Other processors -----------------------------------------------------------------------------------------------------

_RESULTS = """
import sys
import mxnet as mx
import numpy as np
from gluonnlp_snli_plugin.native import build, operators

build._FLAGS += sys.argv[2:]
assert operators.are_available()
with np.load(sys.argv[1]) as given:
    x, weight, head = (mx.nd.array(given[name]) for name in ("x", "weight", "head"))
for array in (x, weight):
    array.attach_grad()
with mx.autograd.record():
    out = operators.dense_bfloat16(x, weight, None, len(weight))
out.backward(head)
np.savez(sys.argv[1], *(array.asnumpy() for array in (out, x.grad, weight.grad)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["-mno-amx-bf16"], ["-mno-amx-bf16", "-mno-avx512bf16"], ["-mno-amx-bf16", "-mno-avx512f"]], ids=str
)
def test_older_processors_give_the_same_values(flags, tmp_path, assert_same, normal):
    """The operators are compiled without some instructions, so that others do their work."""
    x, weight, head = normal(70, 100), normal(50, 100), normal(70, 50)
    np.savez(str(tmp_path / "arrays.npz"), x=x, weight=weight, head=head)
    command = [sys.executable, "-c", _RESULTS, str(tmp_path / "arrays.npz"), *flags]
    subprocess.run(command, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, check=True)
    with np.load(str(tmp_path / "arrays.npz")) as results:
        ours = [results[name] for name in sorted(results)]
    x, weight, head = map(_rounded, (x, weight, head))
    assert_same(ours, [x @ weight.T, head @ weight, head.T @ x], tolerance=3e-6)
