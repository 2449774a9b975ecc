"""Batches of pairs of similar length, each padded only to its own longest pair."""

from typing import Any, Iterator, List, NamedTuple, Optional

import numpy as np

from ..errors import UsageError
from .encoding import EncodedPairs
from .mixture import Mixture

_BATCHES_IN_A_POOL = 32  # shuffled pairs are sorted by length within pools of this many batches


class Batch(NamedTuple):
    """One batch as numpy arrays, `n` pairs padded to `length` tokens."""

    input_ids: np.ndarray  #: int32, shape (n, length)
    segment_ids: np.ndarray  #: int32, shape (n, length)
    valid_length: np.ndarray  #: float32, shape (n,), as GluonNLP's BERT takes it
    label: np.ndarray  #: int32, shape (n,); zeros for unlabelled pairs
    index: np.ndarray  # type: ignore[assignment]  #: int64, shape (n,): which pairs these are; hides tuple.index
    num_pairs: int  #: pairs of the batches of all ranks together
    longest: int  #: tokens of the longest pair of the batches of all ranks together

    def part(self, rows: np.ndarray) -> "Batch":
        """The same batch restricted to some of its pairs, as a device gets it; of equal length.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)

        Returns
        -------
        Batch
        """
        of_pairs: Any = ("input_ids", "segment_ids", "valid_length", "label", "index")
        return self._replace(**{name: getattr(self, name)[rows] for name in of_pairs})


def pad(encoded: EncodedPairs, index: np.ndarray) -> Batch:
    """The pairs `index` of `encoded`, padded to the longest of them.

    Parameters
    ----------
    encoded : EncodedPairs
    index : ndarray of int, shape (n,)

    Returns
    -------
    Batch
    """
    start, lengths = encoded.offsets[index], encoded.offsets[index + 1] - encoded.offsets[index]
    position = np.arange(int(lengths.max()))
    inside = position < lengths[:, None]
    layout = encoded.layout
    is_second = position >= layout.second(encoded.len_a[index, None]) if layout.has_segments else np.False_
    flat = np.minimum(start[:, None] + position, len(encoded.input_ids) - 1)
    return Batch(
        np.where(inside, encoded.input_ids[flat], np.int32(encoded.padding_id)),
        (inside & is_second).astype(np.int32),
        lengths.astype(np.float32),
        np.zeros(len(index), np.int32) if encoded.labels is None else encoded.labels[index],
        index,
        len(index),
        int(lengths.max()),
    )


class LengthBucketBatches:
    """Divides encoded pairs into batches of similar length, in a new order each epoch.

    The division is a function of (seed, epoch) alone. Every rank sees the same global batches of
    ``batch_size * num_ranks`` pairs and takes its own share of each, so all ranks take the same number of steps.

    Parameters
    ----------
    encoded : EncodedPairs
    batch_size : int
        Pairs a rank and step.
    shuffle : bool, default True
        Without it, all pairs are sorted by length, the longest first: the least padding, and the most memory at once,
        for evaluation.
    seed : int, default 0
    rank, num_ranks : int, default 0 and 1
    min_size : int, default 1
        Smallest batch allowed, in pairs a rank (the number of devices); a smaller remainder joins the batch before it.
    mixture : Mixture or None
        Which pairs an epoch takes, where they are shuffled; default each once.

    Attributes
    ----------
    num_pairs : int
        Pairs of an epoch, of all ranks together.

    Raises
    ------
    UsageError
        If there are fewer pairs than ranks.
    """

    def __init__(
        self,
        encoded: Any,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
        min_size: int = 1,
        mixture: Optional[Mixture] = None,
    ) -> None:
        self.num_pairs = mixture.num_pairs if mixture else len(encoded)
        if 0 < self.num_pairs < num_ranks:
            raise UsageError(f"{self.num_pairs} pairs cannot be divided among {num_ranks} ranks")
        self.encoded = encoded
        self.mixture = mixture
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self.min_size = min_size

    def __len__(self) -> int:
        return len(self._cuts()) + 1 if len(self.encoded) else 0

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def num_batches(self, epoch: int) -> int:
        """Number of batches in an epoch, the same in every epoch."""
        return len(self)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from batch number `start` on.

        Yields
        ------
        Batch
        """
        lengths = self.encoded.valid_length
        for index in self.order(epoch)[start:]:
            mine = index[self.rank :: self.num_ranks]  # sorted by length: all ranks get pairs of like length
            yield pad(self.encoded, mine)._replace(num_pairs=len(index), longest=int(lengths[index].max()))

    @property
    def end(self) -> int:
        """Tokens of the longest pair of any epoch."""
        return int(self.encoded.valid_length.max())

    def lengths(self) -> np.ndarray:
        """Tokens of the longest pair of each global batch of epoch 0, in order; ndarray of int64, shape (batches,)."""
        lengths = self.encoded.valid_length
        return np.array([lengths[index].max() for index in self.order(0)])

    def longest(self) -> Batch:
        """A batch of the longest pairs: none of any epoch takes more memory.

        Returns
        -------
        Batch
        """
        size = max(np.diff([0, *self._cuts(), self.num_pairs]))
        mine = len(range(self.rank, size, self.num_ranks))
        longest = np.argsort(self.encoded.valid_length, kind="stable")[-mine:]
        longest = np.resize(longest, mine)  # an epoch may take a pair several times
        return pad(self.encoded, longest)._replace(num_pairs=size)

    def order(self, epoch: int) -> List[np.ndarray]:
        """Which pairs are in which global batch: a list of int64 arrays."""
        lengths = self.encoded.valid_length
        if not len(lengths):
            return []
        if not self.shuffle:
            return np.split(np.argsort(-lengths, kind="stable"), self._cuts())
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(self.num_pairs)
        order = order if self.mixture is None else self.mixture.epoch(epoch)[order]
        pool = self._global_size * _BATCHES_IN_A_POOL
        for i in range(0, len(order), pool):
            order[i : i + pool] = order[i : i + pool][np.argsort(lengths[order[i : i + pool]], kind="stable")]
        batches = np.split(order, self._cuts())
        return [batches[i] for i in random.permutation(len(batches))]

    @property
    def _global_size(self) -> int:
        return self.batch_size * self.num_ranks

    def _cuts(self) -> List[int]:
        cuts = list(range(self._global_size, self.num_pairs, self._global_size))
        if cuts and self.num_pairs - cuts[-1] < self.min_size * self.num_ranks:
            cuts.pop()
        return cuts
