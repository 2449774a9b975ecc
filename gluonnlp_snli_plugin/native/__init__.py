"""C++ operators for MXNet on CPU, built on first use, and the functions that make a GluonNLP BERT use them."""

from .accelerate import accelerate, is_accelerated
from .layers import restore
from .precision import dtype_for_inference, require_bfloat16, require_cpu, require_instructions, use_bfloat16

__all__ = [
    "accelerate",
    "dtype_for_inference",
    "is_accelerated",
    "require_bfloat16",
    "require_cpu",
    "require_instructions",
    "restore",
    "use_bfloat16",
]
