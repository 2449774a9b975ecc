"""How fast text becomes batches for pretraining: tokens a second into ids, and batches a second of those.

    python scripts/benchmark/pretraining_data.py --corpus wiki.train.tokens --vocab my_vocab_uncased

Everything is measured in one process, which stands for the one that trains; batches are made of the same documents with
either kind of mask. Prints tables and puts them into a page.
"""

import argparse
import itertools
import statistics
import sys
import time

from lib import machine
from lib.report import measure_into_page, require_at_least, spread, table

from gluonnlp_snli_plugin.data.pretraining.batches import PretrainingBatches
from gluonnlp_snli_plugin.data.pretraining.corpus import CORPUS_FORMATS
from gluonnlp_snli_plugin.data.pretraining.documents import encode_documents
from gluonnlp_snli_plugin.store import find_vocabulary
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import is_sentencepiece, read_vocabulary


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", nargs="+", required=True, metavar="F", help="text files")
    parser.add_argument("--corpus-format", choices=CORPUS_FORMATS, default="auto", help="(%(default)s)")
    parser.add_argument("--vocab", required=True, metavar="NAME|FILE", help="a vocabulary of the store, or a file")
    parser.add_argument("--cased", action="store_true", help="keep the case; a NAME that ends in _cased says so itself")
    parser.add_argument("--max-len", type=int, default=128, help="longest pair in tokens (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs a batch (%(default)s)")
    parser.add_argument("--batches", type=int, default=500, help="the most that are made at a time (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each (%(default)s)")
    parser.add_argument("--output", default="docs/pretraining.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "batch_size", "batches", "repeat")
    return measure_into_page(parser, options.output, "pretraining data", lambda _: measure(options))


def measure(options):
    """The results for people, Markdown."""
    file = find_vocabulary(options.vocab)
    vocab, _ = read_vocabulary(file)
    lower = not (options.cased or options.vocab.endswith("_cased"))

    def encode():  # a new tokenizer each time: nothing is remembered
        tokenizer = bert_tokenizer(vocab, TokenizerSettings.bert(lower), file if is_sentencepiece(file) else None)
        return encode_documents(options.corpus, tokenizer, vocab, options.max_len, options.corpus_format)

    documents, seconds = timed(encode, options.repeat)
    row = [f"{documents.num_tokens:,}", spread(seconds), per_second(documents.num_tokens, seconds)]
    of_text = table(["tokens", "text to ids, seconds", "tokens/s"], [row])
    rows = [measure_batches(documents, vocab, whole_word, options) for whole_word in (False, True)]
    columns = ["masks of", "pairs of an epoch, ms", "a batch, ms", "batches/s", "tokens/s"]
    description = (
        f"{machine.description()}; one core is used. {len(documents):,} documents, {documents.num_sentences:,} "
        f"sentences; batches of {options.batch_size} pairs of up to {options.max_len} tokens."
    )
    return "\n\n".join([description, of_text, table(columns, rows)])


def measure_batches(documents, vocab, whole_word, options):
    """A row: an epoch's pairs, and its first batches."""
    batches = PretrainingBatches(
        documents, vocab, options.batch_size, options.max_len, whole_word_mask=whole_word
    )  # fmt: skip
    epochs = itertools.count()
    _, seconds_of_pairs = timed(lambda: batches.draw(next(epochs)), options.repeat)
    last = next(epochs) - 1
    made, seconds = timed(lambda: list(itertools.islice(batches.epoch(last), options.batches)), options.repeat)
    num_tokens = sum(float(batch.valid_length.sum()) for batch in made)
    each = [1000 * one / len(made) for one in seconds]
    what = "whole words" if whole_word else "tokens"
    return [
        what,
        spread([1000 * one for one in seconds_of_pairs], 1),
        spread(each),
        per_second(len(made), seconds),
        per_second(num_tokens, seconds),
    ]


def timed(work, repeat):
    """What `work` gives, and the seconds of each time."""
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return result, seconds


def per_second(number, seconds):
    return f"{number / statistics.median(seconds):,.0f}"


if __name__ == "__main__":
    sys.exit(main())
