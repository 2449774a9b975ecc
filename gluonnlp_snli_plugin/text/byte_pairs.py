"""Byte-level byte-pair encoding, as RoBERTa's tokenizer does it: a vocabulary that has its merges, and the tokenizer.

The tokens are those of Hugging Face's package `tokenizers`, which does the encoding.
"""

import importlib
import itertools
import json
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

import gluonnlp as nlp
import numpy as np

from ..errors import UsageError
from .tokenizer_settings import TokenizerSettings
from .word_cache import ID, WordCache

#: What the special tokens are called in most checkpoints, by GluonNLP's names for them.
SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "padding_token": "<pad>",
    "eos_token": "</s>",
    "unknown_token": "<unk>",
    "mask_token": "<mask>",
}
_FIRST = "\0"  # before the first part of a text in the cache, where no space comes before it


class BytePairVocab(nlp.vocab.Vocab):
    """A vocabulary of byte-pair encoding: the tokens, and the merges that make them.

    Its JSON is that of ``gluonnlp.vocab.Vocab``, which reads it too, with the merges as one more entry.

    Parameters
    ----------
    *args, **kwargs
        As ``gluonnlp.vocab.Vocab`` takes them.
    merges : sequence of str
        Pairs of tokens, each with a space between them; the first is done first.

    Attributes
    ----------
    merges : tuple of str
    """

    def __init__(self, *args: Any, merges: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.merges: Tuple[str, ...] = tuple(merges)

    def to_json(self) -> str:
        """The vocabulary as JSON; the same vocabulary gives the same text."""
        return json.dumps({**json.loads(super().to_json()), "merges": self.merges})

    @classmethod
    def from_json(cls, json_str: str) -> "BytePairVocab":
        """The vocabulary that :meth:`to_json` wrote."""
        vocab: BytePairVocab = super().from_json(json_str)
        vocab.merges = tuple(json.loads(json_str)["merges"])
        return vocab


def byte_pair_vocab(
    tokens: Sequence[str], merges: Sequence[str], special_tokens: Optional[Mapping[str, str]] = None
) -> BytePairVocab:
    """A vocabulary of the given tokens, in which token `i` has index `i`.

    Parameters
    ----------
    tokens : sequence of str, each there once
    merges : sequence of str
    special_tokens : dict of str to str, or None
        What ``<s>`` and its kind are called here, by GluonNLP's names for them.
    """
    index = {token: i for i, token in enumerate(tokens)}
    names = {**SPECIAL_TOKENS, **(special_tokens or {})}
    return BytePairVocab(nlp.data.count_tokens(list(index)), token_to_idx=index, merges=merges, **names)


def problem_of_byte_pairs(index: Mapping[str, int], merges: Sequence[Any]) -> Optional[str]:
    """Why tokens and merges do not make a byte-level encoding of any text; None if they do."""
    missing = [character for character in byte_characters() if character not in index]
    if missing:
        return f"its tokens lack {len(missing)} of the 256 bytes, such as {missing[0]!r}: it is not a byte-level BPE"
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else []
        if len(parts) != 2 or not all(parts):
            return f"the merge {str(merge)[:60]!r} is not a pair of tokens"
        for token in (*parts, "".join(parts)):
            if token not in index:
                return f"the merge {merge[:60]!r} is of a token that is missing: {token[:60]!r}"
    return None


def byte_characters() -> List[str]:
    """The characters that stand for the 256 bytes, in the order of the bytes, as in GPT-2."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(0x100)]


class BytePairTokenizer:
    """Gives the tokens that Hugging Face's ``RobertaTokenizerFast`` gives; each distinct word is encoded once.

    Byte-level encoding takes a space together with the word that follows it. Nothing it does looks across a space that
    stands alone between two words, unless one of them holds an added token; so a text may be divided there, and the ids
    of each part remembered. Other texts are encoded whole. Halves of surrogate pairs, which are no text, are left out.

    It can be pickled, and no thread is started: processes may fork afterwards.

    Parameters
    ----------
    vocab : BytePairVocab
    settings : TokenizerSettings
        Of the algorithm 'byte_pairs'.

    Attributes
    ----------
    version : str
        Of the package `tokenizers`.

    Raises
    ------
    UsageError
        If the package `tokenizers` is not installed.
    """

    def __init__(self, vocab: BytePairVocab, settings: TokenizerSettings) -> None:
        self.vocab = vocab
        self.settings = settings
        self._engine = _engine(vocab, settings)
        self.version: str = _package().__version__
        self._added = [token.content for token in settings.added_tokens]
        self._ids_of_part = _IdsOfPart(self._engine)

    @property
    def host(self) -> "BytePairTokenizer":
        """The tokenizer itself, as of a :class:`.CachedTokenizer`."""
        return self

    def __call__(self, text: str) -> List[str]:
        """Tokens of `text`, a list of str, in which ``Ġ`` stands for a space, as ``GPT2BPETokenizer`` gives them."""
        # By their ids: the engine shows an added token with the white space that it took.
        tokens: List[str] = self.vocab.to_tokens(self.ids(text))
        return tokens

    def ids(self, text: str) -> List[int]:
        """Ids of the tokens of `text`, a list of int, without special tokens."""
        return self.ids_of_all([text])[0].tolist()

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
        texts = list(map(_valid, texts))
        together = "".join(texts)
        added = [name for name in self._added if name in together]
        whole = {i: text for i, text in enumerate(texts) if not _is_plain(text) or any(name in text for name in added)}
        plain = [text if i not in whole else "" for i, text in enumerate(texts)]
        ids, lengths = self._ids_of_part.of_all(plain, _FIRST)
        if not whole:
            return ids, lengths
        parts = np.split(ids, np.cumsum(lengths)[:-1])
        for i, text in whole.items():
            parts[i] = np.array(self._engine.encode(text, add_special_tokens=False).ids, ID)
        return np.concatenate(parts), np.fromiter(map(len, parts), np.int64, len(parts))

    def words(self, text: str) -> Iterator[Tuple[str, int]]:
        """Parts of `text` and how many tokens each has; together the parts are the text.

        A part is what byte-pair encoding never merges with what surrounds it, its leading white space apart, or the
        white space between two parts.
        """
        text = _valid(text)
        encoding = self._engine.encode(text, add_special_tokens=False)
        end = 0
        for _, tokens in itertools.groupby(zip(encoding.word_ids, encoding.offsets), lambda token: token[0]):
            spans = [span for _, span in tokens]
            begin, stop = max(end, spans[0][0]), max(span[1] for span in spans)
            begin += len(text[begin:stop]) - len(text[begin:stop].lstrip())
            if begin >= stop:  # white space alone, which has tokens of its own
                begin = end
            if begin > end:
                yield text[end:begin], 0
            yield text[begin:stop], len(spans)
            end = stop
        if end < len(text):
            yield text[end:], 0

    def __reduce__(self) -> Tuple[Any, ...]:  # a copy in another process starts with an empty cache
        return BytePairTokenizer, (self.vocab, self.settings)


def _valid(text: str) -> str:
    """A text without halves of surrogate pairs, of which there are no bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "ignore").decode()
    return text


def _is_plain(text: str) -> bool:
    """Whether all white space in a text is single spaces between words, and it holds no mark of the cache."""
    return " ".join(text.split()) == text and _FIRST not in text


class _IdsOfPart(WordCache):
    """The ids of a word after a space, or after ``_FIRST`` of the first word of a text."""

    def __init__(self, engine: Any) -> None:
        super().__init__()
        self._engine = engine

    def encode(self, word: str) -> List[int]:
        text = word[1:] if word.startswith(_FIRST) else f" {word}"
        ids: List[int] = self._engine.encode(text, add_special_tokens=False).ids
        return ids


def missing_package() -> Optional[str]:
    """What to install before text can be encoded; None if it is there."""
    try:
        _package()
    except UsageError as error:
        return str(error)
    return None


def _package() -> Any:
    """The package `tokenizers`."""
    try:
        return importlib.import_module("tokenizers")
    except ImportError:
        raise UsageError(
            "a byte-level BPE vocabulary needs the package tokenizers: pip install 'gluonnlp-snli-plugin[roberta]'"
        ) from None


def _engine(vocab: BytePairVocab, settings: TokenizerSettings) -> Any:
    """A tokenizer of the package `tokenizers`, without special tokens around a text."""
    tokenizers = _package()
    merges = [(first, second) for first, _, second in (merge.partition(" ") for merge in vocab.merges)]
    engine = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=dict(vocab.token_to_idx), merges=merges))
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=settings.add_prefix_space)
    engine.add_tokens(
        [
            tokenizers.AddedToken(
                token.content,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=token.normalized,
                special=token.special,
            )
            for token in settings.added_tokens
        ]
    )
    return engine
