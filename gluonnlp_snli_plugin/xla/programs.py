"""Compiles programs in the background, each for one shape, and runs them."""

import concurrent.futures
import contextlib
import re
import threading
import time
from typing import Any, Callable, Dict, Hashable, Iterator, Optional

import jax

from ..errors import PluginError

_AT_ONCE = 4
_GIB = 1 << 30


class Programs:
    """Programs by a key.

    Parameters
    ----------
    tell : callable
        Shows a line of text.
    memory : int or None
        Bytes that a program may use on a device, where that is limited.
    advice : callable, optional
        What to do about a program that needs too much memory: gets the share of it that there is, in (0, 1), or None
        where that is not known, and returns the end of a sentence.

    Attributes
    ----------
    seconds : float
        That compilation took, of all programs together.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        memory: Optional[int] = None,
        advice: Callable[[Optional[float]], str] = lambda share: "use a smaller --batch-size",
    ) -> None:
        self._tell, self._memory, self._advice = tell, memory, advice
        self._pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE, "compile")
        self._programs: Dict[Hashable, concurrent.futures.Future] = {}
        self._tracing = threading.Lock()
        self.seconds = 0.0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._programs

    def compile(self, key: Hashable, what: str, function: Any, *arguments: Any) -> None:
        """Begin to compile a program, unless that has been done.

        Parameters
        ----------
        key : hashable
        what : str
            The program and its shape, in words.
        function : jitted function
        *arguments
            Its arguments, or what has their shapes and dtypes.
        """
        if key not in self._programs:
            shapes = jax.tree.map(_shape_of, arguments)  # the arrays themselves may be gone by then
            self._programs[key] = self._pool.submit(self._compile, what, function, shapes)

    def _compile(self, what: str, function: Any, arguments: Any) -> Any:
        with self._tracing:  # one after the other, as they are in Python; else the first would be ready with the last
            begin = time.perf_counter()
            traced = function.lower(*arguments)
        program = traced.compile()
        seconds = time.perf_counter() - begin
        self.seconds += seconds
        self._tell(f"compiled {what} in {seconds:.1f} s")
        self._require_memory(program.memory_analysis(), what)
        return program

    def _require_memory(self, needs: Any, what: str) -> None:
        if not self._memory or not needs:
            return
        fixed = needs.argument_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
        if fixed + needs.temp_size_in_bytes > self._memory:
            sizes = f"{(fixed + needs.temp_size_in_bytes) / _GIB:.1f} GiB of the device's {self._memory / _GIB:.1f}"
            share = max(0.0, self._memory - fixed) / needs.temp_size_in_bytes
            raise PluginError(f"{what} needs {sizes}: {self._advice(share)}")

    def __call__(self, key: Hashable, *arguments: Any) -> Any:
        """Run a program; waits until it is compiled, but not for its results.

        Raises
        ------
        PluginError
            If the memory of the device does not suffice.
        """
        with self.enough_memory():
            return self._programs[key].result()(*arguments)

    @contextlib.contextmanager
    def enough_memory(self) -> Iterator[None]:
        """Say in one line that the memory of the device does not suffice; also around waiting for results."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if not re.search("RESOURCE_EXHAUSTED|[Oo]ut of memory", str(error)):
                raise
            raise PluginError(f"the device does not have enough memory: {self._advice(None)}") from None

    def wait(self) -> None:
        """Wait until every program is compiled."""
        for program in self._programs.values():
            with self.enough_memory():
                program.result()

    def close(self) -> None:
        """Compile nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _shape_of(array: Any) -> Any:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=getattr(array, "sharding", None))
