"""A vocabulary and documents of which a test can tell every token."""

import numpy as np
import pytest

from gluonnlp_snli_plugin.data.pretraining.documents import Documents
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="session")
def vocab():
    """Letters that begin a word and letters that continue one, 57 tokens; the special ones are not the first."""
    pieces = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return wordpiece_vocab([*pieces[:20], "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces[20:]])


@pytest.fixture(scope="session")
def documents_of():
    """Makes documents of the lengths of their sentences; token `i` has the id `i`, or one of the given ones."""

    def make(*lengths, ids=None):
        sentences = np.cumsum([0, *(length for document in lengths for length in document)])
        documents = np.cumsum([0, *map(len, lengths)])
        ids = np.arange(sentences[-1]) if ids is None else np.resize(ids, sentences[-1])
        return Documents(ids.astype(np.int32), sentences.astype(np.int64), documents.astype(np.int64))

    return make


@pytest.fixture(scope="session")
def random_documents(documents_of):
    """Makes documents of random lengths, or of random ordinary tokens of a vocabulary, too."""

    def make(number=30, most_sentences=40, longest=12, seed=0, ids=None):
        random = np.random.default_rng(seed)
        lengths = [random.integers(1, longest + 1, random.integers(1, most_sentences + 1)) for _ in range(number)]
        return documents_of(*lengths, ids=None if ids is None else random.choice(ids, 100_003))

    return make
