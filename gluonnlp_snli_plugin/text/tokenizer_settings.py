"""What a tokenizer does with text: it travels with the vocabulary through store, runs and model folders."""

import dataclasses
from typing import Any, Dict, Iterable, Tuple

from gluonnlp.vocab import Vocab

ALGORITHMS = ("bert", "gluonnlp", "byte_pairs")
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
    lstrip, rstrip : bool
        Whether it takes the white space before it, or after it. BERT's tokenizers drop white space anyway.
    """

    content: str
    normalized: bool = False
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """What a tokenizer does with text, besides looking pieces up in a vocabulary.

    Attributes
    ----------
    algorithm : {'bert', 'gluonnlp', 'byte_pairs'}
        'bert': Hugging Face's ``BertTokenizerFast``. 'gluonnlp': GluonNLP's ``BERTTokenizer``, which knows `lower`
        alone and strips accents of cased text too. 'byte_pairs': Hugging Face's ``RobertaTokenizerFast``, which knows
        `added_tokens` and `add_prefix_space` alone.
    lower : bool
        Whether text is lower-cased.
    strip_accents : bool
        Whether letters lose their accents (and syllables of Hangul become single letters).
    chinese_characters : bool
        Whether each Chinese character is a word.
    longest_word : int
        Characters of the longest word that is looked up; what is longer is unknown.
    added_tokens : tuple of AddedToken
    add_prefix_space : bool
        Whether the first word of a text is encoded as those after a space are.
    """

    algorithm: str
    lower: bool
    strip_accents: bool
    chinese_characters: bool = True
    longest_word: int = 100
    added_tokens: Tuple[AddedToken, ...] = ()
    add_prefix_space: bool = False

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
    def byte_pairs(cls, added_tokens: Iterable[AddedToken] = (), add_prefix_space: bool = False) -> "TokenizerSettings":
        """Hugging Face's ``RobertaTokenizerFast``."""
        return cls(
            "byte_pairs",
            lower=False,
            strip_accents=False,
            chinese_characters=False,
            added_tokens=tuple(added_tokens),
            add_prefix_space=add_prefix_space,
        )

    @classmethod
    def of(cls, vocab: Vocab, lower: bool, is_spiece: bool = False) -> "TokenizerSettings":
        """What Hugging Face's tokenizers do by default for a vocabulary.

        Parameters
        ----------
        vocab : gluonnlp.vocab.Vocab
        lower : bool
            Whether text is lower-cased; byte-level BPE never does it.
        is_spiece : bool
            Whether the vocabulary was made from a SentencePiece model.
        """
        if hasattr(vocab, "merges"):
            return cls.byte_pairs(
                AddedToken(token, normalized=token != vocab.mask_token, lstrip=token == vocab.mask_token)
                for token in special_tokens(vocab)
            )
        return cls.bert(lower, () if is_spiece else special_tokens(vocab))

    @classmethod
    def from_json(cls, content: Dict[str, Any]) -> "TokenizerSettings":
        """From what ``dataclasses.asdict`` made of one; a TypeError, KeyError or ValueError if it is damaged."""
        added = tuple(AddedToken(**token) for token in content["added_tokens"])
        settings = cls(**{**content, "added_tokens": added})
        flags = [settings.lower, settings.strip_accents, settings.chinese_characters, settings.add_prefix_space]
        flags += [flag for token in added for flag in (token.normalized, token.special, token.lstrip, token.rstrip)]
        defaults = {
            "bert": dataclasses.replace(settings, add_prefix_space=False),
            "gluonnlp": cls.gluonnlp(settings.lower),
            "byte_pairs": cls.byte_pairs(added, settings.add_prefix_space),
        }
        is_sound = (
            settings.algorithm in ALGORITHMS
            and settings == defaults[settings.algorithm]
            and all(type(flag) is bool for flag in flags)
            and type(settings.longest_word) is int
            and 0 < settings.longest_word < 1 << 31
            and len(added) < _MOST_ADDED
            and all(isinstance(token.content, str) and token.content for token in added)
        )
        if not is_sound:
            raise ValueError("there are no such settings of a tokenizer")
        "".join(token.content for token in added).encode()  # a UnicodeEncodeError is a ValueError
        return settings


def special_tokens(vocab: Vocab) -> Tuple[str, ...]:
    """A vocabulary's tokens for padding, unknown pieces, begin, end and masks, whatever they are called."""
    pair = ("bos_token", "eos_token") if hasattr(vocab, "merges") else ("cls_token", "sep_token")
    return tuple(getattr(vocab, name) for name in ("padding_token", "unknown_token", *pair, "mask_token"))
