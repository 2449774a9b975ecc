"""A few lengths for all batches, because each length that differs is a program to compile."""

from typing import Any, List, Sequence

import numpy as np

_UNIT = 4
_LARGEST_PADDING = 0.1
_SHORTEST = 16


def choose_lengths(longest: Any, end: int, most: int = 8) -> List[int]:
    """The fewest lengths, and among these the best, with which batches become less than a tenth larger.

    Parameters
    ----------
    longest : ndarray of int, shape (batches,)
        Tokens of the longest pair of each batch, up to which it is padded anyway.
    end : int
        Tokens of the longest pair of all; the last length.
    most : int, default 8
        The most lengths, which are the best so many where they do not suffice.

    Returns
    -------
    list of int
        Ascending.
    """
    rounded = np.minimum(-(-np.asarray(longest) // _UNIT) * _UNIT, -(-end // _UNIT) * _UNIT)
    sizes = np.unique(np.append(rounded, -(-end // _UNIT) * _UNIT))
    batches = np.array([(rounded == size).sum() for size in sizes])
    below = np.concatenate([[0], np.cumsum(batches)])
    # cost[j]: lengths of the batches of the first j sizes, added up; begins[k][j]: where the last of k + 1 begins.
    cost = np.where(np.arange(len(sizes) + 1) == 0, 0.0, np.inf)
    begins: List[np.ndarray] = []
    for _ in range(min(most, len(sizes))):
        total = cost[:, None] + (below[None, :] - below[:, None]) * np.append(0, sizes)[None, :]
        total = np.where(np.arange(len(cost))[:, None] < np.arange(len(cost))[None, :], total, np.inf)
        begins.append(total.argmin(axis=0))
        cost = total.min(axis=0)
        if np.sum(longest) > (1 - _LARGEST_PADDING) * cost[-1]:
            break
    chosen, j = [], len(sizes)
    for begin in reversed(begins):
        chosen.append(int(sizes[j - 1]))
        j = begin[j]
    return [*sorted(chosen)[:-1], end]


def usual_lengths(end: int) -> List[int]:
    """Lengths for pairs that are not known yet: powers of two up to `end`."""
    powers = [_SHORTEST << i for i in range(end.bit_length()) if _SHORTEST << i < end]
    return [*powers, end]


def rounded_up(size: int) -> int:
    """The next of 16, 24, 32, 48, 64, ...: powers of two, and what is half-way between two of them."""
    power = _SHORTEST
    while power < size:
        power *= 2
    return power * 3 // 4 if power > _SHORTEST and size <= power * 3 // 4 else power


def fitting(sizes: Sequence[int], size: int) -> int:
    """The smallest of ascending `sizes` that is at least `size`."""
    return sizes[int(np.searchsorted(sizes, size))]
