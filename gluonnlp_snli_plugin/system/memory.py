"""How the C library keeps memory that MXNet frees."""

import contextlib
import ctypes
import os

_MMAP_THRESHOLD = -3  # mallopt(3)
_LARGE = 1 << 20  # bytes
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def give_back_large_blocks():
    """Let large blocks of memory go back to the system when they are freed.

    Without it glibc comes to keep blocks of up to 32 MiB for itself, in pieces that the next batches, of other lengths,
    do not fit: memory grows for hours. A net that is hybridized with ``static_alloc`` takes large blocks seldom; what
    takes them in each step would become slow. Nothing is done where the user has set how memory is kept.
    """
    if any(variable in os.environ for variable in _VARIABLES):
        return
    with contextlib.suppress(OSError, AttributeError):  # of glibc alone
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
