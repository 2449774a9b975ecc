"""What a run shows: a progress bar on a terminal, plain lines of log elsewhere."""

import logging
import math
import sys
import time
from typing import Any, Dict, List, Mapping, Tuple

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ..errors import PluginError
from ..parallel.ranks import Ranks

_log = logging.getLogger("gluonnlp_snli_plugin")


class Meter:
    """Adds up figures on the devices, so that training waits for them only when they are read.

    Parameters
    ----------
    ranks : Ranks
        Whose figures are added up; they all read at the same time.
    means : dict of str to str
        The figures, each with the name of what its sum is divided by: ``{'loss': 'pairs'}`` is a mean over pairs.
    rate : str
        What speed is counted in.
    """

    def __init__(self, ranks: Ranks, means: Mapping[str, str], rate: str) -> None:
        self._ranks = ranks
        self._means = means
        self._rate = rate
        self._names = list(dict.fromkeys([*means, *means.values(), rate]))
        self._seconds = 0.0
        self._num_read = 0
        self.restart()

    def restart(self) -> None:
        """Forget what has not been read, and start the clock."""
        self._waiting: List[Tuple] = []
        self._sums = np.zeros(len(self._names))
        self._begin = time.perf_counter()

    def add(self, update: int, index: np.ndarray, **sums: Any) -> None:
        """Count one batch on one device.

        Parameters
        ----------
        update : int
            The update that the batch is part of, from 1.
        index : ndarray of int64
            Indices of the pairs.
        **sums
            A number, or an array of one number on a device, for each figure and for what it is divided by.
        """
        values = [sums[name] for name in self._names]
        values = [value.detach() if isinstance(value, mx.nd.NDArray) else value for value in values]
        self._waiting.append((update, index, values))

    def read(self) -> Dict[str, float]:
        """Figures since the last reading: a dict of the means, and of the speed, ``pairs_per_second``.

        Raises
        ------
        PluginError
            If a loss is not finite; names the update and the pairs.
        """
        sums = dict(zip(self._names, self._by_rank().sum(axis=0).tolist()))
        seconds = time.perf_counter() - self._begin
        self._seconds += seconds
        self._num_read += sums[self._rate]
        self.restart()
        means = {name: sums[name] / sums[count] if sums[count] else 0.0 for name, count in self._means.items()}
        return {**means, f"{self._rate}_per_second": sums[self._rate] / seconds}

    def state_dict(self) -> Dict[str, Any]:
        """Figures not yet read, in a form that JSON can hold."""
        seconds = time.perf_counter() - self._begin
        return {"by_rank": self._by_rank().tolist(), "seconds": seconds, "read": [self._seconds, self._num_read]}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Continue counting from a state, the same on all ranks."""
        self._sums = np.array(state["by_rank"][self._ranks.rank])
        self._seconds, self._num_read = state["read"]
        self._begin = time.perf_counter() - state["seconds"]

    def _by_rank(self) -> np.ndarray:
        """Sums since the last reading, a row for each rank."""
        for update, index, values in self._waiting:
            numbers = [value.asscalar() if isinstance(value, mx.nd.NDArray) else float(value) for value in values]
            for number in numbers:
                if not math.isfinite(number):
                    raise PluginError(
                        f"the loss of update {update} is {number}: try a lower --lr or a longer warm-up "
                        "(--warmup-ratio); "
                        f"its pairs are number {', '.join(map(str, np.sort(index) + 1))} of the training pairs"
                    )
            self._sums += numbers
        self._waiting.clear()
        return self._ranks.gather(self._sums)

    @property
    def speed(self) -> float:
        """The rate over all readings, per second."""
        return self._num_read / self._seconds if self._seconds else 0.0


class Progress:
    """Follows the updates of a run; a context manager.

    Parameters
    ----------
    is_shown : bool, default True
        Whether to show anything; only the first of several ranks does.

    Attributes
    ----------
    num_updates : int
        Updates of the whole run, to be set before it begins.
    """

    def __init__(self, is_shown: bool = True) -> None:
        self.num_updates = 0
        self._is_shown = is_shown
        self._done = self._first = 0
        self._begin = time.perf_counter()
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self._is_shown and sys.stderr.isatty():
            self._bar = tqdm(total=self.num_updates, unit="update", dynamic_ncols=True)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar:
            self._bar.close()

    def begin_at(self, update: int) -> None:
        """Begin after this many updates."""
        self._done = self._first = update
        if self._bar:
            self._bar.n = self._bar.initial = update

    def advance(self) -> None:
        """One more update is done."""
        self._done += 1
        if self._bar:
            self._bar.update()

    def show(self, epoch: int, figures: Mapping[str, float], lr: float) -> None:
        """Show the figures of the last updates, a dict."""
        text = ", ".join([*(_text(*figure) for figure in figures.items()), f"lr {lr:.2e}"])
        if self._bar:
            self._bar.set_postfix_str(f"epoch {epoch}, {text}")
            return
        if not self._is_shown:
            return
        seconds = (time.perf_counter() - self._begin) / (self._done - self._first)
        left = seconds * (self.num_updates - self._done)
        update = f"update {self._done}/{self.num_updates}"
        _log.info("epoch %d, %s: %s, %s left", epoch, update, text, tqdm.format_interval(left))

    def say(self, text: str) -> None:
        """Show a line of text permanently, above the progress bar or in the log."""
        if self._bar:
            self._bar.write(text, file=sys.stderr)
        elif self._is_shown:
            _log.info("%s", text)


def _text(name: str, value: float) -> str:
    """``loss 1.0986``; ``52 pairs/s`` for a figure called ``pairs_per_second``."""
    unit, rate, _ = name.partition("_per_second")
    return f"{value:.0f} {unit}/s" if rate else f"{name.replace('_', ' ')} {value:.4f}"
