"""From text to token ids: Hugging Face's tokenizers or GluonNLP's, with a cache of words."""

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Pattern, Sequence, Tuple, Union

import numpy as np
from gluonnlp.data import BERTSPTokenizer, BERTTokenizer
from gluonnlp.vocab import BERTVocab, Vocab

from ..errors import CheckpointError
from .bert_characters import BertWords
from .byte_pairs import BytePairTokenizer, BytePairVocab
from .tokenizer_settings import TokenizerSettings
from .word_cache import ID, WordCache, as_bytes, flat_ids

_WORDS = re.compile(r"[^\W_]+|[\W_]")


class CachedTokenizer:
    """Gives exactly what a BERT tokenizer gives, but tokenizes each distinct word once.

    BERT's tokenizers work word by word, and nothing they do (white space, control characters, lower case, accents,
    punctuation, word pieces) looks across a space. So a text may be split at spaces first, and what the tokenizer
    makes of each part remembered.

    Parameters
    ----------
    tokenizer : HuggingFaceBERTTokenizer, gluonnlp.data.BERTTokenizer or gluonnlp.data.BERTSPTokenizer
        Its ``vocab`` gives the ids. One that samples (``num_best``), or knows tokens with a space in them, gets each
        text whole, every time.
    fixed : dict of str to list of int, or None
        Ids of words between spaces that the tokenizer is not asked about, as WikiText's ``<unk>``; one that gets
        texts whole is.
    """

    def __init__(self, tokenizer: Any, fixed: Optional[Mapping[str, Sequence[int]]] = None) -> None:
        self._tokenizer = tokenizer
        self.vocab = tokenizer.vocab
        is_sampling = getattr(tokenizer, "_num_best", 0) not in (0, 1)
        self._takes_whole_texts = is_sampling or getattr(tokenizer, "looks_across_spaces", False)
        self._ids_of_word = _IdsOfWord(tokenizer, fixed or {})

    @property
    def host(self) -> Any:
        """The tokenizer itself."""
        return self._tokenizer

    def __call__(self, text: str) -> List[str]:
        """Tokens of `text`, a list of str."""
        return self._tokenizer(text)

    def ids(self, text: str) -> List[int]:
        """Ids of the tokens of `text`, a list of int, without special tokens."""
        if self._takes_whole_texts:
            return self.vocab.to_indices(self._tokenizer(text))
        return np.frombuffer(b"".join(map(self._ids_of_word.__getitem__, text.split(" "))), ID).tolist()

    def ids_of_all(self, texts: Sequence[str]) -> Tuple[np.ndarray, np.ndarray]:
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
        if self._takes_whole_texts:
            return flat_ids([self.ids(text) for text in texts])
        return self._ids_of_word.of_all(texts)

    def words(self, text: str) -> Iterator[Tuple[str, int]]:
        """Words, punctuation marks and spaces of `text`, and how many tokens each has; together they are the text.

        They are divided only where that does not change the tokens.
        """
        for i, word in enumerate(text.split(" ")):
            if i:
                yield " ", 0
            pieces = [(piece, len(self.ids(piece))) for piece in _WORDS.findall(word)]
            ids = [id_ for piece, _ in pieces for id_ in self.ids(piece)]
            if len(pieces) > 1 and ids != self.ids(word):
                pieces = [(word, len(self.ids(word)))]
            yield from pieces


class _IdsOfWord(WordCache):
    """The ids of words between spaces."""

    def __init__(self, tokenizer: Any, fixed: Mapping[str, Sequence[int]]) -> None:
        super().__init__((word, as_bytes(ids)) for word, ids in fixed.items())
        self._tokenizer = tokenizer
        self._fixed = fixed

    def encode(self, word: str) -> List[int]:
        try:
            tokens = self._tokenizer(word)
        except UnicodeDecodeError:  # of SentencePiece, where its model's table of characters is damaged
            raise CheckpointError(
                f"{self._tokenizer._path} is damaged: it makes text that is not valid UTF-8"
            ) from None
        return self._tokenizer.vocab.to_indices(tokens)

    def __reduce__(self) -> Tuple[Any, ...]:  # a copy in another process starts empty
        return _IdsOfWord, (self._tokenizer, self._fixed)


class HuggingFaceBERTTokenizer(BERTTokenizer):
    """Gives the tokens that Hugging Face's ``BertTokenizerFast`` gives, with the interface of GluonNLP's class.

    Parameters
    ----------
    vocab : gluonnlp.vocab.BERTVocab
    settings : TokenizerSettings
        Of the algorithm 'bert'.

    Attributes
    ----------
    settings : TokenizerSettings
    looks_across_spaces : bool
        Whether the tokens of a text are not those of its parts between spaces.
    """

    def __init__(self, vocab: BERTVocab, settings: TokenizerSettings) -> None:
        super().__init__(vocab, settings.lower, settings.longest_word)
        self.settings = settings
        self.basic_tokenizer = BertWords(settings)
        self.wordpiece_tokenizer.vocab = dict(vocab.token_to_idx)  # looked up without a call
        as_it_is = {token.content: token.content for token in settings.added_tokens if not token.normalized}
        normalized: Dict[str, str] = {}
        for token in settings.added_tokens:
            if token.normalized:
                normalized.setdefault(self.basic_tokenizer.normalized(token.content), token.content)
        normalized.pop("", None)
        self._as_it_is, self._normalized = as_it_is, normalized
        self._find_as_it_is, self._find_normalized = _finder(as_it_is), _finder(normalized)
        self.looks_across_spaces = any(name.split() != [name] for name in (*as_it_is, *normalized))

    def _tokenizer(self, text: str) -> List[str]:
        tokens: List[str] = []
        for part, token in _divided(text, self._find_as_it_is, self._as_it_is):
            tokens += self._of_part(part) if token is None else [token]
        return tokens

    def _of_part(self, text: str) -> List[str]:
        """Tokens of a text that holds none of those looked for in it as it is."""
        if self._find_normalized is None:
            return self._pieces(self.basic_tokenizer(text))
        tokens: List[str] = []
        normalized = self.basic_tokenizer.normalized(text)
        for part, token in _divided(normalized, self._find_normalized, self._normalized):
            tokens += self._pieces(self.basic_tokenizer.spaced(part).split()) if token is None else [token]
        return tokens

    def _pieces(self, words: List[str]) -> List[str]:
        return [piece for word in words for piece in self.wordpiece_tokenizer.tokenize(word)]


def _finder(names: Dict[str, str]) -> Optional[Pattern[str]]:
    """A pattern that finds the longest of the names at each place."""
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True)))) if names else None


def _divided(text: str, pattern: Optional[Pattern[str]], names: Dict[str, str]) -> Iterator[Tuple[str, Optional[str]]]:
    """Parts of a text, each with the added token that it is, or None."""
    begin = 0
    for match in pattern.finditer(text) if pattern else ():
        yield text[begin : match.start()], None
        yield match[0], names[match[0]]
        begin = match.end()
    yield text[begin:], None


def bert_tokenizer(
    vocab: Vocab, settings: TokenizerSettings, sentencepiece: Union[str, Path, None] = None
) -> Union[CachedTokenizer, BytePairTokenizer]:
    """The tokenizer that belongs to a vocabulary.

    Parameters
    ----------
    vocab : gluonnlp.vocab.BERTVocab or BytePairVocab
    settings : TokenizerSettings
    sentencepiece : str, Path or None
        The SentencePiece model that the vocabulary was made from; None for any other vocabulary.

    Returns
    -------
    CachedTokenizer or BytePairTokenizer

    Raises
    ------
    CheckpointError
        If the settings are those of another kind of vocabulary.
    """
    if (settings.algorithm == "byte_pairs") != isinstance(vocab, BytePairVocab):
        raise CheckpointError(f"the settings of a tokenizer {settings.algorithm!r} do not go with the vocabulary")
    if settings.algorithm == "byte_pairs":
        return BytePairTokenizer(vocab, settings)
    if sentencepiece is not None:
        tokenizer = BERTSPTokenizer(str(sentencepiece), vocab, lower=settings.lower)
        if settings.algorithm == "bert":
            tokenizer.basic_tokenizer = BertWords(settings)
        return CachedTokenizer(tokenizer)
    if settings.algorithm == "bert":
        return CachedTokenizer(HuggingFaceBERTTokenizer(vocab, settings))
    return CachedTokenizer(BERTTokenizer(vocab, lower=settings.lower))
