"""Trains a vocabulary on text and keeps it in the local model store."""

import itertools
import os
import tempfile
from typing import Optional, Sequence, Union

from ..data.pretraining.corpus import read_parts
from ..system.files import digest
from ..system.temporary import temporary_folder
from ..text.subwords import count_words, train_subwords
from ..text.tokenizer_settings import TokenizerSettings
from ..text.vocabulary import read_sentencepieces
from .index import Vocabulary, store_root
from .writing import add_vocabulary, require_free_vocabulary, require_name, writing


def train_vocabulary(
    corpus: Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]"]]],
    name: str,
    size: int = 8000,
    model_type: str = "unigram",
    corpus_format: str = "auto",
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
    overwrite: bool = False,
) -> Vocabulary:
    """Train a vocabulary for a BERT on text, with SentencePiece, and put it into the local model store.

    From then on ``dataset_name=name`` means it wherever GluonNLP takes a vocabulary by name. It is made for words as
    Hugging Face's BERT tokenizers find them, which of a cased vocabulary keep their accents. The whole text counts, but
    what is in memory is its different words, half a million at most. The same text gives the same vocabulary, byte for
    byte, on however many processors; the order of the files matters only where there are more words than that.

    Parameters
    ----------
    corpus : str, Path or sequence of them
        Text files, UTF-8.
    name : str
        Name to give it, ending in ``_cased`` or ``_uncased``; for an uncased one, text is lower-cased and stripped of
        accents.
    size : int, default 8000
        Pieces, among them ``[PAD]``, ``[UNK]``, ``[CLS]``, ``[SEP]`` and ``[MASK]``, which are ids 0 to 4.
    model_type : {'unigram', 'bpe'}, default 'unigram'
    corpus_format : {'auto', 'lines', 'wikitext', 'text', 'jsonl'}, default 'auto'
        As :func:`~gluonnlp_snli_plugin.data.pretraining.corpus.read_documents` takes it.
    root : str or None
        Folder of the store, default ``$MXNET_HOME/models``.
    overwrite : bool, default False
        Whether another vocabulary under the same name may be replaced, if no weights go with it.

    Returns
    -------
    Vocabulary

    Raises
    ------
    UsageError
        If the name cannot be used, or the text does not make a vocabulary of that size.
    DataError
        If a file cannot be read, is not UTF-8 or holds no text.
    CheckpointError
        If the store cannot be written.

    Examples
    --------
    >>> train_vocabulary(['wiki.train.tokens'], 'wiki_uncased', size=16000)
    """
    corpus = [corpus] if isinstance(corpus, (str, os.PathLike)) else list(corpus)
    require_name(name)
    require_free_vocabulary(name, root, overwrite)
    root = store_root(root)
    with writing(root):
        tempfile.TemporaryFile(dir=root).close()  # fail before training, not after it
    tokenizer = TokenizerSettings.bert(lower=name.endswith("_uncased"))
    words = count_words(itertools.chain.from_iterable(read_parts(corpus, corpus_format)), tokenizer)
    model = train_subwords(words, size, model_type, tokenizer.lower)
    with writing(root), temporary_folder(root) as workspace:
        file = workspace / "spiece.model"
        file.write_bytes(model)
        _, special_tokens = read_sentencepieces(file)
        source = ", ".join(map(str, corpus))
        vocabulary = Vocabulary(name, digest(file, "sha1"), ".spiece", special_tokens, source, tokenizer)
        add_vocabulary(vocabulary, file, root, overwrite)
    return vocabulary
