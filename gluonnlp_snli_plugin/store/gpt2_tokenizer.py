"""``nlp.data.GPT2BPETokenizer()`` with the merges of a vocabulary of the store.

GluonNLP's class, which its fine-tuning script uses for RoBERTas, takes no vocabulary: it downloads GPT-2's merges, from
a host that is gone. Here it uses those of the byte-level BPE that ``get_model`` gave last in this process.
"""

import functools
from typing import Any, Callable, List, Optional, Tuple

from gluonnlp.vocab import BERTVocab, Vocab

from .. import registry
from ..text.byte_pairs import BytePairTokenizer, BytePairVocab
from ..text.tokenizer_settings import TokenizerSettings
from .index import Vocabulary

_latest: Optional[Tuple[BytePairVocab, TokenizerSettings]] = None


def remember(vocab: Vocab, vocabulary: Optional[Vocabulary]) -> None:
    """Use a vocabulary from now on if it is one of byte-level BPE, and none if it is one of GluonNLP's own.

    Parameters
    ----------
    vocab : gluonnlp.vocab.Vocab
        What ``get_model`` returns.
    vocabulary : Vocabulary or None
        Its entry in the store.
    """
    global _latest
    if isinstance(vocab, BytePairVocab):
        _latest = vocab, vocabulary.tokenizer if vocabulary else TokenizerSettings.of(vocab, lower=False)
    elif not isinstance(vocab, BERTVocab):
        _latest = None


@registry.replacement("gluonnlp.data.transforms", "GPT2BPETokenizer.__init__")
def _init(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        self._byte_pairs = None if _latest is None else BytePairTokenizer(*_latest)
        if self._byte_pairs is None:
            original(self, *args, **kwargs)

    return __init__


@registry.replacement("gluonnlp.data.transforms", "GPT2BPETokenizer.__call__")
def _call(original: Callable[..., List[str]]) -> Callable[..., List[str]]:
    @functools.wraps(original)
    def __call__(self: Any, sample: str) -> List[str]:
        tokenizer = getattr(self, "_byte_pairs", None)
        return original(self, sample) if tokenizer is None else tokenizer(sample)

    return __call__
