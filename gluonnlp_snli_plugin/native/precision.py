"""``--dtype``: low-precision matrix products, where the processor makes them faster."""

import logging
from typing import Optional, Sequence

import mxnet as mx

from ..errors import UsageError
from . import operators
from .accelerate import accelerate, adds_gradients_in_place
from .layers import restore

_log = logging.getLogger("gluonnlp_snli_plugin")
_INSTRUCTIONS = {"bfloat16": "AMX", "int8": "VNNI"}


def require_cpu(dtype: str, contexts: Sequence[mx.Context]) -> None:
    """Raise a UsageError if one of the devices is a GPU."""
    if any(ctx.device_type != "cpu" for ctx in contexts):
        raise UsageError(f"--dtype {dtype} is for CPU; leave it out for a GPU")


def require_instructions(dtype: str) -> None:
    """Raise a UsageError if this processor has no instructions for products of 'bfloat16' or 'int8'."""
    lacking = _what_is_lacking(dtype)
    if lacking:
        raise UsageError(f"{lacking}; leave it out")


def dtype_for_inference(dtype: str) -> str:
    """`dtype`, or 'float32' with a warning if `dtype` is not faster on this processor.

    Raises
    ------
    UsageError
        If the C++ operators cannot be built.
    """
    lacking = None if dtype == "float32" else _what_is_lacking(dtype)
    if not lacking:
        return dtype
    _log.warning("%s; using float32", lacking)
    return "float32"


def require_bfloat16(contexts: Sequence[mx.Context]) -> None:
    """Raise a UsageError if a net on these devices cannot be trained with bfloat16.

    There is no fallback to float32: a run is recorded, repeated and resumed with the requested precision.
    """
    require_cpu("bfloat16", contexts)
    if adds_gradients_in_place():
        raise UsageError("--dtype bfloat16 gives wrong gradients with MXNET_EXEC_INPLACE_GRAD_SUM_CAP: unset it")
    require_instructions("bfloat16")


def _what_is_lacking(dtype: str) -> Optional[str]:
    """Why `dtype` is not faster than float32 on this processor, or None if it is."""
    if not operators.are_available():
        raise UsageError(f"--dtype {dtype} needs operators that must be compiled: install a C++ compiler, such as g++")
    if {"bfloat16": operators.has_amx, "int8": operators.has_int8}[dtype]():
        return None
    return f"--dtype {dtype} is no faster than float32 on this processor, which has no {_INSTRUCTIONS[dtype]}"


def use_bfloat16(net: mx.gluon.Block) -> None:
    """Let a net multiply matrices in bfloat16, or raise a UsageError; see :func:`.accelerate`."""
    restore(net)
    if not accelerate(net, "bfloat16"):
        raise UsageError(
            "--dtype bfloat16 needs the C++ operators, which are for float32 weights on CPU and need a compiler"
        )
