"""The header of a safetensors file."""

import numpy as np
import pytest
import safetensors.numpy

from gluonnlp_snli_plugin.system.tensor_file import header_of, pack_header, unpack_header

ARRAYS = {
    "small": np.arange(3, dtype="uint8"),
    "half": np.zeros((2, 3), "float16"),
    "double": np.ones((2, 2)),
    "int": np.array([], "int32"),
}


def test_header_and_arrays_are_a_file_that_safetensors_reads():
    header = header_of(ARRAYS)
    content = pack_header(header) + b"".join(ARRAYS[name].tobytes() for name in header)
    for name, array in safetensors.numpy.load(content).items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_each_array_is_aligned_to_its_numbers():
    header = header_of(ARRAYS)
    start = len(pack_header(header))
    assert all((start + entry["data_offsets"][0]) % ARRAYS[name].itemsize == 0 for name, entry in header.items())


def test_a_header_comes_back_with_where_the_arrays_begin():
    packed = pack_header(header_of(ARRAYS))
    assert unpack_header(packed + b"arrays") == (header_of(ARRAYS), len(packed))


@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{{"])
def test_what_does_not_begin_with_a_header_is_refused(content):
    with pytest.raises(ValueError):
        unpack_header(content)
