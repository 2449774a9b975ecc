"""From text to a vocabulary: counts words as BERT tokenizers see them, and trains SentencePiece on them.

Pieces never reach across a word's end, so that the counts are all that SentencePiece has to know of a text, whatever
its size.
"""

import collections
import json
import logging
import re
import subprocess
import sys
from typing import Counter, Iterable, Iterator, Mapping, NoReturn, Tuple

from ..errors import DataError, PluginError, UsageError
from .bert_characters import BertWords
from .tokenizer_settings import TokenizerSettings

MODEL_TYPES = ("unigram", "bpe")
_NO_WORDS = "the text holds no words"
_MOST_PIECES = 1 << 24
_CHARACTERS_AT_ONCE = 1 << 24
_MOST_WORDS = 1 << 19
_MOST_CHARACTERS = 1 << 25  # for which SentencePiece 0.2.3 takes 800 MB
_LONGEST_WORD = 200  # characters; what is longer is an address, or not a word

# In a process of its own, because it ignores Ctrl-C, and some of its errors end the process.
_PROGRAM = """
import sys
sys.path = list(filter(None, sys.path))  # not the current folder
import json
import sentencepiece
sys.stdin.reconfigure(encoding="utf-8")
lines = (line.rstrip("\\n") for line in sys.stdin)
settings = json.loads(sys.argv[1])
sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=sys.stdout.buffer, **settings)
"""
_SETTINGS = {
    "input_format": "tsv",
    "pad_id": 0,
    "pad_piece": "[PAD]",
    "unk_id": 1,
    "unk_piece": "[UNK]",
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],  # take the free ids from 0 on
    "bos_id": -1,
    "eos_id": -1,
    # The threads' sums are added up in their order: the same number of threads gives the same model on any machine.
    "num_threads": 16,
    "minloglevel": 2,
}
_log = logging.getLogger("gluonnlp_snli_plugin")


def count_words(texts: Iterable[str], tokenizer: TokenizerSettings) -> Counter[str]:
    """Count words.

    Words are what ``BertWords`` makes of a text, and what SentencePiece gets. One of more than 200 characters counts
    as several. Where there are more than half a million different words, rare ones are left
    out, as `word2vec <https://github.com/tmikolov/word2vec>`_ does it, so that memory has a bound.

    Parameters
    ----------
    texts : iterable of str
    tokenizer : TokenizerSettings

    Returns
    -------
    Counter of str
    """
    divide = BertWords(tokenizer)
    words: Counter[str] = collections.Counter()
    least = 0
    for parts in _counted_parts(texts):
        for part, count in parts.items():
            for word in divide(part):
                for begin in range(0, len(word), _LONGEST_WORD):
                    words[word[begin : begin + _LONGEST_WORD]] += count
        while len(words) > _MOST_WORDS:
            least += 1
            words = collections.Counter({word: count for word, count in words.items() if count > least})
    if least:
        _log.info("too many different words: some that are rare, up to %d times in the text, are left out", least)
    return words


def _counted_parts(texts: Iterable[str]) -> Iterator[Counter[str]]:
    """Counts of what is between spaces, some millions of characters at a time, so that each is tokenized once."""
    parts: Counter[str] = collections.Counter()
    size = 0
    for text in texts:
        parts.update(text.split(" "))  # no further: BERT has its own definition of white space
        size += len(text)
        if size > _CHARACTERS_AT_ONCE:
            yield parts
            parts, size = collections.Counter(), 0
    yield parts


def train_subwords(words: Mapping[str, int], size: int, model_type: str = "unigram", lower: bool = True) -> bytes:
    """Train a SentencePiece model for a BERT on words.

    Its first pieces are ``[PAD]``, ``[UNK]``, ``[CLS]``, ``[SEP]`` and ``[MASK]``, as ids 0 to 4; no text can make
    the last three. The same words give the same model, byte for byte, with the same release of SentencePiece, on
    however many processors.

    Parameters
    ----------
    words : dict of str to int
        How often each is there, from :func:`count_words`.
    size : int
        Pieces, those five included.
    model_type : {'unigram', 'bpe'}, default 'unigram'
        `Unigram language model <https://arxiv.org/abs/1804.10959>`_ or `byte-pair encoding
        <https://arxiv.org/abs/1508.07909>`_.
    lower : bool, default True
        Whether SentencePiece folds case itself, too, so that no piece has upper case.

    Returns
    -------
    bytes
        What a SentencePiece ``.model`` file holds.

    Raises
    ------
    UsageError
        If the type is unknown, or the words cannot make a vocabulary of this size.
    DataError
        If there are no words.
    PluginError
        If SentencePiece fails.
    """
    if model_type not in MODEL_TYPES:
        raise UsageError(f"no model type {model_type!r}; there are: {', '.join(MODEL_TYPES)}")
    if not 5 < size <= _MOST_PIECES:
        raise UsageError(f"--size is {size}; it must be from 6 to {_MOST_PIECES}")
    if not words:
        raise DataError(_NO_WORDS)
    rule = "nmt_nfkc_cf" if lower else "nmt_nfkc"
    settings = {**_SETTINGS, "vocab_size": size, "model_type": model_type, "normalization_rule_name": rule}
    if model_type == "unigram":
        words = _scaled(words)
    lines = map(_line, sorted(words.items(), key=lambda item: (-item[1], item[0])))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(settings)],
        input="".join(lines).encode("utf-8", "replace"),
        capture_output=True,
    )
    if done.returncode:
        _raise_error(done, size)
    return done.stdout


def _scaled(words: Mapping[str, int]) -> Mapping[str, int]:
    """Counts that are smaller in proportion where the text is large: SentencePiece's memory is for that many words."""
    step = 1 + sum(len(word) * count for word, count in words.items()) // _MOST_CHARACTERS
    scaled = {word: (count + step // 2) // step for word, count in words.items()}
    return {word: count for word, count in scaled.items() if count} or words


def _line(item: Tuple[str, int]) -> str:
    """A word and its count, as SentencePiece reads it.

    What is to become a piece must be followed by different things here and there, says SentencePiece's way of finding
    the first pieces of the unigram model. So a word is written twice in a line: followed by a space, and by the end.
    """
    word, count = item
    once = f"{word}\t1\n" if count % 2 else ""
    return once + (f"{word} {word}\t{count // 2}\n" if count > 1 else "")


def _raise_error(done: "subprocess.CompletedProcess[bytes]", size: int) -> NoReturn:
    """Raise the error that SentencePiece's message means."""
    said = done.stderr.decode(errors="replace")
    too_large = re.search(r"Vocabulary size too high .*<= (\d+)", said)
    if too_large:
        raise UsageError(
            f"--size is {size}: the text makes {too_large[1]} pieces at most; give more text, or a smaller one"
        )
    too_small = re.search(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)", said)
    if too_small:
        raise UsageError(
            f"--size is {size}: characters of the text and special tokens alone take {too_small[1]}; give a larger one"
        )
    if re.search(r"sentences_\.empty|all_chars_count", said):
        raise DataError(_NO_WORDS)
    if done.returncode < 0:
        raise PluginError(f"SentencePiece was ended by signal {-done.returncode}: not enough memory?")
    raise PluginError(f"SentencePiece failed: {said.strip().splitlines()[-1] if said.strip() else 'without a message'}")
