"""The arrays of a checkpoint, as a safetensors file in memory."""

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from gluonnlp_snli_plugin.train.recovery.array_file import ArrayFile

DTYPES = {"half": "float16", "weight/a": "float32", "double": "float64", "count": "int64", "byte": "uint8"}


def arrays_of(seed):
    random = np.random.RandomState(seed)
    return {
        name: mx.nd.array(random.randint(0, 100, (3, 5, i + 1)), dtype=dtype)
        for i, (name, dtype) in enumerate(DTYPES.items())
    }


def test_it_is_what_safetensors_reads_each_time_it_is_filled():
    file = ArrayFile(arrays_of(0))
    for seed in range(3):
        arrays = arrays_of(seed)
        file.fill(arrays)
        file.wait()
        found = safetensors.numpy.load(file.content.tobytes())
        assert {name: str(array.dtype) for name, array in found.items()} == DTYPES
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array.asnumpy())


def test_each_array_lies_as_its_dtype_wants_it():
    file = ArrayFile(arrays_of(0))
    assert all(array.flags.aligned for array in file.arrays.values())


def test_what_is_changed_after_filling_is_not_in_it():
    array = mx.nd.zeros((500, 1000))
    file = ArrayFile({"a": array})
    for i in range(20):
        array += 1
        file.fill({"a": array})
        array += 1
        file.wait()
        assert (file.arrays["a"] == 2 * i + 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, (1 << 16) - 1, 1 << 16, -1])
def test_a_number_that_is_none_is_found_wherever_it_is(value, place):
    arrays = {"sound": mx.nd.ones((3, 3)), "other": mx.nd.ones((1 << 17) + 5), "count": mx.nd.ones(2, dtype="int32")}
    file = ArrayFile(arrays)
    file.fill(arrays)
    file.wait()
    assert file.not_finite() is None
    arrays["other"][place] = value
    file.fill(arrays)
    file.wait()
    assert file.not_finite() == "other"
