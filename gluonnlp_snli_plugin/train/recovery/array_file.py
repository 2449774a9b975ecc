"""A safetensors file in memory, allocated once for arrays that are written again and again.

safetensors' own writer copies all arrays each time, into newly allocated memory. On a virtual machine a gigabyte of new
memory can cost seconds, more than writing it.
"""

import mmap
from typing import Any, Dict, Optional

import mxnet as mx
import numpy as np

from ...system.tensor_file import header_of, pack_header

_BLOCK = 1 << 16  # numbers checked at once: the result stays in the processor's cache


class ArrayFile:
    """The file in memory.

    Parameters
    ----------
    arrays : dict of str to NDArray or jax.Array
        Their names, shapes and dtypes are laid out; :meth:`fill` copies their values.

    Attributes
    ----------
    content : ndarray of uint8
        The whole file, as safetensors defines it.
    arrays : dict of str to ndarray
        Parts of `content`.
    """

    def __init__(self, arrays: Dict[str, Any]) -> None:
        header = header_of(arrays)
        start = pack_header(header)
        self.content = _pages(len(start) + max((entry["data_offsets"][1] for entry in header.values()), default=0))
        self.content[: len(start)] = np.frombuffer(start, "uint8")
        values = self.content[len(start) :]
        self.arrays: Dict[str, np.ndarray] = {
            name: values[slice(*entry["data_offsets"])].view(arrays[name].dtype).reshape(entry["shape"])
            for name, entry in header.items()
        }
        # MXNet makes what it shares read-only for NumPy.
        own = [name for name, array in arrays.items() if isinstance(array, mx.nd.NDArray)]
        self._targets = {name: mx.nd.from_numpy(self.arrays[name]) for name in own}

    def fill(self, arrays: Dict[str, Any]) -> None:
        """Copy the values in, as they are after the operations called so far; MXNet's in the background."""
        for name, array in arrays.items():
            if name in self._targets:
                array.copyto(self._targets[name])
            else:
                self.arrays[name][...] = array

    def wait(self) -> None:
        """Wait until the values are copied."""
        for target in self._targets.values():
            target.wait_to_read()

    def not_finite(self) -> Optional[str]:
        """The name of an array that holds an infinity or a NaN, or None."""
        for name, array in self.arrays.items():
            numbers = array.reshape(-1)
            if not all(np.isfinite(numbers[i : i + _BLOCK]).all() for i in range(0, len(numbers), _BLOCK)):
                return name
        return None


def _pages(size: int) -> np.ndarray:
    """Memory aligned to pages, which the kernel can write without a copy; uint8, shape (size,)."""
    memory = np.empty(size + mmap.PAGESIZE, "uint8")
    begin = -memory.ctypes.data % mmap.PAGESIZE
    return memory[begin : begin + size]
