"""What a run shows while it goes on: a progress bar on a terminal, plain lines of log elsewhere."""

import logging
import math
import sys
import time
from typing import List, Tuple

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ..errors import PluginError

_log = logging.getLogger("gluonnlp_snli_plugin")


class Meter:
    """Adds up loss and accuracy on the devices, so that training waits for them only when somebody reads.

    Parameters
    ----------
    ranks : Ranks
        Whose figures are added up; they all read at the same time.
    """

    def __init__(self, ranks):
        self._ranks = ranks
        self._seconds = 0.0
        self._num_pairs = 0
        self.restart()

    def restart(self):
        """Forget what has not been read, and start the clock."""
        self._waiting: List[Tuple] = []
        self._loss, self._hits, self._window_pairs = 0.0, 0, 0
        self._begin = time.perf_counter()

    def add(self, update, loss, logits, label, index):
        """Count one batch on one device.

        Parameters
        ----------
        update : int
            Which one it is part of, from 1.
        loss : NDArray of float32, shape (1,)
            Sum over the pairs.
        logits : NDArray, shape (n, num_classes)
        label : NDArray of int32, shape (n,)
        index : ndarray of int64
            Which pairs these are among.
        """
        with mx.autograd.pause():
            hits = (logits.argmax(axis=1).astype("int32") == label).sum()
        self._waiting.append((update, loss.detach(), hits, len(label), index))

    def read(self):
        """Figures since the last reading: a dict of loss (mean over pairs), accuracy and pairs_per_second.

        Raises
        ------
        PluginError
            If a loss is not a number; names the update and the pairs.
        """
        loss, hits, num_pairs = self._by_rank().sum(axis=0).tolist()
        seconds = time.perf_counter() - self._begin
        self._seconds += seconds
        self._num_pairs += num_pairs
        self.restart()
        return {"loss": loss / num_pairs, "accuracy": hits / num_pairs, "pairs_per_second": num_pairs / seconds}

    def state(self):
        """What :meth:`go_on_from` needs, in a form that JSON can hold."""
        seconds = time.perf_counter() - self._begin
        return {"by_rank": self._by_rank().tolist(), "seconds": seconds, "read": [self._seconds, self._num_pairs]}

    def go_on_from(self, state):
        """Count on from a state, the same on all ranks."""
        loss, hits, pairs = state["by_rank"][self._ranks.rank]
        self._loss, self._hits, self._window_pairs = loss, int(hits), int(pairs)
        self._seconds, self._num_pairs = state["read"]
        self._begin = time.perf_counter() - state["seconds"]

    def _by_rank(self):
        """Loss, hits and pairs since the last reading, a row for each rank."""
        for update, loss, hits, pairs, index in self._waiting:
            value = float(loss.asscalar())
            if not math.isfinite(value):
                raise PluginError(
                    f"the loss of update {update} is {value}: try a lower --lr or a longer warm-up (--warmup-ratio); "
                    f"its pairs are number {', '.join(map(str, np.sort(index) + 1))} of the training pairs"
                )
            self._loss += value
            self._hits += int(hits.asscalar())
            self._window_pairs += pairs
        self._waiting.clear()
        return self._ranks.gather(np.array([self._loss, self._hits, self._window_pairs]))

    @property
    def pairs_per_second(self):
        """Of all readings."""
        return self._num_pairs / self._seconds if self._seconds else 0.0


class Progress:
    """Follows the updates of a run; a context manager.

    Parameters
    ----------
    num_updates : int
        Updates of the whole run.
    is_shown : bool, default True
        Whether to show anything; only the first of several ranks does.
    """

    def __init__(self, num_updates, is_shown=True):
        self._num_updates = num_updates
        self._is_shown = is_shown
        self._done = self._first = 0
        self._begin = time.perf_counter()
        self._bar = None

    def __enter__(self):
        if self._is_shown and sys.stderr.isatty():
            self._bar = tqdm(total=self._num_updates, unit="update", dynamic_ncols=True)
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.close()

    def go_on_from(self, update):
        """Begin with so many updates done."""
        self._done = self._first = update
        if self._bar:
            self._bar.n = self._bar.initial = update

    def advance(self):
        """One more update is done."""
        self._done += 1
        if self._bar:
            self._bar.update()

    def show(self, epoch, loss, accuracy, lr, pairs_per_second):
        """Show the figures of the last updates."""
        figures = f"loss {loss:.4f}, accuracy {accuracy:.4f}, lr {lr:.2e}, {pairs_per_second:.0f} pairs/s"
        if self._bar:
            self._bar.set_postfix_str(f"epoch {epoch}, {figures}")
            return
        if not self._is_shown:
            return
        seconds = (time.perf_counter() - self._begin) / (self._done - self._first)
        left = seconds * (self._num_updates - self._done)
        update = f"update {self._done}/{self._num_updates}"
        _log.info("epoch %d, %s: %s, %s left", epoch, update, figures, tqdm.format_interval(left))

    def say(self, text):
        """One line that stays."""
        if self._bar:
            self._bar.write(text, file=sys.stderr)
        elif self._is_shown:
            _log.info("%s", text)
