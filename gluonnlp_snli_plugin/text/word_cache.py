"""The cache of words that all tokenizers here have: each distinct word of a corpus is encoded once."""

import itertools
from typing import Dict, Sequence, Tuple

import numpy as np

ID = np.dtype(np.int32)
_LONGEST_REMEMBERED = 64  # characters; longer "words" are rare and would only fill the memory
_MOST_REMEMBERED = 1 << 20


class WordCache(Dict[str, bytes]):
    """The ids of a word as bytes, of which a long text's can be put together without a Python loop."""

    def encode(self, word: str) -> Sequence[int]:
        """The ids of a word that is not remembered."""
        raise NotImplementedError

    def __missing__(self, word: str) -> bytes:
        ids = as_bytes(self.encode(word))
        if len(word) <= _LONGEST_REMEMBERED and len(self) < _MOST_REMEMBERED:
            self[word] = ids
        return ids

    def of_all(self, texts: Sequence[str], mark: str = "") -> Tuple[np.ndarray, np.ndarray]:
        """The ids of many texts, each divided at its spaces.

        Parameters
        ----------
        texts : list of str, length n
        mark : str
            What the first word of each text gets in front, where it has other ids than the same word after a space.

        Returns
        -------
        ids : ndarray of int32
            Those of all texts one after the other; read-only.
        lengths : ndarray of int64, shape (n,)
            How many of them are each text's.
        """
        if not texts:
            return flat_ids([])
        words = (mark + f" {mark}".join(texts)).split(" ")  # of a text, one more than it has spaces
        # Python's own loops, one call for all words: this line is most of what encoding a corpus costs.
        ids = list(map(self.__getitem__, words))
        ends = np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids)))
        counts = np.fromiter(map(str.count, texts, itertools.repeat(" ")), np.int64, len(texts)) + 1
        lengths = np.diff(ends[np.cumsum(counts) - 1], prepend=0) // ID.itemsize
        return np.frombuffer(b"".join(ids), ID), lengths


def as_bytes(ids: Sequence[int]) -> bytes:
    """Ids as a cache holds them."""
    return np.array(ids, ID).tobytes()


def flat_ids(lists: Sequence[Sequence[int]]) -> Tuple[np.ndarray, np.ndarray]:
    """Lists of ids as one array and their lengths, as :meth:`WordCache.of_all` returns them."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(itertools.chain.from_iterable(lists), ID, lengths.sum()), lengths
