"""When a run stops before its end: at SIGTERM or Ctrl-C, or when its time is up."""

import signal
import threading
import time
from typing import Any, Optional

import numpy as np

from ..errors import TIME_IS_UP, Stopped
from ..parallel.ranks import Ranks

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_UPDATES_BETWEEN_VOTES = 10  # of several ranks: a signal reaches them after different updates


class Stopping:
    """Notices signals and the time while a run trains; a context manager.

    The first signal waits for :meth:`reason`; a second one ends the program at once.

    Parameters
    ----------
    max_seconds : float
        Of the run, 0 for no limit.
    begin : float
        When it began, by ``time.perf_counter()``.
    command : str
        The subcommand that runs it.
    folder : str
        Of its output.
    """

    def __init__(self, max_seconds: float, begin: float, command: str, folder: str) -> None:
        self._how_to_resume = f"resume with: gluonnlp-snli {command} --resume {folder}"
        self._deadline = begin + max_seconds if max_seconds else None
        self._signal = 0
        self._longest_update = 0.0
        self._last = time.perf_counter()

    def __enter__(self) -> "Stopping":
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # only it may set handlers
            self._before = {number: signal.signal(number, self._notice) for number in _SIGNALS}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _notice(self, number: int, frame: Any) -> None:
        if self._signal:
            name = signal.Signals(number).name
            raise Stopped(f"killed by a second {name}; {self._how_to_resume}", 128 + number)
        self._signal = number

    def reason(self, update: int, ranks: Ranks, seconds_to_write: float) -> Optional[Stopped]:
        """Why to stop after this update.

        Parameters
        ----------
        update : int
        ranks : Ranks
            They all get the same answer.
        seconds_to_write : float
            What the last checkpoint took.

        Returns
        -------
        Stopped or None
        """
        now = time.perf_counter()
        self._longest_update = max(self._longest_update, now - self._last)
        self._last = now
        status = 128 + self._signal if self._signal else 0
        if self._deadline and now + 2 * (self._longest_update + seconds_to_write) > self._deadline:
            status = status or TIME_IS_UP
        if ranks.num_ranks > 1:
            if update % _UPDATES_BETWEEN_VOTES:
                return None
            status = int(ranks.gather(np.array([status])).max())
        if not status:
            return None
        what = "time limit reached" if status == TIME_IS_UP else f"stopped by {signal.Signals(status - 128).name}"
        return Stopped(f"{what} after update {update}; {self._how_to_resume}", status)
