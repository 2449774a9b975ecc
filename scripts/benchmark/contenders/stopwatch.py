"""How long the calls take of which a script's training loop is made. Only the standard library."""

import collections
import contextlib
import functools
import time
from typing import Any, Callable, Dict, Iterator


class Stopwatch:
    """Adds up the seconds of calls by the part of the loop that they belong to.

    A call inside a call is the outer one's, so that no second counts twice.
    """

    def __init__(self) -> None:
        self._seconds: Dict[str, float] = collections.Counter()
        self._is_running = False

    def take(self) -> Dict[str, float]:
        """The seconds of each part since this was last called."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken

    @contextlib.contextmanager
    def running(self, part: str) -> Iterator[None]:
        if self._is_running:
            yield
            return
        self._is_running, begin = True, time.perf_counter()
        try:
            yield
        finally:
            self._seconds[part] += time.perf_counter() - begin
            self._is_running = False

    def time_calls(self, part: str, owner: Any, name: str) -> None:
        """Time a function of a module or a class from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **settings: Any) -> Any:
            with self.running(part):
                return function(*arguments, **settings)

        setattr(owner, name, timed)

    def time_iteration(self, part: str, owner: Any) -> None:
        """Time how long a class's iterators take to give the next element."""
        iterate: Callable[..., Iterator[Any]] = owner.__iter__

        @functools.wraps(iterate)
        def timed(instance: Any) -> Iterator[Any]:
            with self.running(part):
                elements = iterate(instance)
            while True:
                with self.running(part):
                    try:
                        element = next(elements)
                    except StopIteration:
                        return
                yield element

        owner.__iter__ = timed
