"""The instruction sets that the C++ operators can be compiled for, and which of them this processor has.

``GLUONNLP_SNLI_ISA`` names the newest one to use. Each has its own code in ``src/``, which is tested on every processor
that can run it.
"""

import os
from pathlib import Path
from typing import List, Set, Union

from ..errors import UsageError

VARIABLE = "GLUONNLP_SNLI_ISA"

_Path = Union[str, "os.PathLike[str]"]

_AVX2 = ("avx2", "fma")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl")
_AVX512_VNNI = (*_AVX512, "avx512_vnni")
#: The instructions of each set by their names in /proc/cpuinfo, from the oldest set to the newest.
INSTRUCTIONS = {
    "plain": (),
    "avx2": _AVX2,
    "avx2_vnni": (*_AVX2, "avx_vnni"),
    "avx512": _AVX512,
    "avx512_vnni": _AVX512_VNNI,
    "amx": (*_AVX512_VNNI, "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
}


def available(cpuinfo: _Path = "/proc/cpuinfo") -> List[str]:
    """The names of the instruction sets that may be used here, from the oldest to the newest.

    They are read from the kernel's list of instructions, not from the processor: it leaves out what a hypervisor or the
    kernel itself disables.

    Raises
    ------
    UsageError
        If ``GLUONNLP_SNLI_ISA`` is not the name of an instruction set.
    """
    names = list(INSTRUCTIONS)
    newest = os.environ.get(VARIABLE) or names[-1]
    if newest not in names:
        raise UsageError(f"{VARIABLE} is {newest!r}; it can be {', '.join(names)}")
    flags = _flags(cpuinfo)
    return [name for name in names[: names.index(newest) + 1] if flags.issuperset(INSTRUCTIONS[name])]


def compiler_options(name: str) -> List[str]:
    """The compiler options that enable an instruction set."""
    return [f"-m{_compilers_name(instruction)}" for instruction in INSTRUCTIONS[name]]


def _compilers_name(instruction: str) -> str:
    return instruction.replace("_", "-" if instruction.startswith("amx") else "")


def _flags(cpuinfo: _Path) -> Set[str]:
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())
