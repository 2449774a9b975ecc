"""From text to token ids: GluonNLP's own BERT tokenizers, with a memory for words."""

import itertools

import numpy as np
from gluonnlp.data import BERTSPTokenizer, BERTTokenizer

from ..errors import CheckpointError

_ID = np.dtype(np.int32)
_LONGEST_REMEMBERED = 64  # characters; longer "words" are rare and would only fill the memory
_MOST_REMEMBERED = 1 << 20


class CachedTokenizer:
    """Gives exactly what a GluonNLP BERT tokenizer gives, but tokenizes each distinct word once.

    BERT's tokenizers work word by word, and nothing they do (white space, control characters, lower case, accents,
    punctuation, word pieces) looks across a space. So a text may be split at spaces first, and what the host's
    tokenizer makes of each part remembered.

    Parameters
    ----------
    tokenizer : gluonnlp.data.BERTTokenizer or gluonnlp.data.BERTSPTokenizer
        The host's tokenizer; its ``vocab`` gives the ids. One that samples (``num_best``) is asked each time anew.
    fixed : dict of str to list of int, or None
        Ids of words between spaces that the host's tokenizer is not asked about, as WikiText's ``<unk>``; one that
        samples is.
    """

    def __init__(self, tokenizer, fixed=None):
        self._tokenizer = tokenizer
        self.vocab = tokenizer.vocab
        self._is_sampling = getattr(tokenizer, "_num_best", 0) not in (0, 1)
        self._ids_of_word = _IdsOfWord(tokenizer, fixed or {})

    @property
    def host(self):
        """GluonNLP's own tokenizer."""
        return self._tokenizer

    def __call__(self, text):
        """Tokens of `text`, a list of str."""
        return self._tokenizer(text)

    def ids(self, text):
        """Ids of the tokens of `text`, a list of int, without special tokens."""
        if self._is_sampling:
            return self.vocab.to_indices(self._tokenizer(text))
        return np.frombuffer(b"".join(map(self._ids_of_word.__getitem__, text.split(" "))), _ID).tolist()

    def ids_of_all(self, texts):
        """Ids of the tokens of many texts, without special tokens.

        Parameters
        ----------
        texts : list of str, length n

        Returns
        -------
        ids : ndarray of int32
            Those of all texts one after the other; may be read-only.
        lengths : ndarray of int64, shape (n,)
            How many of them are each text's.
        """
        if self._is_sampling or not texts:
            return flat_ids([self.ids(text) for text in texts])
        # Python's own loops, one call for all words: this line is most of what encoding a corpus costs.
        ids = list(map(self._ids_of_word.__getitem__, " ".join(texts).split(" ")))
        ends = np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids)))
        words = np.fromiter(map(str.count, texts, itertools.repeat(" ")), np.int64, len(texts)) + 1
        lengths = np.diff(ends[np.cumsum(words) - 1], prepend=0) // _ID.itemsize
        return np.frombuffer(b"".join(ids), _ID), lengths


def flat_ids(lists):
    """Lists of ids as one array and their lengths, as :meth:`CachedTokenizer.ids_of_all` returns them."""
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.fromiter(itertools.chain.from_iterable(lists), _ID, lengths.sum()), lengths


class _IdsOfWord(dict):
    """The memory: the ids of a word as bytes, of which a long text's can be put together without a Python loop."""

    def __init__(self, tokenizer, fixed):
        super().__init__((word, np.array(ids, _ID).tobytes()) for word, ids in fixed.items())
        self._tokenizer = tokenizer
        self._fixed = fixed

    def __missing__(self, word):
        try:
            tokens = self._tokenizer(word)
        except UnicodeDecodeError:  # of SentencePiece, where its model's table of characters is damaged
            raise CheckpointError(f"{self._tokenizer._path} is damaged: it makes text that is no UTF-8") from None
        ids = np.array(self._tokenizer.vocab.to_indices(tokens), _ID).tobytes()
        if len(word) <= _LONGEST_REMEMBERED and len(self) < _MOST_REMEMBERED:
            self[word] = ids
        return ids

    def __reduce__(self):  # a copy in another process starts afresh: its words are quickly found again
        return _IdsOfWord, (self._tokenizer, self._fixed)


def bert_tokenizer(vocab, lower, sentencepiece=None):
    """The tokenizer that belongs to a BERT vocabulary.

    Parameters
    ----------
    vocab : gluonnlp.vocab.BERTVocab
    lower : bool
        Whether the vocabulary is an "uncased" one: lower-case the text and strip accents.
    sentencepiece : str or None
        Path of the SentencePiece model the vocabulary was made from; None for a WordPiece vocabulary.

    Returns
    -------
    CachedTokenizer
    """
    if sentencepiece is None:
        return CachedTokenizer(BERTTokenizer(vocab, lower=lower))
    return CachedTokenizer(BERTSPTokenizer(str(sentencepiece), vocab, lower=lower))
