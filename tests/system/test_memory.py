"""Memory that is freed goes back to the system."""

import os
import subprocess
import sys

import pytest

from gluonnlp_snli_plugin.system.memory import _VARIABLES

_RESIDENT = """
import ctypes, os, sys
from gluonnlp_snli_plugin.system.memory import give_back_large_blocks

if "call" in sys.argv:
    give_back_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def take(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block


libc.free(take(24 << 20))  # from here on glibc keeps blocks of up to that size
before = resident()
blocks = [take(8 << 20) for _ in range(9)]
for block in blocks[:-1]:  # the last one lies above them
    libc.free(block)
print((resident() - before) >> 20)
"""


@pytest.fixture
def kept(without_mxnet, monkeypatch):
    """Starts a process; gives the MiB that it still has of 72 when all but 8 are freed."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, **variables):
        done = subprocess.run(
            [sys.executable, "-c", without_mxnet + _RESIDENT, *arguments],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    return run


def test_large_blocks_go_back(kept):
    assert kept() > 60
    assert kept("call") < 12


@pytest.mark.parametrize("variable", _VARIABLES)
def test_large_blocks_stay_where_the_user_has_said_so(kept, variable):
    own = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={64 << 20}"}
    assert kept("call", **{variable: own[variable]}) > 60
