"""The batches of a run, epoch after epoch, in groups of which each makes one update."""

import itertools
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple


class Group(NamedTuple):
    """The batches of one update."""

    batches: List[Any]
    epoch: int  #: from 1
    ends_epoch: bool

    def totals(self, terms: Mapping[str, str]) -> Dict[str, float]:
        """What the losses of the group are divided by, over all ranks.

        Parameters
        ----------
        terms : dict of str to str
            For each loss what it is a mean over: 'pairs', or 'masks'.

        Returns
        -------
        dict of str to float
        """
        return {count: sum(getattr(one, f"num_{count}") for one in self.batches) for count in set(terms.values())}


class UpdateBatches:
    """Iterates over the groups of a run, epoch after epoch without end.

    Parameters
    ----------
    batches : LengthBucketBatches or PretrainingBatches
        ``epoch(epoch, start)`` gives the batches of an epoch, ``num_batches(epoch)`` says how many there are.
    accumulate : int
        Batches a group; the last one of an epoch may have fewer.
    """

    def __init__(self, batches: Any, accumulate: int) -> None:
        self._batches, self._accumulate = batches, accumulate
        self._epoch = self._done = 0  # epochs done, batches done of the one after

    def __iter__(self) -> Iterator[Group]:
        while True:
            batches = self._batches.epoch(self._epoch, self._done)
            size = self._batches.num_batches(self._epoch)
            while self._done < size:
                group = list(itertools.islice(batches, self._accumulate))
                self._done += len(group)
                yield Group(group, self._epoch + 1, self._done == size)
            self._epoch, self._done = self._epoch + 1, 0

    def state_dict(self) -> Dict[str, int]:
        """The position after the last group."""
        return {"epoch": self._epoch, "done": self._done}

    def load_state_dict(self, state: Dict[str, int]) -> None:
        """Continue from a position; call before iteration begins."""
        self._epoch, self._done = state["epoch"], state["done"]
