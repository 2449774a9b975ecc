"""Documents as token ids: flat arrays, one number a token."""

import functools
import hashlib
from typing import Any, Iterable, Tuple

import numpy as np

from ...errors import DataError, UsageError
from ...text.tokenizers import CachedTokenizer
from ..encoding import SPECIAL_TOKENS
from .corpus import read_parts

_UNKNOWN_WORD = "<unk>"  # WikiText's own


class Documents:
    """Documents, their sentences and their tokens.

    Parameters
    ----------
    ids : ndarray of int32, shape (tokens,)
        All tokens one after the other, without special ones.
    sentences : ndarray of int64, shape (num_sentences + 1,)
        Sentence `i` is ``ids[sentences[i]:sentences[i + 1]]``; none is empty.
    documents : ndarray of int64, shape (num_documents + 1,)
        Document `i` has the sentences ``documents[i]`` up to ``documents[i + 1]``; none is empty.
    """

    def __init__(self, ids: np.ndarray, sentences: np.ndarray, documents: np.ndarray) -> None:
        self.ids = ids
        self.sentences = sentences
        self.documents = documents

    def __len__(self) -> int:
        return len(self.documents) - 1

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    @property
    def num_sentences(self) -> int:
        return len(self.sentences) - 1

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the arrays, as hexadecimal digits."""
        result = hashlib.sha256()
        for array in (self.ids, self.sentences, self.documents):
            result.update(b"%d:" % len(array))
            result.update(np.ascontiguousarray(array).data)
        return result.hexdigest()

    def split(self, held_out_ratio: float, seed: int) -> Tuple["Documents", "Documents"]:
        """Divide at random into documents to train on and documents that are held out.

        Parameters
        ----------
        held_out_ratio : float
            The share of the documents to hold out, between 0 and 1; at least two are, and at least two are not.
        seed : int

        Returns
        -------
        train, held_out : Documents
            Both in the order of this.

        Raises
        ------
        UsageError
            If the ratio is not between 0 and 1.
        DataError
            If there are fewer than four documents.
        """
        if not 0 < held_out_ratio < 1:
            raise UsageError(f"the held-out ratio is {held_out_ratio}; it must be between 0 and 1")
        self._require(4, "to hold some out")
        num_held_out = min(max(round(held_out_ratio * len(self)), 2), len(self) - 2)
        is_held_out = np.zeros(len(self), bool)
        is_held_out[np.random.default_rng((seed, 0, 3)).permutation(len(self))[:num_held_out]] = True
        return self._where(~is_held_out), self._where(is_held_out)

    def require_two(self) -> None:
        """Complain if there are fewer than two documents.

        Raises
        ------
        DataError
        """
        self._require(2, "a next sentence of another document")

    def _require(self, number: int, what: str) -> None:
        if len(self) < number:
            have = "1 document" if len(self) == 1 else f"{len(self)} documents"
            raise DataError(
                f"the corpus has {have}, and {what} takes {number}: a document ends at an empty line, in WikiText "
                "before a title, and at the end of each file"
            )

    def _where(self, is_wanted: np.ndarray) -> "Documents":
        num_sentences, num_tokens = np.diff(self.documents), np.diff(self.sentences)
        of_sentences = np.repeat(is_wanted, num_sentences)
        ids = self.ids[np.repeat(of_sentences, num_tokens)]
        return Documents(ids, _offsets(num_tokens[of_sentences]), _offsets(num_sentences[is_wanted]))


def encode_documents(
    paths: Iterable[Any], tokenizer: Any, vocab: Any, max_len: int, corpus_format: str = "auto"
) -> Documents:
    """Read and encode documents; the texts of only some thousand sentences are held at a time.

    Sentences without a token are left out. One that leaves no room for another is cut into several; none of it is lost.

    Parameters
    ----------
    paths : iterable of str or Path
    tokenizer : CachedTokenizer, gluonnlp.data.BERTTokenizer or gluonnlp.data.BERTSPTokenizer
    vocab : gluonnlp.vocab.BERTVocab
    max_len : int
        Longest input in tokens, special tokens included; at least 5.
    corpus_format : str, default 'auto'
        As in :func:`~gluonnlp_snli_plugin.data.pretraining.corpus.read_documents`.

    Returns
    -------
    Documents

    Raises
    ------
    UsageError
        If there is no such format, or `max_len` leaves no room for a pair.
    DataError
        If a file cannot be used, or the files have no tokens.
    """
    longest = max_len - SPECIAL_TOKENS
    if longest < 2:
        raise UsageError(f"max_len is {max_len}; a pair needs at least {SPECIAL_TOKENS + 2} tokens")
    unknown = {_UNKNOWN_WORD: [vocab[vocab.unknown_token]]}
    tokenizer = CachedTokenizer(getattr(tokenizer, "host", tokenizer), unknown)
    columns = bytearray(), bytearray(), bytearray()  # which grow in place, as arrays do not
    for texts in read_parts(paths, corpus_format):
        ids, lengths = tokenizer.ids_of_all(texts)
        is_end = np.fromiter(map(len, texts), np.int64, len(texts)) == 0
        lengths, is_end = _pieces(lengths, is_end, longest)
        for column, more in zip(columns, (ids, lengths, is_end)):
            column += more.data
    ids = np.frombuffer(columns[0], np.int32)
    lengths, is_end = np.frombuffer(columns[1], np.int64), np.frombuffer(columns[2], np.bool_)
    if not len(ids):
        raise DataError("the corpus has no token: its text is nothing that the vocabulary's tokenizer keeps")
    is_sentence = lengths > 0
    ends = np.cumsum(is_sentence)[is_end]  # sentences up to each end of a document
    return Documents(ids, _offsets(lengths[is_sentence]), np.unique(np.append(0, ends)))


def _pieces(lengths: np.ndarray, is_end: np.ndarray, longest: int) -> Tuple[np.ndarray, np.ndarray]:
    """The same ids in pieces that are not too long: the lengths of those, and which of them end a document."""
    if lengths.max(initial=0) <= longest:
        return lengths, is_end
    number = np.maximum(-(-lengths // longest), 1)
    last = np.cumsum(number) - 1
    pieces = np.full(number.sum(), longest)
    pieces[last] = lengths - (number - 1) * longest
    return pieces, np.repeat(is_end, number)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.append(0, np.cumsum(lengths, dtype=np.int64))
