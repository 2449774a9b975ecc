"""Batches for BERT pretraining: pairs of similar length, padded and masked."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from gluonnlp.vocab import BERTVocab

from ...errors import UsageError
from ..batches import LengthBucketBatches
from ..encoding import SPECIAL_TOKENS
from .documents import Documents
from .masking import Masking
from .pairs import SentencePairs, draw_pairs

_ROUND_MASKS_TO = 32


class PretrainingBatch(NamedTuple):
    """One batch as numpy arrays: `n` pairs padded to `length` tokens, and `m` tokens of theirs to predict."""

    input_ids: np.ndarray  #: int32, shape (n, length); masked
    segment_ids: np.ndarray  #: int32, shape (n, length)
    valid_length: np.ndarray  #: float32, shape (n,), as GluonNLP's BERT takes it
    next_sentence_label: np.ndarray  #: int32, shape (n,); 0 where B follows A, 1 where it is of another document
    masked_position: np.ndarray  #: int32, shape (m,); of the tokens to predict, in the flattened ``input_ids``
    masked_id: np.ndarray  #: int32, shape (m,); what they were
    masked_weight: np.ndarray  #: float32, shape (m,); 1, and 0 at the end, where `m` is filled up
    index: np.ndarray  # type: ignore[assignment]  #: int64, shape (n,): which pairs these are; hides tuple.index
    num_pairs: int  #: pairs of the batches of all ranks together
    num_masks: int  #: tokens planned to be masked in the batches of all ranks together
    longest: int  #: tokens of the longest pair of the batches of all ranks together

    def part(self, rows: Union[slice, np.ndarray], round_masks_to: int = _ROUND_MASKS_TO) -> "PretrainingBatch":
        """The same batch restricted to some of its pairs, as a device gets it; of equal length, and so many as a whole.

        Parameters
        ----------
        rows : slice or ndarray of int, shape (k,)
            Which pairs, none of them twice.
        round_masks_to : int, default 32
            As in :class:`PretrainingBatches`.

        Returns
        -------
        PretrainingBatch
        """
        length = self.input_ids.shape[1]
        rows = np.arange(len(self.index))[rows]
        new_row = np.full(len(self.index), -1)
        new_row[rows] = np.arange(len(rows))
        row, column = np.divmod(self.masked_position, length)
        is_mine = (new_row[row] >= 0) & (self.masked_weight > 0)
        position = new_row[row[is_mine]] * length + column[is_mine]
        masks: Dict[str, Any] = _filled_up(position, self.masked_id[is_mine], round_masks_to)
        of_pairs: Any = ("input_ids", "segment_ids", "valid_length", "next_sentence_label", "index")
        return self._replace(**masks, **{name: getattr(self, name)[rows] for name in of_pairs})


class PretrainingBatches:
    """Divides documents into pairs, and the pairs into masked batches of similar length, again for each epoch.

    Every rank sees the same global batches of ``batch_size * num_ranks`` pairs and takes its own share of each, so all
    ranks take the same number of steps. Pairs and batches are a function of (seed, epoch) alone, what is masked in them
    of the number of the batch and the rank, too.

    Parameters
    ----------
    documents : Documents
    vocab : gluonnlp.vocab.BERTVocab
    batch_size : int
        Pairs a rank and step.
    max_len : int
        Longest pair in tokens, special tokens included; at least 5.
    short_seq_prob : float, default 0.1
        As in :func:`~gluonnlp_snli_plugin.data.pretraining.pairs.draw_pairs`.
    mask_ratio, whole_word_mask : float and bool, default 0.15 and False
        As in :class:`~gluonnlp_snli_plugin.data.pretraining.masking.Masking`.
    seed : int, default 0
    rank, num_ranks : int, default 0 and 1
    min_size : int, default 1
        Smallest batch allowed, in pairs a rank (the number of devices); a smaller remainder joins the batch before it.
    round_to, round_masks_to : int, default 8 and 32
        Round the length of a batch, and the number of its masked tokens, up to a multiple of this: few shapes differ.
    fixed : bool, default False
        For evaluation: the pairs and masks of epoch 0 in every epoch, the longest first.

    Raises
    ------
    UsageError
        If a setting is impossible.
    DataError
        If there is only one document.
    """

    def __init__(
        self,
        documents: Documents,
        vocab: BERTVocab,
        batch_size: int,
        max_len: int,
        short_seq_prob: float = 0.1,
        mask_ratio: float = 0.15,
        whole_word_mask: bool = False,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
        min_size: int = 1,
        round_to: int = 8,
        fixed: bool = False,
        round_masks_to: int = _ROUND_MASKS_TO,
    ) -> None:
        if max_len < SPECIAL_TOKENS + 2:
            raise UsageError(f"max_len is {max_len}; a pair needs at least {SPECIAL_TOKENS + 2} tokens")
        if not 0 <= short_seq_prob <= 1:
            raise UsageError(f"short_seq_prob is {short_seq_prob}; a probability is between 0 and 1")
        if not 0 < mask_ratio < 1:
            raise UsageError(f"mask_ratio is {mask_ratio}; it must be between 0 and 1")
        documents.require_two()
        self.documents = documents
        self.max_len = max_len
        self.short_seq_prob = short_seq_prob
        self.seed = seed
        self.fixed = fixed
        self._division: Dict[str, Any] = {
            "batch_size": batch_size, "shuffle": not fixed, "seed": seed, "rank": rank, "num_ranks": num_ranks,
            "min_size": min_size,
        }  # fmt: skip
        self._round_to, self._round_masks_to = round_to, round_masks_to
        self._masking = Masking(vocab, mask_ratio, whole_word_mask)
        self._cls, self._sep, self._padding = vocab[[vocab.cls_token, vocab.sep_token, vocab.padding_token]]
        self._drawn: Optional[Tuple[int, SentencePairs, List[np.ndarray]]] = None  # epoch, pairs, order

    def num_batches(self, epoch: int) -> int:
        """How many batches an epoch has: the same for all ranks, but not in all epochs."""
        return len(self.draw(epoch)[1])

    def num_pairs(self, epoch: int) -> int:
        """How many pairs an epoch has, those of all ranks together."""
        return len(self.draw(epoch)[0])

    def longest(self) -> None:
        """None: batches are of nearly the same length, and the first takes as much memory as any."""

    @property
    def end(self) -> int:
        """Tokens of the longest pair of any epoch, at most."""
        return self.max_len

    def lengths(self) -> np.ndarray:
        """Tokens of the longest pair of each global batch of epoch 0, in order; ndarray of int64, shape (batches,)."""
        pairs, order = self.draw(0)
        return np.array([pairs.valid_length[index].max() for index in order])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[PretrainingBatch]:
        """The batches of an epoch, from batch number `start` on; those before it cost nothing.

        Yields
        ------
        PretrainingBatch
        """
        epoch = 0 if self.fixed else epoch
        pairs, order = self.draw(epoch)
        for number in range(start, len(order)):
            yield self._batch(pairs, order[number], (self.seed, epoch, number, self._division["rank"], 2))

    def draw(self, epoch: int) -> Tuple[SentencePairs, List[np.ndarray]]:
        """The pairs of an epoch, and which of them are in which global batch.

        Returns
        -------
        pairs : SentencePairs
        order : list of ndarray of int64
        """
        epoch = 0 if self.fixed else epoch
        if self._drawn is None or self._drawn[0] != epoch:
            pairs = draw_pairs(self.documents, self.max_len, self.short_seq_prob, self.seed, epoch)
            self._drawn = epoch, pairs, LengthBucketBatches(pairs, **self._division).order(epoch)
        return self._drawn[1:]

    def _batch(self, pairs: SentencePairs, index: np.ndarray, seeds: Sequence[int]) -> PretrainingBatch:
        mine = index[self._division["rank"] :: self._division["num_ranks"]]  # sorted by length: alike for all ranks
        input_ids, segment_ids, valid_length = self._padded(pairs, mine)
        masked_ids, position = self._masking.draw(input_ids, valid_length, np.random.default_rng(seeds))
        return PretrainingBatch(
            input_ids=masked_ids,
            segment_ids=segment_ids,
            valid_length=valid_length.astype(np.float32),
            next_sentence_label=pairs.label[mine],
            index=mine,
            num_pairs=len(index),
            num_masks=int(self._masking.planned(pairs.valid_length[index]).sum()),
            longest=int(pairs.valid_length[index].max()),
            **_filled_up(position, input_ids.reshape(-1)[position], self._round_masks_to),
        )

    def _padded(self, pairs: SentencePairs, index: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs put together of the documents' tokens: input ids, segment ids and lengths."""
        valid_length, len_a = pairs.valid_length[index], pairs.len_a[index]
        position = np.arange(-(-int(valid_length.max()) // self._round_to) * self._round_to)
        is_b = position > len_a[:, None] + 1
        to_a, to_b = pairs.a_start[index] - 1, pairs.b_start[index] - len_a - 2  # from positions to tokens
        token = position + np.where(is_b, to_b[:, None], to_a[:, None])
        input_ids = self.documents.ids.take(token, mode="clip")  # what falls outside is about to be overwritten
        rows = np.arange(len(index))
        input_ids[:, 0] = self._cls
        input_ids[rows, len_a + 1] = self._sep
        input_ids[rows, valid_length - 1] = self._sep
        is_padding = position >= valid_length[:, None]
        input_ids[is_padding] = self._padding
        return input_ids, (is_b & ~is_padding).astype(np.int32), valid_length


def _filled_up(position: np.ndarray, masked_id: np.ndarray, round_to: int) -> Dict[str, np.ndarray]:
    """The fields of a batch that tell what is masked, filled up with zeros to a round number."""
    number = len(position)
    filled = [np.zeros(-(-number // round_to) * round_to, dtype) for dtype in (np.int32, np.int32, np.float32)]
    contents: Tuple[Any, ...] = (position, masked_id, 1)
    for array, values in zip(filled, contents):
        array[:number] = values
    return dict(zip(("masked_position", "masked_id", "masked_weight"), filled))
