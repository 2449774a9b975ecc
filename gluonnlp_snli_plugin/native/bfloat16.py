"""bfloat16 as an option of commands: where it can be had, and one line where it cannot."""

from pathlib import Path

from ..errors import UsageError
from .accelerate import accelerate, adds_gradients_in_place, restore


def has_bfloat16():
    """Whether this processor multiplies matrices of bfloat16 (AVX-512 or AMX instructions)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def require_bfloat16(contexts):
    """Raise a UsageError where a net on these devices cannot use bfloat16."""
    if any(ctx.device_type != "cpu" for ctx in contexts):
        raise UsageError("--dtype bfloat16 is for CPU; leave it out for a GPU")
    if not has_bfloat16():
        raise UsageError("--dtype bfloat16: this processor has no instructions for it (avx512_bf16, amx_bf16)")
    if adds_gradients_in_place():
        raise UsageError("--dtype bfloat16 gives wrong gradients with MXNET_EXEC_INPLACE_GRAD_SUM_CAP: unset it")


def use_bfloat16(net):
    """Let a net multiply matrices in bfloat16, or raise a UsageError; see :func:`.accelerate`."""
    restore(net)
    if not accelerate(net, "bfloat16"):
        raise UsageError(
            "--dtype bfloat16 needs the C++ operators, which are for float32 weights on CPU and need a compiler"
        )
