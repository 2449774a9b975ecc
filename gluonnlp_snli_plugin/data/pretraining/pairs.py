"""Pairs of text for next sentence prediction: which tokens make up which pair, again for each epoch."""

import functools
import logging
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .. import truncation
from ..encoding import SPECIAL_TOKENS
from .documents import Documents

IS_NEXT, IS_RANDOM = 0, 1  # GluonNLP's next_sentence_label

_log = logging.getLogger("gluonnlp_snli_plugin")


@dataclass(frozen=True)
class SentencePairs:
    """The pairs of an epoch as slices of ``Documents.ids``: A is ``ids[a_start:a_start + len_a]``, B likewise."""

    a_start: np.ndarray  #: int64, shape (n,)
    len_a: np.ndarray  #: int64, shape (n,); at least 1
    b_start: np.ndarray  #: int64, shape (n,)
    len_b: np.ndarray  #: int64, shape (n,); at least 1
    label: np.ndarray  #: int32, shape (n,); 0 where B follows A, 1 where it is of another document, as in GluonNLP

    def __len__(self) -> int:
        return len(self.label)

    @functools.cached_property
    def valid_length(self) -> np.ndarray:
        """Tokens of each pair, special tokens included; ndarray of int64, shape (n,)."""
        return self.len_a + self.len_b + SPECIAL_TOKENS


def draw_pairs(documents: Documents, max_len: int, short_seq_prob: float, seed: int, epoch: int) -> SentencePairs:
    """Draw the pairs of an epoch, as GluonNLP's ``create_pretraining_data.py`` does; a function of its arguments alone.

    The documents are cut into chunks of some sentences, and each chunk at a random end of a sentence into A and B. Half
    of the pairs keep their B. In the others it gives way to as much of another document, from a random chunk's B on, so
    that a pair's length does not tell which kind it is.

    Parameters
    ----------
    documents : Documents
        At least two.
    max_len : int
        Longest pair in tokens, special tokens included; at least 5. The excess of a pair is dropped from the longer
        part, at random from its front or its end.
    short_seq_prob : float
        Probability that a chunk is to have not `max_len` tokens but a random, smaller number.
    seed, epoch : int

    Returns
    -------
    SentencePairs
        In the order of the documents.

    Raises
    ------
    DataError
        If there is only one document.
    """
    documents.require_two()
    random = np.random.default_rng((seed, epoch, 1))
    budget = max_len - SPECIAL_TOKENS
    offsets, document_ends = documents.sentences, _document_ends(documents)
    first, end, target = _chunks(documents, document_ends, budget, short_seq_prob, random)
    cut = first + random.integers(1, np.maximum(end - first, 2))

    label = np.full(len(first), IS_RANDOM, np.int32)
    label[_with_next(end - first, random)] = IS_NEXT
    is_next = label == IS_NEXT

    other = _chunks_of_other_documents(documents, first, random)
    b_first = np.where(is_next, cut, np.where(cut < end, cut, first)[other])
    wanted = np.maximum(target - (offsets[cut] - offsets[first]), 1)
    enough = np.minimum(np.searchsorted(offsets, offsets[b_first] + wanted), document_ends[b_first])
    b_end = np.where(is_next, end, enough)

    len_a, len_b = offsets[cut] - offsets[first], offsets[b_end] - offsets[b_first]
    keep_a, keep_b = truncation.create("longest_first")(len_a, len_b, budget)
    # As many coins as tokens go: heads, the first of those that are left goes, tails, the last.
    a_start = offsets[first] + random.binomial(len_a - keep_a, 0.5)
    b_start = offsets[b_first] + random.binomial(len_b - keep_b, 0.5)
    return SentencePairs(a_start, keep_a, b_start, keep_b, label)


def _document_ends(documents: Documents) -> np.ndarray:
    """For each sentence, the number of the first one after its document."""
    return np.repeat(documents.documents[1:], np.diff(documents.documents))


def _chunks(
    documents: Documents, document_ends: np.ndarray, budget: int, short_seq_prob: float, random: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First sentence of each chunk, the one after its last, and the number of tokens it should have."""
    offsets = documents.sentences
    target = np.full(documents.num_sentences, budget)
    is_short = random.random(len(target)) < short_seq_prob
    # In a long document the first chunk shifts all others, or their ends would be much the same in every epoch.
    num_tokens = np.diff(offsets[documents.documents])
    is_short[documents.documents[:-1][num_tokens > 2 * budget]] = True
    target[is_short] = random.integers(2, budget + 1, np.count_nonzero(is_short))

    end = np.searchsorted(offsets, offsets[:-1] + target)
    end = np.minimum(np.maximum(end, np.arange(2, len(target) + 2)), document_ends)
    end[end == document_ends - 1] += 1  # a last sentence alone would have no next one
    next_first = end.tolist()
    chain, sentence = [], 0
    while sentence < len(next_first):
        chain.append(sentence)
        sentence = next_first[sentence]
    first = np.array(chain)
    return first, end[first], target[first]


def _with_next(num_sentences: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Which chunks keep their own B: half of them, if as many have two sentences."""
    number = len(num_sentences) // 2
    able = np.flatnonzero(num_sentences > 1)
    if len(able) < number:
        _log.warning(
            "only %d of %d pairs have a next sentence: the other documents are one sentence each",
            len(able),
            len(num_sentences),
        )
    return random.permutation(able)[:number]


def _chunks_of_other_documents(documents: Documents, first: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each chunk, a random one of another document."""
    document = np.searchsorted(documents.documents, first, side="right") - 1
    begin = np.searchsorted(document, document)  # the chunks of a document lie together
    number = np.searchsorted(document, document, side="right") - begin
    other = random.integers(0, len(first) - number)
    return other + np.where(other >= begin, number, 0)
