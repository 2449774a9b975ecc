"""From text to token ids: GluonNLP's own BERT tokenizers, with a memory for words."""

from gluonnlp.data import BERTSPTokenizer, BERTTokenizer

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
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.vocab = tokenizer.vocab
        self._ids_of_word = {}
        self._is_sampling = getattr(tokenizer, "_num_best", 0) not in (0, 1)

    def __call__(self, text):
        """Tokens of `text`, a list of str."""
        return self._tokenizer(text)

    def ids(self, text):
        """Ids of the tokens of `text`, a list of int, without special tokens."""
        if self._is_sampling:
            return self.vocab.to_indices(self._tokenizer(text))
        remembered = self._ids_of_word
        ids = []
        for word in text.split(" "):
            word_ids = remembered.get(word)
            if word_ids is None:
                word_ids = self.vocab.to_indices(self._tokenizer(word))
                if len(word) <= _LONGEST_REMEMBERED and len(remembered) < _MOST_REMEMBERED:
                    remembered[word] = word_ids
            ids += word_ids
        return ids


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
