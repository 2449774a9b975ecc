"""Standard streams that may be closed, full, or of an encoding that cannot show every file name."""

import contextlib
import errno
import os
import sys
from typing import IO, Any, Iterable, Iterator

from ..errors import PluginError


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Set up standard output and standard error while a command runs.

    A failure to write to standard output becomes a :class:`.PluginError`; a BrokenPipeError, of a reader that has had
    enough, stays one. File names that are not UTF-8 can be printed. What goes to a closed standard error is dropped.
    """
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    output = sys.stdout
    if output is None:  # a stream that cannot be written to
        output = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115
    sys.stdout = _Output(output)
    try:
        with _printing_every_name(output):
            yield
    finally:
        for stream in (output, sys.stderr):
            _settle(stream)
        sys.stdout, sys.stderr = before


def _fill_descriptors() -> None:
    """Open the null device in place of closed streams, so that no file gets a number that libraries write to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)  # so writing to 1 fails
            os.dup2(nothing, number)
            if nothing != number:
                os.close(nothing)
            os.set_inheritable(number, True)


@contextlib.contextmanager
def _printing_every_name(output: Any) -> Iterator[None]:
    """Let standard output show file names that are not UTF-8, as standard error does."""
    if not hasattr(output, "reconfigure") or output.errors != "strict":
        yield
        return
    output.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it flushes first
            output.reconfigure(errors="strict")


def _settle(stream: IO[str]) -> None:
    """Drop what cannot be written; at exit, Python would try again and print a traceback."""
    try:
        stream.flush()
    except (OSError, ValueError):  # ValueError: closed meanwhile
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class _Output:
    """A stream whose errors say that they are standard output's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def write(self, text: str) -> int:
        with self._naming():
            return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        with self._naming():
            self._stream.writelines(lines)

    def flush(self) -> None:
        with self._naming():
            self._stream.flush()

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise PluginError(f"cannot write to standard output: {reason}") from None
