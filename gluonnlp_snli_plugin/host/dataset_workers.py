"""Keeps what the workers of GluonNLP's DatasetLoader have made until the script's own process has received it.

A worker leaves a dataset in a manager's process and hands on a reference to it. GluonNLP 0.10 lets the worker forget
the dataset when it makes the next one. Where the script's process is too busy to have received the reference by then,
the dataset is gone, and the script waits for it for ever.
"""

import collections
import time
from typing import Any, Callable, Deque, Tuple

from gluonnlp.data import datasetloader

from .. import registry

_LONG_ENOUGH = 120.0  # seconds in which a reference is received


def keep_datasets(changes: registry.Changes) -> None:
    """Let the workers of every DatasetLoader made from now on keep their datasets long enough.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    """

    def initialize(original: Callable[[Any], None], manager: Any) -> None:
        original(_Manager(manager))

    changes.wrap(datasetloader, "_initialize_dataset_worker", initialize)


class _Manager:
    """A ``multiprocessing.Manager`` in a worker, whose lists stay there for a while."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._kept: Deque[Tuple[float, Any]] = collections.deque()

    def list(self, values: Any) -> Any:
        """A reference to a new list in the manager's process."""
        found = self._manager.list(values)
        self._kept.append((time.monotonic(), found))
        while len(self._kept) > 1 and self._kept[0][0] < time.monotonic() - _LONG_ENOUGH:
            self._kept.popleft()
        return found
