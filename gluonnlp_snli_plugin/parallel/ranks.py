"""Communication between the ranks of a run.

A *rank* is one process of a run. Each computes on devices of its own and on pairs of its own.
"""

from typing import Any, Iterable, Sequence

import mxnet as mx
import numpy as np

_TABLE = 4096  # rows from which on a gradient may be that of a table of which a batch uses little
_ROWS_AT_ONCE = 512

SEED_STEP = 7919  # between the seeds of two ranks


class Ranks:
    """A single process; base class of the ranks of each backend.

    Every method but the constructor is called by all ranks alike, and in the same order.

    Attributes
    ----------
    rank, num_ranks : int
    """

    rank = 0
    num_ranks = 1

    def sum(self, name: str, array: mx.nd.NDArray, priority: int = 0) -> None:
        """Replace `array` by its sum over the ranks, in the background.

        Parameters
        ----------
        name : str
            Identifies `array`.
        array : NDArray
            Always the same for one name, unless the caller has waited for its sum in between.
        priority : int, default 0
            Higher goes first.
        """

    def reduce(
        self, gradients: Sequence[Sequence[mx.nd.NDArray]], name: str = "gradient", averages: bool = True
    ) -> None:
        """Replace gradients by their mean over the ranks, or by their sum.

        Parameters
        ----------
        gradients : list of list of NDArray
            For each parameter its gradient on the devices of this rank, alike on all of them.
        name : str
            Different for other parameters.
        averages : bool, default True
            Whether they are averaged; else they are added up.
        """
        if self.num_ranks == 1:
            return
        tables = [i for i, (array, *_) in enumerate(gradients) if array.ndim == 2 and len(array) >= _TABLE]
        # The first layers' gradients are known last; what is known early is sent first.
        for i in sorted(range(len(gradients)), key=lambda i: (i in tables, -i)):
            array, *copies = gradients[i]
            (self.sum_rows if i in tables else self.sum)(f"{name}-{i}", array)
            if averages:
                array /= self.num_ranks
            for copy in copies:
                array.copyto(copy)

    def sum_rows(self, name: str, array: mx.nd.NDArray) -> None:
        """Replace `array`, a table, by its sum over the ranks, and send only the rows that are not zero on all of them.

        A batch has some hundred words of a vocabulary of thirty thousand, so that nearly all rows of the gradient of a
        word embedding are zero, and such an embedding is half of a small BERT.

        Parameters
        ----------
        name : str
        array : NDArray, shape (rows, columns)
        """
        is_used = mx.nd.array(_as_numpy(array).any(axis=1), array.context)
        self.sum(f"{name}-used", is_used)
        rows = np.flatnonzero(is_used.asnumpy())
        size = -(-len(rows) // _ROWS_AT_ONCE) * _ROWS_AT_ONCE  # few different shapes
        if size >= len(array) // 2:
            self.sum(name, array)
        elif size:
            index = mx.nd.array(np.resize(rows, size), array.context, dtype="int32")
            part = mx.nd.take(array, index)
            self.sum(f"{name}-{size}-rows", part)
            array[index] = part
            array.wait_to_read()

    def share(self, parameters: Iterable[mx.gluon.Parameter]) -> None:
        """Give parameters the values they have on rank 0.

        Parameters
        ----------
        parameters : iterable of gluon.Parameter
            Initialized ones.
        """
        if self.num_ranks == 1:
            return
        for parameter in parameters:
            array, *copies = parameter.list_data()
            if self.rank > 0:
                array[:] = 0
            self.sum(f"share-{parameter.name}", array)
            for copy in copies:
                array.copyto(copy)

    def add_up(self, name: str, values: np.ndarray) -> np.ndarray:
        """The sum of `values`, a float32 array of one shape, over the ranks."""
        total = mx.nd.array(values, dtype=np.float32)
        self.sum(name, total)
        return total.asnumpy()

    def gather(self, values: Any) -> np.ndarray:
        """The values of all ranks.

        Parameters
        ----------
        values : array_like
            Of the same shape and type on all ranks.

        Returns
        -------
        ndarray, shape (num_ranks, ...)
        """
        values = np.asarray(values)
        if self.num_ranks == 1:
            return values[None]
        if not values.size:
            return np.empty((self.num_ranks, *values.shape), values.dtype)
        # Bytes as small whole numbers: what floating-point addition keeps exactly.
        content = np.frombuffer(values.tobytes(), np.uint8)
        table = mx.nd.zeros((self.num_ranks, len(content)))
        table[self.rank] = mx.nd.array(content, dtype=np.float32)
        self.sum(f"gather-{len(content)}", table)
        rows = table.asnumpy().astype(np.uint8)
        return np.frombuffer(rows.tobytes(), values.dtype).reshape((self.num_ranks, *values.shape))

    def connect(self, devices: Sequence[Any]) -> None:
        """Connect the devices of all ranks, where XLA computes, so that one that cannot be reached is noticed at once.

        Parameters
        ----------
        devices : sequence of jax.Device
            Those of all ranks, in the order of the mesh that computes; the same on all ranks.

        Raises
        ------
        PluginError
            If they cannot be connected.
        """

    def end_if_one_is_lost(self) -> None:
        """After an error: end this process, silently, if the error may follow from the loss of another rank."""

    def wait(self) -> None:
        """Wait until all ranks have called this."""
        mx.nd.waitall()
        self.gather(np.zeros(1, np.uint8))

    def close(self) -> None:
        """Leave the other ranks at the end of a successful run; waits for all of them."""
        self.wait()


ALONE = Ranks()


class _DLPack:
    """Gives NumPy the memory of an NDArray on the CPU."""

    def __init__(self, array: mx.nd.NDArray) -> None:
        self._array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._array.to_dlpack_for_read()

    def __dlpack_device__(self) -> Any:
        return 1, 0


def _as_numpy(array: mx.nd.NDArray) -> np.ndarray:
    """The values of an NDArray, without a copy where possible: copying a table takes longer than reading it."""
    if array.context.device_type == "cpu" and hasattr(np, "from_dlpack"):
        return np.from_dlpack(_DLPack(array))
    return array.asnumpy()
