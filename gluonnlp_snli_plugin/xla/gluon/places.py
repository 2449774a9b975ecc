"""The devices that a script knows as ``mx.gpu(i)``."""

import logging
import sys
from typing import Any, List

import mxnet as mx
import numpy as np

from ...errors import UsageError
from ..mesh import DeviceMesh
from ..programs import Programs
from .arrays import DeviceArray, View

_OWN_REFERENCES = 3  # to an array that only its parameter has: the list's, a variable's, and an argument's
_log = logging.getLogger("gluonnlp_snli_plugin")


class Place:
    """One device, and what is computed there.

    Parameters
    ----------
    context : Context
        What the script's arrays on it have for a context, in the memory of the host.
    mesh : DeviceMesh
        The device.

    Attributes
    ----------
    dtype : str
        The precision of nets whose parameters are float32.
    """

    def __init__(self, context: mx.Context, mesh: DeviceMesh) -> None:
        self.context, self.mesh = context, mesh
        self.programs = Programs(_log.info, mesh.memory, lambda share: "let the script make smaller batches")
        self.dtype = "float32"

    @property
    def half_precision(self) -> str:
        """What stands for float16: bfloat16, or float32 where the device lacks that."""
        try:
            self.mesh.require("bfloat16")
        except UsageError:
            return "float32"
        return "bfloat16"

    def adopt(self, parameter: mx.gluon.Parameter) -> DeviceArray:
        """A parameter's values on the device, which it, and its gradient, then have for good.

        Parameters
        ----------
        parameter : gluon.Parameter
            An initialized one.
        """
        if np.dtype(parameter.dtype) == np.float16:
            parameter.cast("float32")
        number = self._index(parameter)
        data = parameter._data[number]
        if isinstance(data, View):  # detached, as a parameter is that becomes frozen
            data = data.base
        elif not isinstance(data, DeviceArray):
            if sys.getrefcount(data) > _OWN_REFERENCES:
                _log.warning(
                    "an array of %s from before its net's first call on %s follows the parameter no longer: "
                    "call data() again",
                    *(parameter.name, self.context),
                )
            data = DeviceArray.of(data, self.mesh, self.context)
        parameter._data[number], data.is_recorded, data.gradient = data, parameter.grad_req != "null", None
        if data.is_recorded:
            if not isinstance(parameter._grad[number], DeviceArray):
                parameter._grad[number], data._fresh_grad = data.zeros_like(), False
            data.gradient = parameter._grad[number]
        return data

    def of(self, arrays: List[Any], parameter: mx.gluon.Parameter) -> Any:
        """The array, among those of a parameter on each of its contexts, that is here."""
        return arrays[self._index(parameter)]

    def _index(self, parameter: mx.gluon.Parameter) -> int:
        contexts = parameter.list_ctx()
        if self.context not in contexts:
            where = ", ".join(map(str, contexts))
            raise UsageError(f"{parameter.name} is on {where}, but it is asked about arrays on {self.context}")
        return contexts.index(self.context)
