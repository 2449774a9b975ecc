"""How the C library keeps memory that MXNet frees."""

import contextlib
import ctypes
import os

_MMAP_THRESHOLD = -3  # mallopt(3)
_LARGE = 1 << 20  # bytes
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def give_back_large_blocks() -> None:
    """Let large blocks of memory go back to the system when they are freed.

    Otherwise glibc retains blocks of up to 32 MiB, in pieces that the next batches, of other lengths,
    do not fit: memory grows for hours. A net that is hybridized with ``static_alloc`` takes large blocks seldom; what
    takes them in each step would become slow. Nothing is done where the user has set how memory is kept.
    """
    if any(variable in os.environ for variable in _VARIABLES):
        return
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
