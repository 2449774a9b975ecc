"""Dropout masks depend on the key, the layer and the position, and on nothing else."""

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402

from gluonnlp_snli_plugin.xla.dropout import Dropout, key_of  # noqa: E402

SHAPE = (16, 40, 50)


def masked(key, rate, layer=1, values=None):
    dropout = Dropout(key)
    for _ in range(layer - 1):
        dropout(np.ones(1, np.float32), rate)
    return dropout(np.ones(SHAPE, np.float32) if values is None else values, rate)


@pytest.fixture(scope="module")
def mask():
    return jax.jit(masked, static_argnums=(1, 2))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_as_many_elements_are_dropped_as_the_rate_says(mask, rate):
    values = np.asarray(mask(key_of(3), rate))
    assert set(np.unique(values)) == {0, np.float32(1 / (1 - rate))}
    deviation = np.sqrt(rate * (1 - rate) / values.size)
    assert abs((values == 0).mean() - rate) < 4 * deviation
    for axis in range(3):  # and in every row as many
        shares = (values == 0).mean(axis=tuple(i for i in range(3) if i != axis))
        assert np.abs(shares - rate).max() < 5 * np.sqrt(SHAPE[axis]) * deviation


def test_masks_of_other_keys_and_layers_are_independent(mask):
    masks = [np.asarray(mask(key_of(*key), 0.5, layer)) > 0 for key, layer in (((0, 1), 1), ((0, 2), 1), ((0, 1), 2))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs((masks[one] == masks[other]).mean() - 0.5) < 0.02
        assert abs((masks[one][:, :, 1:] == masks[other][:, :, :-1]).mean() - 0.5) < 0.02


def test_neighbours_are_independent(mask):
    kept = np.asarray(mask(key_of(5), 0.5)) > 0
    for axis in range(3):
        one, other = np.split(np.moveaxis(kept, axis, 0), 2)
        assert abs((one == other).mean() - 0.5) < 0.02
    assert abs((kept[:, :, 1:] == kept[:, :, :-1]).mean() - 0.5) < 0.02


def test_the_number_of_devices_makes_no_difference(mask):
    devices = Mesh(np.array(jax.devices("cpu")[:4]), ("rows",))
    rows = NamedSharding(devices, PartitionSpec("rows"))
    divided = jax.jit(lambda key, values: masked(key, 0.3, values=values), out_shardings=rows)
    values = jax.device_put(np.ones(SHAPE, np.float32), rows)
    np.testing.assert_array_equal(divided(key_of(1), values), mask(key_of(1), 0.3))


def test_the_gradient_passes_where_the_value_does(mask):
    gradient = jax.jit(jax.grad(lambda values: masked(key_of(1), 0.3, values=values).sum()))
    np.testing.assert_array_equal(gradient(np.ones(SHAPE, np.float32)), mask(key_of(1), 0.3))


def test_without_a_key_nothing_is_dropped():
    values = np.arange(5.0)
    assert Dropout(None)(values, 0.5) is values
    assert Dropout(key_of(1))(values, 0.0) is values
