"""What a BERT tokenizer does with text: it travels with the vocabulary through store, runs and model folders."""

import dataclasses
from typing import Any, Dict, Iterable, Tuple

from gluonnlp.vocab import BERTVocab

ALGORITHMS = ("bert", "gluonnlp")
_MOST_ADDED = 1 << 16


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that is looked for in the text before it is divided into words.

    Attributes
    ----------
    content : str
    normalized : bool
        Whether it is looked for in the normalized text, itself normalized, rather than in the text as it is.
    special : bool
        Whether it is one such as ``[SEP]``; only exports tell the difference.
    """

    content: str
    normalized: bool = False
    special: bool = True


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """What a BERT tokenizer does with text, besides looking pieces up in a vocabulary.

    Attributes
    ----------
    algorithm : {'bert', 'gluonnlp'}
        'bert': Hugging Face's ``BertTokenizerFast``. 'gluonnlp': GluonNLP's ``BERTTokenizer``, which knows `lower`
        alone and strips accents of cased text too.
    lower : bool
        Whether text is lower-cased.
    strip_accents : bool
        Whether letters lose their accents (and syllables of Hangul become single letters).
    chinese_characters : bool
        Whether each Chinese character is a word.
    longest_word : int
        Characters of the longest word that is looked up; what is longer is unknown.
    added_tokens : tuple of AddedToken
    """

    algorithm: str
    lower: bool
    strip_accents: bool
    chinese_characters: bool = True
    longest_word: int = 100
    added_tokens: Tuple[AddedToken, ...] = ()

    @classmethod
    def gluonnlp(cls, lower: bool) -> "TokenizerSettings":
        """GluonNLP's own tokenizer."""
        return cls("gluonnlp", lower, strip_accents=True, longest_word=200)

    @classmethod
    def bert(cls, lower: bool, special_tokens: Iterable[str] = ()) -> "TokenizerSettings":
        """Hugging Face's ``BertTokenizerFast`` as it is by default.

        Parameters
        ----------
        lower : bool
        special_tokens : iterable of str
            That stand for themselves where a text holds them; see :func:`special_tokens`.
        """
        return cls("bert", lower, strip_accents=lower, added_tokens=tuple(map(AddedToken, special_tokens)))

    @classmethod
    def from_json(cls, content: Dict[str, Any]) -> "TokenizerSettings":
        """From what ``dataclasses.asdict`` made of one; a TypeError, KeyError or ValueError if it is damaged."""
        added = tuple(AddedToken(**token) for token in content["added_tokens"])
        settings = cls(**{**content, "added_tokens": added})
        flags = [settings.lower, settings.strip_accents, settings.chinese_characters]
        flags += [flag for token in added for flag in (token.normalized, token.special)]
        is_sound = (
            settings.algorithm in ALGORITHMS
            and all(type(flag) is bool for flag in flags)
            and type(settings.longest_word) is int
            and 0 < settings.longest_word < 1 << 31
            and len(added) < _MOST_ADDED
            and all(isinstance(token.content, str) and token.content for token in added)
            and (settings.algorithm == "bert" or settings == cls.gluonnlp(settings.lower))
        )
        if not is_sound:
            raise ValueError("there are no such settings of a tokenizer")
        "".join(token.content for token in added).encode()  # a UnicodeEncodeError is a ValueError
        return settings


def special_tokens(vocab: BERTVocab) -> Tuple[str, ...]:
    """A vocabulary's ``[PAD]``, ``[UNK]``, ``[CLS]``, ``[SEP]`` and ``[MASK]``, whatever they are called."""
    return (vocab.padding_token, vocab.unknown_token, vocab.cls_token, vocab.sep_token, vocab.mask_token)
