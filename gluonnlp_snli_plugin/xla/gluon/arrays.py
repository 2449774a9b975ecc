"""NDArrays whose values are on a device of JAX's: parameters, gradients, and the state of an optimizer."""

from typing import Any, Callable, Optional, Tuple

import jax
import jax.numpy as jnp
import mxnet as mx
import numpy as np

from ...errors import PluginError
from ..mesh import DeviceMesh

_OVERWRITTEN = np.empty(0, np.float32)  # like no values: what was on the host before does not matter


class Transfers:
    """Counts the arrays, and their bytes, that have gone between the host and its devices."""

    def __init__(self) -> None:
        self.to_host = self.to_device = self.bytes_to_host = self.bytes_to_device = 0

    def fetch(self, values: Any) -> np.ndarray:
        """The values of an array of JAX's."""
        self.to_host += 1
        self.bytes_to_host += values.nbytes
        return np.asarray(values)

    def send(self, values: Any, put: Callable[[Any], Any]) -> Any:
        """Put an array, or a dict of them, on a device."""
        arrays = jax.tree.leaves(values)
        self.to_device += len(arrays)
        self.bytes_to_device += sum(array.nbytes for array in arrays)
        return put(values)


TRANSFERS = Transfers()  # of this process


class Remote(mx.nd.NDArray):
    """An NDArray whose shape, dtype and context are known without its values.

    Whatever MXNet does with an NDArray begins at its `handle`, which subclasses provide.
    """

    __slots__ = ("_place", "_shape")

    def __init__(self, shape: Tuple[int, ...], place: mx.Context) -> None:
        self._shape, self._place = tuple(shape), place
        self.writable = True  # type: ignore[misc]  # a slot of the base class

    def __del__(self) -> None:
        """The handle is another array's, which frees it."""

    def __getstate__(self) -> Any:
        return self.copyto(mx.cpu()).__getstate__()

    @property
    def shape(self) -> Tuple[int, ...]:
        return self._shape

    @property
    def size(self) -> int:
        return int(np.prod(self._shape))

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def dtype(self) -> Any:
        return np.float32

    @property
    def stype(self) -> str:
        return "default"

    @property
    def context(self) -> mx.Context:
        return self._place

    ctx = context


class DeviceArray(Remote):
    """An NDArray of float32 with its values on a device, and a copy on the host that is made when somebody looks.

    What is written into the copy goes to the device when it is next needed there. It is noticed by comparing, after
    somebody has looked, so that looking alone sends nothing. A view of it, such as ``array[0:2]``, is like a view of
    the copy: what is written into it later, when nobody has looked at the array itself, stays unnoticed.

    Parameters
    ----------
    mesh : DeviceMesh
        One device.
    place : Context
        Where the script sees it.
    values : array of float32
        On the device.
    host : NDArray, optional
        On `place`, with the same values: the copy.
    settle : callable, optional
        Called before the values are used: may set them.
    """

    __slots__ = ("_host", "_is_fresh", "_mesh", "_seen", "_settle", "_values", "_was_shown", "is_recorded")

    def __init__(
        self,
        mesh: DeviceMesh,
        place: mx.Context,
        values: Any,
        host: Optional[mx.nd.NDArray] = None,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(values.shape, place)
        self._mesh, self._values, self._host, self._settle = mesh, values, host, settle
        # What the copy held when it was last the same as on the device; None where it is older.
        self._seen: Optional[np.ndarray] = None if host is None else host.asnumpy()
        self._was_shown = self._is_fresh = False
        self.is_recorded = False  #: whether MXNet's autograd would take it for a variable

    @classmethod
    def of(cls, array: mx.nd.NDArray, mesh: DeviceMesh, place: mx.Context) -> "DeviceArray":
        """The values of an NDArray on `place`, sent to the device."""
        array = array.as_in_context(place).astype(np.float32, copy=False)
        return cls(mesh, place, TRANSFERS.send(array.asnumpy(), mesh.replicate), array)

    def zeros_like(self, settle: Callable[[], None] = lambda: None) -> "DeviceArray":
        """Zeros of the same shape, on the same device."""
        zeros = jnp.zeros(self.shape, jnp.float32, device=self._mesh.replicated)
        return DeviceArray(self._mesh, self._place, zeros, settle=settle)

    def sent(self, array: mx.nd.NDArray) -> "DeviceArray":
        """Another array, sent to the same device."""
        return DeviceArray.of(array, self._mesh, self._place)

    @property
    def values(self) -> Any:
        """The values, as an array of JAX's."""
        self._settle()
        if self._was_shown:
            self._was_shown = False
            content = self._host.asnumpy()  # type: ignore[union-attr]
            if self._seen is None or self._seen.tobytes() != content.tobytes():
                self._values, self._seen = TRANSFERS.send(content, self._mesh.replicate), content
        return self._values

    @values.setter
    def values(self, values: Any) -> None:
        self._values, self._seen, self._was_shown = values, None, False

    @property
    def handle(self) -> Any:
        if self.is_recorded and mx.autograd.is_recording():
            raise PluginError(
                f"a parameter of a net on {self._place} is used outside of that net while its loss is recorded: "
                "what is computed through XLA has no gradient there"
            )
        self._was_shown = True
        return self._on_host().handle

    def _on_host(self) -> mx.nd.NDArray:
        self._settle()
        if self._host is None:
            self._host = mx.nd.empty(self.shape, self._place)
        if self._seen is None:
            self._seen = TRANSFERS.fetch(self._values)
            self._host._sync_copyfrom(self._seen)
        return self._host

    def asnumpy(self) -> np.ndarray:
        return self._on_host().asnumpy()

    def __setitem__(self, key: Any, value: Any) -> None:
        if key == slice(None) and self._seen is None:  # as a whole: nothing has to be fetched before
            self._settle()
            self._seen = _OVERWRITTEN
        super().__setitem__(key, value)

    @property
    def _fresh_grad(self) -> bool:
        """Whether the gradient of this parameter has been computed since the last update."""
        return self._is_fresh

    @_fresh_grad.setter
    def _fresh_grad(self, is_fresh: Any) -> None:
        self._is_fresh = bool(is_fresh)
