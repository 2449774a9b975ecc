"""The embedded sample: synthetic pairs in SNLI's form, so that a run needs neither a download nor a checkpoint.

``scripts/sample/make_sample.py`` writes the file and says how the pairs are made. They are for demonstrations, tests
and a first look at the program; a result on them says nothing about English.
"""

import functools
import gzip
import json
from pathlib import Path
from typing import Any, Dict, List

from ..errors import UsageError

_FILE = Path(__file__).with_name("sample.json.gz")


def sample_pairs(segment: str) -> List[List[str]]:
    """The pairs of the synthetic sample.

    Parameters
    ----------
    segment : {'train', 'dev'}
        9,000 or 600 pairs. No premise is in both segments; every word of the second is in the first.

    Returns
    -------
    list of [premise, hypothesis, label]
        The label is 'entailment', 'contradiction' or 'neutral', a third of the pairs each.

    Raises
    ------
    UsageError
        If there is no such segment.
    """
    if segment not in ("train", "dev"):
        raise UsageError(f"the embedded sample has the segments 'train' and 'dev', not {segment!r}")
    return [list(pair) for pair in _content()[segment]]


def sample_vocabulary() -> List[str]:
    """The tokens of a WordPiece vocabulary for the sample, in the order of their ids.

    Returns
    -------
    list of str
        BERT's five special tokens, the pieces of one character (so that a word which is not in the sample is split
        rather than unknown), then every lower-case word of the sample.
    """
    return list(_content()["vocabulary"])


@functools.lru_cache(None)
def _content() -> Dict[str, Any]:
    return json.loads(gzip.decompress(_FILE.read_bytes()))
