"""Adding a row for each position gives what broadcasting gives."""

import numpy as np
import pytest

from gluonnlp_snli_plugin.native import operators

pytestmark = pytest.mark.usefixtures("native_operators")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 16), (7, 1, 33), (31, 32, 384), (130, 3, 20)], ids=str)
def test_sum_and_gradients_are_those_of_broadcasting(run, assert_same, normal, shape, mode):
    arrays = [normal(*shape), normal(shape[0], shape[2], seed=1)]
    head = normal(*shape, seed=2)
    ours = run(lambda F, data, rows: operators.add_rows(data, rows), arrays, head, mode)
    theirs = run(lambda F, data, rows: F.broadcast_add(data, F.expand_dims(rows, axis=1)), arrays, head)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], head)
    assert_same(ours, theirs)
