"""A safetensors file in memory that is taken once, for arrays that are written again and again.

safetensors' own writer copies all arrays each time, into memory that the process did not have before. On a virtual
machine a gigabyte of such memory can cost seconds, more than what is done with it.
"""

import json
import mmap

import mxnet as mx
import numpy as np

_BLOCK = 1 << 16  # numbers looked at at once: what they are compared to stays in the processor's cache


class ArrayFile:
    """What is to be in the file.

    Parameters
    ----------
    arrays : dict of str to NDArray
        Whose names, shapes and dtypes it gets; not yet their values.

    Attributes
    ----------
    content : ndarray of uint8
        The whole file, as safetensors defines it.
    arrays : dict of str to ndarray
        Parts of `content`.
    """

    def __init__(self, arrays):
        entries, end = {}, 0
        dtypes = {name: np.dtype(array.dtype) for name, array in arrays.items()}
        for name in sorted(arrays, key=lambda name: -dtypes[name].itemsize):  # then each lies as its dtype wants it
            begin, end = end, end + arrays[name].size * dtypes[name].itemsize
            kind = f"{dtypes[name].kind.upper()}{8 * dtypes[name].itemsize}"
            entries[name] = {"dtype": kind, "shape": arrays[name].shape, "data_offsets": [begin, end]}
        header = json.dumps(entries).encode()
        header += b" " * (-len(header) % 8)
        header = len(header).to_bytes(8, "little") + header
        self.content = _pages(len(header) + end)
        self.content[: len(header)] = np.frombuffer(header, "uint8")
        values = self.content[len(header) :]
        self.arrays = {
            name: values[slice(*entry["data_offsets"])].view(dtypes[name]).reshape(entry["shape"])
            for name, entry in entries.items()
        }
        self._targets = {name: mx.nd.from_numpy(array) for name, array in self.arrays.items()}

    def fill(self, arrays):
        """Have the values copied in as they are after all that MXNet has been asked to do; it goes on meanwhile."""
        for name, array in arrays.items():
            array.copyto(self._targets[name])

    def wait(self):
        """Wait until they are."""
        for target in self._targets.values():
            target.wait_to_read()

    def not_finite(self):
        """The name of an array that has an infinite number or one that is none, or None."""
        for name, array in self.arrays.items():
            numbers = array.reshape(-1)
            if not all(np.isfinite(numbers[i : i + _BLOCK]).all() for i in range(0, len(numbers), _BLOCK)):
                return name
        return None


def _pages(size):
    """Memory that begins where a page does, as the kernel wants it to write it without a copy; uint8, shape (size,)."""
    memory = np.empty(size + mmap.PAGESIZE, "uint8")
    begin = -memory.ctypes.data % mmap.PAGESIZE
    return memory[begin : begin + size]
