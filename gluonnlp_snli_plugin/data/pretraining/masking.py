"""Chooses the tokens of a batch that a masked language model predicts, and replaces them."""

from typing import Tuple

import numpy as np
from gluonnlp.vocab import BERTVocab

from ..encoding import SPECIAL_TOKENS

_SHARE_MASK, _SHARE_RANDOM = 0.8, 0.1  # the rest of the chosen tokens stays as it is


class Masking:
    """Chooses tokens and replaces them, as GluonNLP's ``create_pretraining_data.py`` does, in a whole batch at once.

    Of the chosen tokens 80 % become ``[MASK]``, 10 % a random token that is not special, and 10 % stay.

    Parameters
    ----------
    vocab : gluonnlp.vocab.BERTVocab
    mask_ratio : float, default 0.15
        The share of a pair's tokens, special ones included, that is chosen among those that are not special.
    whole_word : bool, default False
        Choose all pieces of a word together; a word that would be too much is passed over.
    """

    def __init__(self, vocab: BERTVocab, mask_ratio: float = 0.15, whole_word: bool = False) -> None:
        is_special = special_tokens(vocab)
        self._is_frame = is_special.copy()  # what stands around the text, and is never chosen
        self._is_frame[vocab[vocab.unknown_token]] = False
        self._mask_id = vocab[vocab.mask_token]
        self._ordinary = np.flatnonzero(~is_special).astype(np.int32)
        self._is_first_subword = is_first_subword(vocab) if whole_word else None
        self._mask_ratio = mask_ratio

    def planned(self, valid_length: np.ndarray) -> np.ndarray:
        """How many tokens are to be chosen; of whole words it may come out otherwise.

        Parameters
        ----------
        valid_length : ndarray, shape (n,)
            Tokens of each pair, special ones included; at least 4.

        Returns
        -------
        ndarray of int64, shape (n,)
        """
        valid_length = np.asarray(valid_length, np.int64)
        rounded = np.rint(self._mask_ratio * valid_length).astype(np.int64)
        return np.minimum(np.maximum(rounded, 1), valid_length - SPECIAL_TOKENS)

    def draw(
        self, input_ids: np.ndarray, valid_length: np.ndarray, random: np.random.Generator
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Choose tokens and replace them.

        Parameters
        ----------
        input_ids : ndarray of int32, shape (n, length)
            Padded pairs, each with a token that is not special; they are left as they are.
        valid_length : ndarray, shape (n,)
        random : numpy.random.Generator

        Returns
        -------
        masked_ids : ndarray of int32, shape (n, length)
        position : ndarray of int32, shape (m,)
            Of the chosen tokens in the flattened batch, ascending; at least one of each pair.
        """
        candidate = ~self._is_frame[input_ids]
        if self._is_first_subword is None:
            chosen = _choose_tokens(candidate, self.planned(valid_length), random)
        else:
            begins = self._is_first_subword[input_ids]
            chosen = _choose_words(candidate, begins, self.planned(valid_length), random)
        position = np.flatnonzero(chosen)
        masked_ids = input_ids.copy()
        flat = masked_ids.reshape(-1)
        fate = random.random(len(position))
        any_token = self._ordinary[random.integers(0, len(self._ordinary), len(position))]
        replaced = np.where(fate < _SHARE_MASK + _SHARE_RANDOM, any_token, flat[position])
        flat[position] = np.where(fate < _SHARE_MASK, self._mask_id, replaced)
        return masked_ids, position.astype(np.int32)


def _choose_tokens(candidate: np.ndarray, number: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """So many of the candidates of each row, ndarray of bool."""
    order = _random_order(candidate, random)[:, : number.max()]
    row, rank = np.nonzero(np.arange(order.shape[1]) < number[:, None])
    chosen = np.zeros(candidate.shape, bool)
    chosen[row, order[row, rank]] = True
    return chosen & candidate


def _choose_words(
    candidate: np.ndarray, begins: np.ndarray, number: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Whole words of each row with so many candidates or a few less, ndarray of bool.

    Words come in random order, and one that would be too much is passed over. Where every word of a row is, the
    shortest is chosen all the same, as each row needs one.
    """
    # As in GluonNLP, what continues a word belongs to the candidate before it, even across [SEP].
    is_first = np.cumsum(candidate, axis=1) == 1
    word = np.cumsum(candidate & (begins | is_first), axis=1) - 1
    num_rows, num_words = len(word), word.max() + 1
    word += np.arange(num_rows)[:, None] * num_words
    sizes = np.bincount(word[candidate], minlength=num_rows * num_words).reshape(num_rows, num_words)

    order = _random_order(sizes > 0, random)
    sizes = np.take_along_axis(sizes, order, axis=1).T.copy()  # by rank; of 0 tokens where a row has fewer words
    is_chosen = np.zeros(sizes.shape, bool)
    room = number.copy()
    for rank, size in enumerate(sizes):
        np.less_equal(size, room, out=is_chosen[rank])
        room -= size * is_chosen[rank]
        if not room.any():
            break
    empty = np.flatnonzero(room == number)
    shortest = np.where(sizes[:, empty] > 0, sizes[:, empty], candidate.shape[1] + 1).argmin(axis=0)
    is_chosen[shortest, empty] = True

    chosen_words = np.zeros((num_rows, num_words), bool)
    np.put_along_axis(chosen_words, order, is_chosen.T, axis=1)
    return candidate & chosen_words.reshape(-1)[word]


def _random_order(wanted: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The columns of each row in random order, the wanted ones before all others."""
    return np.argsort(np.where(wanted, random.random(wanted.shape), 2.0), axis=1)


def special_tokens(vocab: BERTVocab) -> np.ndarray:
    """Which tokens of a vocabulary are no text: padding, unknown, ``[CLS]`` and the like; ndarray of bool."""
    tokens = [vocab.padding_token, vocab.unknown_token, vocab.cls_token, vocab.sep_token, vocab.mask_token]
    is_special = np.zeros(len(vocab), bool)
    is_special[vocab[[*tokens, *(vocab.reserved_tokens or ())]]] = True
    return is_special


def is_first_subword(vocab: BERTVocab) -> np.ndarray:
    """Which tokens of a vocabulary begin a word; ndarray of bool.

    In one of word pieces those without "##" in front, in one made of a SentencePiece model those with "\u2581".
    """
    continues = np.array([token.startswith("##") for token in vocab.idx_to_token])
    begins = np.array([token.startswith("\u2581") for token in vocab.idx_to_token])
    return begins if begins.sum() > continues.sum() else ~continues
