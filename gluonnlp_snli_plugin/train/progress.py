"""What a run shows while it goes on: a progress bar on a terminal, plain lines of log elsewhere."""

import logging
import math
import sys
import time

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
        self._losses, self._hits, self._window_pairs = [], [], 0
        self._begin = time.perf_counter()

    def add(self, loss, logits, label):
        """Count one batch on one device.

        Parameters
        ----------
        loss : NDArray of float32, shape (1,)
            Sum over the pairs.
        logits : NDArray, shape (n, num_classes)
        label : NDArray of int32, shape (n,)
        """
        with mx.autograd.pause():
            self._losses.append(loss.detach())
            self._hits.append((logits.argmax(axis=1).astype("int32") == label).sum())
        self._window_pairs += len(label)

    def read(self):
        """Figures since the last reading: a dict of loss (mean over pairs), accuracy and pairs_per_second.

        Raises
        ------
        PluginError
            If the loss is not a number.
        """
        loss = sum(float(loss.asscalar()) for loss in self._losses)
        hits = sum(int(hits.asscalar()) for hits in self._hits)
        loss, hits, num_pairs = self._ranks.gather(np.array([loss, hits, self._window_pairs])).sum(axis=0).tolist()
        loss /= num_pairs
        seconds = time.perf_counter() - self._begin
        if not math.isfinite(loss):
            raise PluginError(f"the loss is {loss}: try a lower --lr or a longer warm-up (--warmup-ratio)")
        figures = {
            "loss": loss,
            "accuracy": hits / num_pairs,
            "pairs_per_second": num_pairs / seconds,
        }
        self._seconds += seconds
        self._num_pairs += num_pairs
        self.restart()
        return figures

    @property
    def pairs_per_second(self):
        """Of all readings."""
        return self._num_pairs / self._seconds


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
        self._done = 0
        self._begin = time.perf_counter()
        self._bar = None

    def __enter__(self):
        if self._is_shown and sys.stderr.isatty():
            self._bar = tqdm(total=self._num_updates, unit="update", dynamic_ncols=True)
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.close()

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
        left = (time.perf_counter() - self._begin) / self._done * (self._num_updates - self._done)
        update = f"update {self._done}/{self._num_updates}"
        _log.info("epoch %d, %s: %s, %s left", epoch, update, figures, tqdm.format_interval(left))

    def say(self, text):
        """One line that stays."""
        if self._bar:
            self._bar.write(text, file=sys.stderr)
        elif self._is_shown:
            _log.info("%s", text)
