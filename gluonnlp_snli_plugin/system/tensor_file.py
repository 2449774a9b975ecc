"""The header of a safetensors file, for arrays that are written or mapped without a copy.

The file is the length of the header in 8 bytes, the header in JSON, and the arrays. safetensors' own writer copies all
arrays, its own reader too.
"""

import json
from typing import Any, Dict, Mapping, Tuple

import numpy as np

Header = Dict[str, Any]


def header_of(arrays: Mapping[str, Any]) -> Header:
    """Where each array lies, by falling size of its dtype, so that each is aligned.

    Parameters
    ----------
    arrays : dict of str to NDArray or ndarray
        Only their shapes and dtypes are read.

    Returns
    -------
    dict
        For each name 'dtype', 'shape' and 'data_offsets', in the order of the file.
    """
    dtypes = {name: np.dtype(array.dtype) for name, array in arrays.items()}
    header: Header = {}
    end = 0
    for name in sorted(arrays, key=lambda name: -dtypes[name].itemsize):
        dtype = dtypes[name]
        begin, end = end, end + int(arrays[name].size) * dtype.itemsize
        kind = f"{dtype.kind.upper()}{8 * dtype.itemsize}"
        header[name] = {"dtype": kind, "shape": list(arrays[name].shape), "data_offsets": [begin, end]}
    return header


def pack_header(header: Header) -> bytes:
    """The beginning of the file: the header with its length, padded so that the arrays behind it are aligned."""
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content


def unpack_header(content: Any) -> Tuple[Header, int]:
    """The header of a file and where the arrays begin.

    Parameters
    ----------
    content : bytes or mmap
        The whole file.

    Raises
    ------
    ValueError
        If it does not begin with a header.
    """
    begin = 8 + int.from_bytes(content[:8], "little")
    if begin > len(content):
        raise ValueError("it is cut short")
    header = json.loads(content[8:begin])
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header, begin
