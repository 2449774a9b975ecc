"""Figures about predictions: their calibration, and accuracy by groups of pairs."""

import math
import re
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from ..evaluate.predictions import Predictions

CALIBRATION_BINS = 10
_MOST_GROUPS = 8
_WORD = re.compile(r"\w+")


class Group(NamedTuple):
    """Pairs with a property in common."""

    name: str
    pairs: int
    accuracy: float  #: 0 where there are no pairs
    low: float  #: 95% confidence interval of the accuracy
    high: float


class Calibration(NamedTuple):
    """Accuracy of the predictions by their confidence.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """

    groups: List[Group]  #: by confidence, of equal width
    confidence: List[float]  #: mean confidence of each group
    error: float  #: expected calibration error: mean distance of accuracy and confidence, weighted by pairs


def wilson(hits: float, pairs: int) -> Tuple[float, float]:
    """95% confidence interval of the share of hits, by Wilson's score; (0, 1) for no pairs.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    """
    if not pairs:
        return 0.0, 1.0
    z = 1.959964
    share = hits / pairs
    middle = share + z * z / (2 * pairs)
    spread = z * math.sqrt(share * (1 - share) / pairs + z * z / (4 * pairs * pairs))
    scale = 1 + z * z / pairs
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def calibration(predictions: Predictions, bins: int = CALIBRATION_BINS) -> Calibration:
    """Calibration of the probabilities, in groups of equal width from 0 to 1.

    Returns
    -------
    Calibration
    """
    confidence, hits = predictions.confidence, predictions.hits
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # (0, 0.1], (0.1, 0.2], ...
    names = [f"{i / bins:.1f}–{(i + 1) / bins:.1f}" for i in range(bins)]
    groups = _groups(names, number, hits)
    sums = np.bincount(number, confidence, bins)
    means = [float(sums[i]) / group.pairs if group.pairs else 0.0 for i, group in enumerate(groups)]
    distances = [group.pairs * abs(group.accuracy - mean) for group, mean in zip(groups, means)]
    return Calibration(groups, means, sum(distances) / len(predictions))


def by_length(predictions: Predictions) -> List[Group]:
    """Accuracy by tokens of the pair before truncation, special tokens included; a list of :class:`Group`."""
    tokens = predictions.pairs.tokens
    first, last = int(tokens.min()), int(np.sort(tokens)[int(0.99 * (len(tokens) - 1))])
    step = next(
        step * 10**power
        for power in range(10)
        for step in (1, 2, 5)
        if last // (step * 10**power) - first // (step * 10**power) < _MOST_GROUPS
    )
    lowest, highest = first // step, last // step
    number = np.clip(tokens // step, lowest, highest) - lowest
    names = [str(i * step) if step == 1 else f"{i * step}–{(i + 1) * step - 1}" for i in range(lowest, highest)]
    names.append(f"≥ {highest * step}")  # the longest percent, however long
    return _groups(names, number, predictions.hits)


def by_overlap(predictions: Predictions) -> List[Group]:
    """Accuracy by the share of the hypothesis's different words that the premise has too; a list of :class:`Group`."""
    shares = np.array([overlap(*texts) for texts in zip(predictions.pairs.premises, predictions.pairs.hypotheses)])
    number = np.minimum((shares * 5 + 1e-9).astype(int), 4)
    return _groups(["0–20%", "20–40%", "40–60%", "60–80%", "80–100%"], number, predictions.hits)


def overlap(premise: str, hypothesis: str) -> float:
    """Share of the hypothesis's different words that the premise has too, whatever their case; 0 without words."""
    words = set(_WORD.findall(hypothesis.casefold()))
    return len(words.intersection(_WORD.findall(premise.casefold()))) / len(words) if words else 0.0


def confidently_wrong(predictions: Predictions, most: int) -> List[int]:
    """Indices of the pairs that are predicted wrongly, the most confident first."""
    wrong = np.flatnonzero(~predictions.hits)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:most].tolist()


def _groups(names: Sequence[str], number: np.ndarray, hits: np.ndarray) -> List[Group]:
    """A group for each name from the number of each pair's group."""
    pairs = np.bincount(number, minlength=len(names)).tolist()
    right = np.bincount(number, hits, len(names)).tolist()
    return [Group(name, n, k / n if n else 0.0, *wilson(k, n)) for name, n, k in zip(names, pairs, right)]
