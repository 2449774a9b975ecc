"""``mx.gpu(i)`` where MXNet has no code for GPUs: a CPU device of its own, which looks like a GPU to a script."""

from typing import Any, List

import mxnet as mx

from .. import registry
from ..errors import UsageError

FIRST = 64  #: the number of the CPU device that stands for mx.gpu(0); MXNet tells its CPU devices apart by number
_CPU, _GPU = (mx.Context.devstr2type[name] for name in ("cpu", "gpu"))


def replace_contexts(changes: registry.Changes, numbers: List[int]) -> None:
    """Let ``mx.gpu(i)`` be a CPU device for each of some numbers, and raise a UsageError for any other.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    numbers : list of int
    """
    init, of_type, as_text = mx.Context.__init__, mx.Context.device_type, mx.Context.__str__

    def __init__(context: Any, device_type: Any, device_id: int = 0) -> None:
        init(context, device_type, device_id)
        if context.device_typeid == _GPU:
            if context.device_id not in numbers:
                there = ", ".join(f"mx.gpu({number})" for number in numbers)
                raise UsageError(f"the script asks for mx.gpu({context.device_id}), but has {there}: see --gpus")
            context.device_typeid, context.device_id = _CPU, FIRST + context.device_id

    def is_gpu(context: Any) -> bool:
        return context.device_typeid == _CPU and context.device_id >= FIRST

    def device_type(context: Any) -> str:
        return "gpu" if is_gpu(context) else of_type.fget(context)

    def __str__(context: Any) -> str:
        return _GPUName(context.device_id) if is_gpu(context) else as_text(context)

    changes.set_attribute(mx.Context, "__init__", __init__)
    changes.set_attribute(mx.Context, "device_type", property(device_type))
    changes.set_attribute(mx.Context, "__str__", __str__)
    changes.set_attribute(mx.context, "num_gpus", lambda: len(numbers))


class _GPUName(str):
    """The name of ``mx.gpu(i)``, by which MXNet's operators, which encode it for C++, know the CPU device for it."""

    def __new__(cls, number: int) -> "_GPUName":
        return super().__new__(cls, f"gpu({number - FIRST})")

    def __str__(self) -> str:
        return self

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        return f"cpu({FIRST + int(self[4:-1])})".encode()
