"""Programs are compiled once for each shape, in the background, and say what they need."""

import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import PluginError

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")
from gluonnlp_snli_plugin.xla.programs import Programs  # noqa: E402


def product(matrix):
    return (matrix @ matrix) @ (matrix.T @ matrix)


@pytest.fixture
def told():
    return []


def test_each_program_is_compiled_once_and_tells_how_long_that_took(told):
    programs, matrix = Programs(told.append), np.eye(4, dtype=np.float32)
    for _ in range(3):
        programs.compile("key", "the product of 4 rows", jax.jit(product), matrix)
        np.testing.assert_array_equal(programs("key", matrix), matrix)
    (line,) = told
    assert line.startswith("compiled the product of 4 rows in ") and line.endswith(" s")
    assert programs.seconds > 0


def test_a_program_that_needs_more_memory_than_there_is_says_so_before_it_runs(told):
    asked = []
    programs = Programs(told.append, 1 << 20, lambda share: asked.append(share) or "use less")
    programs.compile("key", "the product", jax.jit(product), np.zeros((1000, 1000), np.float32))
    with pytest.raises(PluginError, match=r"the product needs 0.0 GiB of the device's 0.0: use less"):
        programs("key", np.zeros((1000, 1000), np.float32))
    assert asked == [0]  # the arguments alone are too large


def test_a_device_that_has_no_memory_left_is_a_line(told):
    """A petabyte does not fit into the address space of any processor."""
    programs = Programs(told.append, advice=lambda share: "use less")
    many = jax.jit(lambda number: jax.numpy.zeros((1 << 24, 1 << 24), jax.numpy.float32) + number)
    programs.compile("key", "zeros", many, np.float32(1))
    with pytest.raises(PluginError, match="the device does not have enough memory: use less"):
        programs("key", np.float32(1))


def test_other_errors_are_raised_as_they_are(told):
    programs = Programs(told.append)
    matrix = np.ones((2, 3), np.float32)
    programs.compile("key", "what cannot be", jax.jit(lambda one, other: one @ other), matrix, matrix)
    with pytest.raises(TypeError):
        programs("key", matrix, matrix)
