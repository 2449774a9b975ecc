"""Weights are packed with nothing lost but, to 8 bits, half a step."""

import numpy as np

from gluonnlp_snli_plugin.native.packing import pack_float32, pack_int8


def test_units_are_packed_in_panels_with_zeros_after_the_last():
    weight = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert pack_float32(weight, 4).tolist() == [[[0, 2, 4, 6], [1, 3, 5, 7]], [[8, 0, 0, 0], [9, 0, 0, 0]]]


def test_weights_with_8_bits_are_within_half_a_step():
    weight = np.random.default_rng(0).normal(size=(70, 10)).astype(np.float32)
    weight[3] = 0
    packed, columns = pack_int8(weight, np.arange(70, dtype=np.float32))
    assert packed.shape == (2, 3, 64, 4) and columns.shape == (3, 128)
    restored = packed.transpose(0, 2, 1, 3).reshape(128, 12) * columns[0][:, None]
    assert (np.abs(restored[:70, :10] - weight) <= columns[0, :70, None] * 0.501).all()
    assert not restored[70:].any() and not restored[:, 10:].any()
    np.testing.assert_allclose(columns[1], restored.sum(axis=1), atol=1e-5)
    assert columns[2, :71].tolist() == [*range(70), 0]
