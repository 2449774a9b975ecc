"""How a pair of sentences is laid out in tokens."""

from typing import Any, List, NamedTuple, Tuple

import numpy as np


class PairLayout(NamedTuple):
    """The special tokens around and between the sentences of a pair, and the segments; a backbone family has one.

    Special tokens are named as GluonNLP's vocabularies name them: 'cls_token', 'sep_token'.
    """

    before: Tuple[str, ...]
    between: Tuple[str, ...]
    after: Tuple[str, ...]
    has_segments: bool  #: whether the hypothesis, and what follows it, is segment 1; otherwise all is segment 0

    @property
    def num_special(self) -> int:
        """How many special tokens a pair has."""
        return len(self.before) + len(self.between) + len(self.after)

    def second(self, len_a: Any) -> Any:
        """The position of the hypothesis's first token, for premises of so many tokens (an int or an array)."""
        return len_a + len(self.before) + len(self.between)

    def missing(self, vocab: Any) -> List[str]:
        """The names of the special tokens that a vocabulary does not have."""
        names = dict.fromkeys([*self.before, *self.between, *self.after])
        return [name for name in names if getattr(vocab, name, None) not in vocab.token_to_idx]

    def ids(self, vocab: Any) -> Tuple[List[int], List[int], List[int]]:
        """The ids of the special tokens before, between and after the sentences."""
        before, between, after = ([vocab[getattr(vocab, name)] for name in part] for part in self[:3])
        return before, between, after

    def segment_ids(self, len_a: int, length: int) -> np.ndarray:
        """The segments of a pair of `length` tokens; ndarray of int32, shape (length,)."""
        segments = np.zeros(length, np.int32)
        if self.has_segments:
            segments[self.second(len_a) :] = 1
        return segments

    def special_positions(self, len_a: int, len_b: int) -> List[int]:
        """The positions of the special tokens of a pair."""
        start, second = len(self.before), self.second(len_a)
        end = second + len_b
        return [*range(start), *range(start + len_a, second), *range(end, end + len(self.after))]


#: ``[CLS] premise [SEP] hypothesis [SEP]``
BERT_LAYOUT = PairLayout(("cls_token",), ("sep_token",), ("sep_token",), has_segments=True)
