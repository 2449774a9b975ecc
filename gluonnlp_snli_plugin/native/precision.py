"""Matrix products of fewer bits as an option of commands: where they pay, and one line where they do not."""

import logging

from ..errors import UsageError
from . import operators
from .accelerate import accelerate, adds_gradients_in_place, restore

_log = logging.getLogger("gluonnlp_snli_plugin")
_INSTRUCTIONS = {"bfloat16": "AMX", "int8": "VNNI"}


def require_cpu(dtype, contexts):
    """Raise a UsageError where one of the devices is a GPU."""
    if any(ctx.device_type != "cpu" for ctx in contexts):
        raise UsageError(f"--dtype {dtype} is for CPU; leave it out for a GPU")


def require_instructions(dtype):
    """Raise a UsageError where this processor has no fast products of 'bfloat16' or 'int8'."""
    lacking = _what_is_lacking(dtype)
    if lacking:
        raise UsageError(f"{lacking}; leave it out")


def dtype_for_inference(dtype):
    """`dtype`, or 'float32' and a line in the log on a processor that would be slower with `dtype`.

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


def require_bfloat16(contexts):
    """Raise a UsageError where a net on these devices cannot be trained with bfloat16.

    It is not trained with float32 instead: a run is recorded, repeated and resumed with the precision asked for.
    """
    require_cpu("bfloat16", contexts)
    if adds_gradients_in_place():
        raise UsageError("--dtype bfloat16 gives wrong gradients with MXNET_EXEC_INPLACE_GRAD_SUM_CAP: unset it")
    require_instructions("bfloat16")


def _what_is_lacking(dtype):
    """Why this processor is no faster with a type of numbers, or None if it is."""
    if not operators.are_available():
        raise UsageError(f"--dtype {dtype} needs operators that must be compiled: install a C++ compiler, such as g++")
    if {"bfloat16": operators.has_amx, "int8": operators.has_int8}[dtype]():
        return None
    return f"--dtype {dtype} is no faster than float32 on this processor, which has no {_INSTRUCTIONS[dtype]}"


def use_bfloat16(net):
    """Let a net multiply matrices in bfloat16, or raise a UsageError; see :func:`.accelerate`."""
    restore(net)
    if not accelerate(net, "bfloat16"):
        raise UsageError(
            "--dtype bfloat16 needs the C++ operators, which are for float32 weights on CPU and need a compiler"
        )
