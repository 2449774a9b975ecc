"""Pair truncation: how many tokens of each sentence are kept if a pair is too long (``--truncation``).

A strategy sees lengths, never tokens: ``(len_a, len_b, budget) -> (keep_a, keep_b)``, where `budget` is the number of
tokens that the pair may keep, special tokens not counted. It works on one pair (integers) and on whole arrays at once,
and tokens are always dropped from the end of a sentence.
"""

from typing import List, Tuple, Union

import mxnet as mx
import numpy as np

from .. import registry
from ..errors import UsageError

Lengths = Union[int, np.ndarray]


class Truncation:
    """Base class of the strategies; look one up with :func:`create`."""

    def __call__(self, len_a: Lengths, len_b: Lengths, budget: int) -> Tuple[np.ndarray, np.ndarray]:
        """Number of tokens to keep of each sentence.

        Parameters
        ----------
        len_a, len_b : int or ndarray of int, shape (n,)
            Tokens of premise and hypothesis.
        budget : int
            Tokens that may stay in all, at least 2.

        Returns
        -------
        keep_a, keep_b : ndarray of int64, shape () or (n,)
            ``keep_a <= len_a``, ``keep_b <= len_b``, ``keep_a + keep_b <= budget``; the lengths themselves where they
            fit.

        Raises
        ------
        UsageError
            If the budget leaves no room for a pair.
        """
        if budget < 2:
            raise UsageError(f"a pair needs room for two tokens, the budget is {budget}: raise max_len")
        len_a, len_b = np.asarray(len_a, np.int64), np.asarray(len_b, np.int64)
        keep_a, keep_b = self._keep(len_a, len_b, budget)
        fits = len_a + len_b <= budget
        return np.where(fits, len_a, keep_a), np.where(fits, len_b, keep_b)

    def _keep(self, len_a: np.ndarray, len_b: np.ndarray, budget: int) -> Tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


@registry.truncation("longest_first")
class LongestFirst(Truncation):
    """Drop from the longer sentence until the pair fits, from the second on a tie, as the BERT paper's code does."""

    def _keep(self, len_a: np.ndarray, len_b: np.ndarray, budget: int) -> Tuple[np.ndarray, np.ndarray]:
        half = budget // 2
        return np.minimum(len_a, np.maximum(budget - half, budget - len_b)), np.minimum(
            len_b, np.maximum(half, budget - len_a)
        )


@registry.truncation("equal")
class Equal(LongestFirst):
    """Give each sentence an equal share and what the other leaves of its own: GluonNLP's ``truncate_seqs_equal``.

    Of two sentences this keeps what ``longest_first`` keeps; the two rules differ only from three sentences on.
    """


@registry.truncation("ratio")
class Ratio(Truncation):
    """Keep both sentences in proportion to their lengths, and at least one token of each."""

    def _keep(self, len_a: np.ndarray, len_b: np.ndarray, budget: int) -> Tuple[np.ndarray, np.ndarray]:
        total = np.maximum(len_a + len_b, 1)
        keep_a = (2 * budget * len_a + total) // (2 * total)
        keep_a = np.clip(keep_a, np.minimum(len_a, 1), budget - np.minimum(len_b, 1))
        return keep_a, budget - keep_a


@registry.truncation("only_first")
class OnlyFirst(Truncation):
    """Drop from the premise alone; the hypothesis is cut only where it is longer than the whole budget."""

    def _keep(self, len_a: np.ndarray, len_b: np.ndarray, budget: int) -> Tuple[np.ndarray, np.ndarray]:
        keep_b = np.minimum(len_b, budget)
        return budget - keep_b, keep_b


@registry.truncation("only_second")
class OnlySecond(Truncation):
    """Drop from the hypothesis alone; the premise is cut only where it is longer than the whole budget."""

    def _keep(self, len_a: np.ndarray, len_b: np.ndarray, budget: int) -> Tuple[np.ndarray, np.ndarray]:
        keep_a = np.minimum(len_a, budget)
        return keep_a, budget - keep_a


def list_truncations() -> List[str]:
    """Names of the registered strategies."""
    return sorted(mx.registry.get_registry(Truncation))


def create(name: Union[str, Truncation]) -> Truncation:
    """The strategy called `name`, or `name` itself if it is a strategy already.

    Raises
    ------
    UsageError
        If there is no such strategy; the message lists the names.
    """
    if isinstance(name, Truncation):
        return name
    if str(name).lower() not in list_truncations():
        raise UsageError(f"no truncation strategy {name!r}; there are: {', '.join(list_truncations())}")
    return mx.registry.get_create_func(Truncation, "truncation")(name)
