"""NDArrays whose values are on a device of JAX's: parameters, gradients, and the state of an optimizer."""

from typing import Any, Callable, Optional, Tuple, Union

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
    """An NDArray whose shape and context are known without its values, which are on a device.

    Whatever MXNet does with an NDArray begins at its `handle`, which is that of another NDArray, on the host.
    """

    __slots__ = ("_place", "_shape")

    def __init__(self, shape: Tuple[int, ...], place: mx.Context) -> None:
        self._shape, self._place = tuple(shape), place
        self.writable = True  # type: ignore[misc]  # a slot of the base class

    def on_host(self) -> mx.nd.NDArray:
        """The array of the host's that MXNet uses in place of this one."""
        raise NotImplementedError

    def view_of(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """What a caller gets for a view of the array on the host."""
        return array

    def memory(self) -> mx.nd.NDArray:
        """The array on the host, to take a view of it; its values may be older."""
        return self.on_host()

    @property
    def handle(self) -> Any:
        return self.on_host().handle

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

    # Views: MXNet would make them of this class.

    def _at(self, idx: int) -> mx.nd.NDArray:
        return self.view_of(self.memory()._at(idx))

    def _slice(self, start: Optional[int], stop: Optional[int]) -> mx.nd.NDArray:
        return self.view_of(self.memory()._slice(start, stop))

    def _get_nd_basic_indexing(self, key: Any) -> mx.nd.NDArray:
        return self.view_of(self.on_host()._get_nd_basic_indexing(key))  # a copy, if it is of every other row

    def reshape(self, *shape: Any, **options: Any) -> mx.nd.NDArray:
        return self.view_of(self.memory().reshape(*shape, **options))

    def detach(self) -> mx.nd.NDArray:
        return self.view_of(self.memory().detach())


class DeviceArray(Remote):
    """An NDArray of float32 with its values on a device, and a copy on the host that is made when a caller reads it.

    What is written into the copy goes to the device when it is next needed there. It is noticed by comparing, after
    the copy has been used, so that reading alone sends nothing.

    Parameters
    ----------
    mesh : DeviceMesh
        One device.
    place : Context
        Where the script sees it.
    values : array of float32
        On the device.

    Attributes
    ----------
    is_recorded : bool
        Whether MXNet's autograd would take it for a variable.
    gradient : DeviceArray or None
        Of a variable.
    """

    __slots__ = ("_host", "_is_fresh", "_mesh", "_seen", "_values", "_was_used", "gradient", "is_recorded")

    def __init__(
        self,
        mesh: DeviceMesh,
        place: mx.Context,
        values: Any,
    ) -> None:
        super().__init__(values.shape, place)
        self._mesh, self._values = mesh, values
        self._host: Optional[mx.nd.NDArray] = None
        # What the copy held when it was last the same as on the device; None where it is older.
        self._seen: Optional[np.ndarray] = None
        self._was_used = self._is_fresh = self.is_recorded = False
        self.gradient: Optional[DeviceArray] = None

    @classmethod
    def of(cls, array: mx.nd.NDArray, mesh: DeviceMesh, place: mx.Context) -> "DeviceArray":
        """The values of an NDArray on `place`, sent to the device."""
        array = array.as_in_context(place).astype(np.float32, copy=False)
        content = array.asnumpy()
        found = cls(mesh, place, TRANSFERS.send(content, mesh.replicate))
        found._host, found._seen = array, content
        return found

    def zeros_like(self) -> "DeviceArray":
        """Zeros of the same shape, on the same device."""
        zeros = jnp.zeros(self.shape, jnp.float32, device=self._mesh.replicated)
        return DeviceArray(self._mesh, self._place, zeros)

    def sent(self, array: mx.nd.NDArray) -> "DeviceArray":
        """Another array, sent to the same device."""
        return DeviceArray.of(array, self._mesh, self._place)

    @property
    def values(self) -> Any:
        """The values, as an array of JAX's."""
        if self._was_used:
            self._was_used = False
            content = self.memory().asnumpy()
            if self._seen is None or self._seen.tobytes() != content.tobytes():
                self._values, self._seen = TRANSFERS.send(content, self._mesh.replicate), content
        return self._values

    @values.setter
    def values(self, values: Any) -> None:
        self._values, self._seen, self._was_used = values, None, False

    def on_host(self) -> mx.nd.NDArray:
        self._forbid_recording()
        return self.used()

    def view_of(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        self._forbid_recording()
        return View(self, array)

    def detach(self) -> mx.nd.NDArray:
        return View(self, self.memory().detach())

    def _forbid_recording(self) -> None:
        if self.is_recorded and mx.autograd.is_recording():
            raise PluginError(
                f"a parameter of a net on {self._place} is used outside of that net while its loss is recorded: "
                "what is computed through XLA has no gradient there"
            )

    def used(self) -> mx.nd.NDArray:
        """The copy, with the values of the device; it may be written."""
        self._was_used = True
        return self._up_to_date()

    def memory(self) -> mx.nd.NDArray:
        if self._host is None:
            self._host = mx.nd.empty(self.shape, self._place)
        return self._host

    def _up_to_date(self) -> mx.nd.NDArray:
        host = self.memory()
        if self._seen is None:
            self._seen = TRANSFERS.fetch(self._values)
            host._sync_copyfrom(self._seen)
        return host

    def asnumpy(self) -> np.ndarray:
        return self._up_to_date().asnumpy()

    def __setitem__(self, key: Any, value: Any) -> None:
        value = value.on_host() if isinstance(value, Remote) and value is not self else value
        if key != slice(None) or value is self or self._seen is not None:
            super().__setitem__(key, value)
            return
        self._seen = _OVERWRITTEN  # as a whole: nothing has to be fetched before
        try:
            super().__setitem__(key, value)
        except Exception:
            self._seen = None
            raise

    @property
    def _fresh_grad(self) -> bool:
        """Whether the gradient of this parameter has been computed since the last update."""
        return self._is_fresh

    @_fresh_grad.setter
    def _fresh_grad(self, is_fresh: Any) -> None:
        self._is_fresh = bool(is_fresh)

    @property
    def grad(self) -> Optional["DeviceArray"]:
        return self.gradient

    def attach_grad(self, grad_req: str = "write", stype: Optional[str] = None) -> None:
        raise PluginError(
            f"attach_grad of a parameter of a net on {self._place}: its gradient is computed through XLA, and is the "
            "parameter's grad()"
        )


class View(Remote):
    """A part of an array on a device, or the same in another shape; it shares the array's memory on the host.

    Parameters
    ----------
    base : DeviceArray or View
    window : NDArray
        A view of its memory.
    """

    __slots__ = ("_window", "base")

    def __init__(self, base: Union[DeviceArray, "View"], window: mx.nd.NDArray) -> None:
        super().__init__(window.shape, base.context)
        self.base: DeviceArray = base.base if isinstance(base, View) else base
        self._window = window

    def on_host(self) -> mx.nd.NDArray:
        self.base.used()
        return self._window

    def memory(self) -> mx.nd.NDArray:
        return self._window

    def view_of(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        return View(self, array)
