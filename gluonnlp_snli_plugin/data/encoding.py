"""From pairs of sentences to inputs of BERT and its kin: ``[CLS] premise [SEP] hypothesis [SEP]``."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import mxnet as mx
import numpy as np

from ..errors import UsageError
from ..text.tokenizers import CachedTokenizer
from ..text.word_cache import flat_ids
from . import truncation as truncations
from .layout import BERT_LAYOUT, PairLayout
from .schema import schema_or_default

SPECIAL_TOKENS = BERT_LAYOUT.num_special  # [CLS], [SEP], [SEP]
_PAIRS_AT_ONCE = 2048  # enough for whole-array work to pay, few enough for the processor's cache


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
        Indices of the classes.
    padding_id : int
        Id of the padding token.
    num_truncated : int
        How many pairs lost tokens.
    layout : PairLayout
    """

    def __init__(
        self,
        input_ids: np.ndarray,
        offsets: np.ndarray,
        len_a: np.ndarray,
        len_b: np.ndarray,
        labels: Optional[np.ndarray],
        padding_id: int,
        num_truncated: int = 0,
        layout: PairLayout = BERT_LAYOUT,
    ) -> None:
        self.input_ids = input_ids
        self.layout = layout
        self.offsets = offsets
        self.len_a = len_a
        self.len_b = len_b
        self.labels = labels
        self.padding_id = padding_id
        self.num_truncated = num_truncated

    def __len__(self) -> int:
        return len(self.len_a)

    def __getitem__(self, i: int) -> Tuple[Any, ...]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"pair {i} of {len(self)}")
        i %= len(self)
        ids = self.input_ids[self.offsets[i] : self.offsets[i + 1]]
        pair = (ids, self.layout.segment_ids(self.len_a[i], len(ids)), np.int32(len(ids)))
        return pair if self.labels is None else (*pair, self.labels[i])

    @property
    def valid_length(self) -> np.ndarray:
        """Tokens of each pair, special tokens included; ndarray of int64, shape (pairs,)."""
        return np.diff(self.offsets)


class PairEncoder:
    """Turns pairs of sentences into BERT inputs.

    As a transform it works on one row, ``dataset.transform(PairEncoder(tokenizer, vocab, max_len=128))``;
    :meth:`encode` and :meth:`encode_parts` do a whole corpus at once and are many times faster.

    Parameters
    ----------
    tokenizer : CachedTokenizer, gluonnlp.data.BERTTokenizer or gluonnlp.data.BERTSPTokenizer
    vocab : gluonnlp.vocab.BERTVocab
    max_len : int, default 128
        Longest input in tokens, special tokens included; at least 5.
    truncation : str or Truncation, default 'longest_first'
        What is cut from a pair that is longer; see ``gluonnlp_snli_plugin.data.truncation``.
    labels : sequence of str or None
        Names of the classes, in the order of their indices; default those of the task SNLI.
    layout : PairLayout, default BERT's
        The special tokens around the sentences, and the segments.

    Raises
    ------
    UsageError
        If the strategy is unknown or `max_len` leaves no room for a pair.
    """

    def __init__(
        self,
        tokenizer: Any,
        vocab: Any,
        max_len: int = 128,
        truncation: Union[str, truncations.Truncation] = "longest_first",
        labels: Optional[Sequence[str]] = None,
        layout: PairLayout = BERT_LAYOUT,
    ) -> None:
        if max_len < layout.num_special + 2:
            raise UsageError(f"max_len is {max_len}; a pair needs at least {layout.num_special + 2} tokens")
        self.layout = layout
        self.tokenizer = tokenizer if hasattr(tokenizer, "ids") else CachedTokenizer(tokenizer)
        self.vocab = vocab
        self.max_len = max_len
        self.truncation = truncations.create(truncation)
        self._labels = None if labels is None else tuple(labels)

    @property
    def labels(self) -> Tuple[str, ...]:
        """Names of the classes, in the order of their indices."""
        return schema_or_default(None).labels if self._labels is None else self._labels

    def __call__(self, premise: Any, hypothesis: Optional[str] = None, label: Optional[str] = None) -> Tuple[Any, ...]:
        """Encode one row: ``encoder(row)`` or ``encoder(premise, hypothesis, label)``.

        Returns
        -------
        input_ids, segment_ids : ndarray of int32, shape (valid_length,)
        valid_length : int32
        label : int32
            Only if the row has a label.
        """
        row = premise if hypothesis is None else (premise, hypothesis, label)
        a, b = self.tokenizer.ids(row[0]), self.tokenizer.ids(row[1])
        budget = self.max_len - self.layout.num_special
        if len(a) + len(b) > budget:
            keep_a, keep_b = self.truncation(len(a), len(b), budget)
            a, b = a[:keep_a], b[:keep_b]
        before, between, after = self.layout.ids(self.vocab)
        input_ids = np.array([*before, *a, *between, *b, *after], np.int32)
        pair = (input_ids, self.layout.segment_ids(len(a), len(input_ids)), np.int32(len(input_ids)))
        return pair if len(row) < 3 or row[2] is None else (*pair, label_indices([row[2]], self.labels)[0])

    def encode(
        self, premises: Sequence[str], hypotheses: Sequence[str], labels: Optional[Sequence[str]] = None
    ) -> EncodedPairs:
        """Encode many pairs.

        Parameters
        ----------
        premises, hypotheses : sequence of str, length n
        labels : sequence of str, length n, or None
            Names of classes.

        Returns
        -------
        EncodedPairs

        Raises
        ------
        UsageError
            If the sequences are not of one length, or a label is not one of the classes.
        """
        columns = [column for column in (premises, hypotheses, labels) if column is not None]
        sizes = [len(column) for column in columns]
        if len(set(sizes)) != 1:
            raise UsageError(f"the columns of the pairs have different lengths: {', '.join(map(str, sizes))}")
        parts = (
            [column[start : start + _PAIRS_AT_ONCE] for column in columns]
            for start in range(0, len(premises), _PAIRS_AT_ONCE)
        )
        return self._encode_parts(parts, None if labels is None else self.labels)

    def encode_parts(self, parts: Iterable[Sequence[Any]], classes: Optional[Sequence[str]] = None) -> EncodedPairs:
        """Encode labelled pairs that come some thousands at a time; the texts of more are never held.

        Parameters
        ----------
        parts : iterable of (premises, hypotheses, labels)
            Such as ``PairReader.columns`` gives.
        classes : sequence of str or None
            Names of the classes, in the order of their indices; default those of the encoder.

        Returns
        -------
        EncodedPairs

        Raises
        ------
        UsageError
            If a label is not one of the classes.
        """
        return self._encode_parts(parts, self.labels if classes is None else classes)

    def lengths(self, premises: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        """Tokens of each pair before truncation, special tokens included.

        Parameters
        ----------
        premises, hypotheses : sequence of str, length n

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        sums = [np.zeros(0, np.int64)]
        for start in range(0, len(premises), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            a, b, (_, lengths) = self._ids(premises[part], hypotheses[part])
            sums.append(lengths[a] + lengths[b] + self.layout.num_special)
        return np.concatenate(sums)

    def _encode_parts(self, parts: Iterable[Sequence[Any]], classes: Optional[Sequence[str]]) -> EncodedPairs:
        """As :meth:`encode_parts`; without classes the pairs have no labels."""
        columns = [bytearray() for _ in range(4)]  # which grow in place, as arrays do not
        num_truncated = 0
        for premises, hypotheses, *names in parts:
            input_ids, keep_a, keep_b, truncated = self._encode_part(premises, hypotheses)
            labels = label_indices(names[0], classes) if classes else keep_a[:0]
            for column, more in zip(columns, (input_ids, keep_a, keep_b, labels)):
                column += more.astype(np.int32, copy=False).data
            num_truncated += truncated
        input_ids, len_a, len_b, labels = (np.frombuffer(column, np.int32) for column in columns)
        return EncodedPairs(
            input_ids,
            offsets_of(len_a, len_b, self.layout),
            len_a,
            len_b,
            labels if classes else None,
            self.vocab[self.vocab.padding_token],
            num_truncated,
            self.layout,
        )

    def _encode_part(
        self, premises: Sequence[str], hypotheses: Sequence[str]
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Input ids, tokens kept of both sentences, and number of truncated pairs."""
        a, b, (flat, lengths) = self._ids(premises, hypotheses)
        starts = np.cumsum(lengths) - lengths
        len_a, len_b = lengths[a], lengths[b]
        keep_a, keep_b = self.truncation(len_a, len_b, self.max_len - self.layout.num_special)

        # Each pair is put together from five slices, of BERT: [CLS], the premise's, [SEP], the hypothesis's, [SEP].
        special = self.layout.ids(self.vocab)
        source = np.concatenate([flat, *(np.array(ids, np.int32) for ids in special)])
        sizes = np.array([len(ids) for ids in special])
        slice_starts = np.empty((len(a), 5), np.int64)
        slice_lengths = np.empty((len(a), 5), np.int64)
        slice_starts[:, ::2], slice_lengths[:, ::2] = len(flat) + np.cumsum(sizes) - sizes, sizes
        slice_starts[:, 1], slice_lengths[:, 1] = starts[a], keep_a
        slice_starts[:, 3], slice_lengths[:, 3] = starts[b], keep_b
        input_ids = source[_ranges(slice_starts.ravel(), slice_lengths.ravel())]
        return input_ids, keep_a, keep_b, int(np.count_nonzero(keep_a + keep_b < len_a + len_b))

    def _ids(
        self, premises: Sequence[str], hypotheses: Sequence[str]
    ) -> Tuple[np.ndarray, np.ndarray, Tuple[np.ndarray, np.ndarray]]:
        """For premises and for hypotheses, the rows in a ragged array of ids; and that array, flat, and its lengths."""
        number: Dict[str, int] = {}  # a sentence's row; a premise usually comes three times
        a = np.fromiter((number.setdefault(text, len(number)) for text in premises), np.int64, len(premises))
        b = np.fromiter((number.setdefault(text, len(number)) for text in hypotheses), np.int64, len(hypotheses))
        return a, b, self._ids_of_all(list(number))

    def _ids_of_all(self, texts: List[str]) -> Tuple[np.ndarray, np.ndarray]:
        if hasattr(self.tokenizer, "ids_of_all"):
            return self.tokenizer.ids_of_all(texts)
        return flat_ids([self.tokenizer.ids(text) for text in texts])


def offsets_of(len_a: np.ndarray, len_b: np.ndarray, layout: PairLayout = BERT_LAYOUT) -> np.ndarray:
    """Where pairs begin that have these many tokens besides the special ones; ndarray of int64, shape (pairs + 1,)."""
    offsets = np.zeros(len(len_a) + 1, np.int64)
    np.cumsum(len_a.astype(np.int64) + len_b + layout.num_special, out=offsets[1:])
    return offsets


def label_indices(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Label names as indices into the names of the classes; ndarray of int32.

    Raises
    ------
    UsageError
        If a label is not one of the classes.
    """
    number = {label: i for i, label in enumerate(classes)}
    try:
        return np.fromiter((number[label] for label in labels), np.int32)
    except KeyError as error:
        raise UsageError(f"unknown label {error}; labels are {', '.join(classes)}") from None


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``starts[0], starts[0] + 1, …, starts[1], …``: the indices of many slices as one array."""
    ends = np.cumsum(lengths)
    total = ends[-1] if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
