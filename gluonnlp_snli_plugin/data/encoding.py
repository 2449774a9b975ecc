"""From pairs of sentences to BERT inputs: ``[CLS] premise [SEP] hypothesis [SEP]``."""

import itertools
from typing import Dict

import mxnet as mx
import numpy as np

from ..errors import UsageError
from . import truncation as truncations
from .snli import LABELS
from .tokenizers import CachedTokenizer

SPECIAL_TOKENS = 3  # [CLS], [SEP], [SEP]


class EncodedPairs(mx.gluon.data.Dataset):
    """Pairs as flat arrays: one number a token, no padding; segments follow from the lengths.

    A ``gluon.data.Dataset`` too: ``encoded[i]`` is ``(input_ids, segment_ids, valid_length, label)``, so GluonNLP's
    samplers, batchify functions and ``DataLoader`` work on it. An unlabelled pair has no fourth item.

    Parameters
    ----------
    input_ids : ndarray of int32, shape (tokens,)
        All pairs one after the other, special tokens included.
    offsets : ndarray of int64, shape (pairs + 1,)
        Pair `i` is ``input_ids[offsets[i]:offsets[i + 1]]``.
    len_a, len_b : ndarray of int32, shape (pairs,)
        Tokens kept of premise and hypothesis, special tokens not counted.
    labels : ndarray of int32, shape (pairs,), or None
        Index into ``LABELS``.
    padding_id : int
        Id of the padding token.
    num_truncated : int
        How many pairs lost tokens.
    """

    def __init__(self, input_ids, offsets, len_a, len_b, labels, padding_id, num_truncated=0):
        self.input_ids = input_ids
        self.offsets = offsets
        self.len_a = len_a
        self.len_b = len_b
        self.labels = labels
        self.padding_id = padding_id
        self.num_truncated = num_truncated

    def __len__(self):
        return len(self.len_a)

    def __getitem__(self, i):
        if not -len(self) <= i < len(self):
            raise IndexError(f"pair {i} of {len(self)}")
        i %= len(self)
        ids = self.input_ids[self.offsets[i] : self.offsets[i + 1]]
        segments = np.zeros_like(ids)
        segments[self.len_a[i] + 2 :] = 1
        pair = (ids, segments, np.int32(len(ids)))
        return pair if self.labels is None else (*pair, self.labels[i])

    @property
    def valid_length(self):
        """Tokens of each pair, special tokens included; ndarray of int64, shape (pairs,)."""
        return np.diff(self.offsets)


class PairEncoder:
    """Turns pairs of sentences into BERT inputs.

    As a transform it works on one row, ``dataset.transform(PairEncoder(tokenizer, vocab, max_len=128))``;
    :meth:`encode` does a whole corpus at once and is many times faster.

    Parameters
    ----------
    tokenizer : CachedTokenizer, gluonnlp.data.BERTTokenizer or gluonnlp.data.BERTSPTokenizer
    vocab : gluonnlp.vocab.BERTVocab
    max_len : int, default 128
        Longest input in tokens, special tokens included; at least 5.
    truncation : str or Truncation, default 'longest_first'
        What gives way in a pair that is longer; see ``gluonnlp_snli_plugin.data.truncation``.

    Raises
    ------
    UsageError
        If the strategy is unknown or `max_len` leaves no room for a pair.
    """

    def __init__(self, tokenizer, vocab, max_len=128, truncation="longest_first"):
        if max_len < SPECIAL_TOKENS + 2:
            raise UsageError(f"max_len is {max_len}; a pair needs at least {SPECIAL_TOKENS + 2} tokens")
        self.tokenizer = tokenizer if hasattr(tokenizer, "ids") else CachedTokenizer(tokenizer)
        self.vocab = vocab
        self.max_len = max_len
        self.truncation = truncations.create(truncation)

    def __call__(self, premise, hypothesis=None, label=None):
        """Encode one row: ``encoder(row)`` or ``encoder(premise, hypothesis, label)``.

        Returns
        -------
        input_ids, segment_ids : ndarray of int32, shape (valid_length,)
        valid_length : int32
        label : int32
            Only if the row has a label.
        """
        row = premise if hypothesis is None else (premise, hypothesis, label)
        labels = None if len(row) < 3 or row[2] is None else [row[2]]
        return self.encode([row[0]], [row[1]], labels)[0]

    def encode(self, premises, hypotheses, labels=None):
        """Encode many pairs.

        Parameters
        ----------
        premises, hypotheses : sequence of str, length n
        labels : sequence of str, length n, or None
            Names from ``LABELS``.

        Returns
        -------
        EncodedPairs

        Raises
        ------
        UsageError
            If the sequences are not of one length, or a label is none of the three.
        """
        sizes = [len(column) for column in (premises, hypotheses, labels) if column is not None]
        if len(set(sizes)) != 1:
            raise UsageError(f"the columns of the pairs have different lengths: {', '.join(map(str, sizes))}")
        number: Dict[str, int] = {}  # a sentence's row in the ragged array; a premise usually comes three times
        a = np.fromiter((number.setdefault(text, len(number)) for text in premises), np.int64)
        b = np.fromiter((number.setdefault(text, len(number)) for text in hypotheses), np.int64)
        ids_of_sentence = [self.tokenizer.ids(text) for text in number]
        lengths = np.fromiter(map(len, ids_of_sentence), np.int64, len(ids_of_sentence))
        flat = np.fromiter(itertools.chain.from_iterable(ids_of_sentence), np.int32, lengths.sum())
        starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]

        keep_a, keep_b = self.truncation(lengths[a], lengths[b], self.max_len - SPECIAL_TOKENS)
        offsets = np.concatenate([[0], np.cumsum(keep_a + keep_b + SPECIAL_TOKENS)])
        input_ids = np.empty(offsets[-1], np.int32)
        first, last = offsets[:-1], offsets[1:] - 1
        input_ids[first] = self.vocab[self.vocab.cls_token]
        input_ids[first + 1 + keep_a] = input_ids[last] = self.vocab[self.vocab.sep_token]
        input_ids[_ranges(first + 1, keep_a)] = flat[_ranges(starts[a], keep_a)]
        input_ids[_ranges(last - keep_b, keep_b)] = flat[_ranges(starts[b], keep_b)]
        return EncodedPairs(
            input_ids,
            offsets,
            keep_a.astype(np.int32),
            keep_b.astype(np.int32),
            None if labels is None else label_indices(labels),
            self.vocab[self.vocab.padding_token],
            int(np.count_nonzero(keep_a + keep_b < lengths[a] + lengths[b])),
        )


def label_indices(labels):
    """Label names as indices into ``LABELS``; ndarray of int32.

    Raises
    ------
    UsageError
        If a label is none of the three.
    """
    number = {label: i for i, label in enumerate(LABELS)}
    try:
        return np.fromiter((number[label] for label in labels), np.int32)
    except KeyError as error:
        raise UsageError(f"unknown label {error}; labels are {', '.join(LABELS)}") from None


def _ranges(starts, lengths):
    """``starts[0], starts[0] + 1, …, starts[1], …``: the indices of many slices as one array."""
    ends = np.cumsum(lengths)
    total = ends[-1] if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
