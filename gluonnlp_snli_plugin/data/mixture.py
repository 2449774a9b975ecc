"""Several corpora to train on together: a share of each in every epoch."""

import copy
from typing import List, Sequence

import numpy as np

from .encoding import EncodedPairs

_SEEDS = 5  # tells the seeds of decks from others of a run


class Mixture:
    """Which pairs an epoch takes of corpora that lie one after the other.

    The pairs of a corpus are dealt like a deck of cards: in random order, each once, then in a new order. An epoch
    takes as many as the share of the corpus says, and the next epoch continues where it ended. So a share of 0.5 takes
    one half of the pairs in an epoch and the other half in the next; a share of 2 takes each pair twice in every epoch.
    What an epoch takes is a function of (seed, epoch) alone.

    Parameters
    ----------
    sizes : sequence of int
        Pairs of each corpus, at least 1.
    shares : sequence of float
        The part of each corpus that an epoch takes, above 0.
    seed : int, default 0

    Attributes
    ----------
    counts : list of int
        The pairs that an epoch takes of each corpus: its share, rounded, and at least one.
    num_pairs : int
        All of them.
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], seed: int = 0) -> None:
        self._sizes = list(sizes)
        self._seed = seed
        self.counts: List[int] = [max(1, int(size * share + 0.5)) for size, share in zip(sizes, shares)]
        self.num_pairs = sum(self.counts)

    def epoch(self, epoch: int) -> np.ndarray:
        """The pairs of an epoch, in ascending order; ndarray of int64, shape (num_pairs,)."""
        starts = np.cumsum([0, *self._sizes])
        return np.concatenate([starts[part] + self._dealt(part, epoch) for part in range(len(self._sizes))])

    def _dealt(self, part: int, epoch: int) -> np.ndarray:
        """The pairs that an epoch takes of one corpus, in ascending order."""
        size, count = self._sizes[part], self.counts[part]
        if count % size == 0:
            return np.repeat(np.arange(size), count // size)
        begin = epoch * count
        first, last = begin // size, (begin + count - 1) // size
        decks = [
            np.random.default_rng((self._seed, deck, part, _SEEDS)).permutation(size) for deck in range(first, last + 1)
        ]
        begin -= first * size
        return np.sort(np.concatenate(decks)[begin : begin + count])


def joined(parts: Sequence[EncodedPairs]) -> EncodedPairs:
    """Several corpora as one, one after the other; they have the same padding and layout, and all have labels.

    Parameters
    ----------
    parts : sequence of EncodedPairs
        At least one; a single one is returned as it is.

    Returns
    -------
    EncodedPairs
    """
    if len(parts) == 1:
        return parts[0]
    whole = copy.copy(parts[0])
    for name in ("input_ids", "len_a", "len_b", "labels"):
        setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
    ends = np.cumsum([0, *(len(part.input_ids) for part in parts)])
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends)]
    whole.offsets = np.concatenate([*offsets, ends[-1:]])
    whole.num_truncated = sum(part.num_truncated for part in parts)
    return whole
