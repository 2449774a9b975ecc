"""Train a vocabulary on text, for a BERT that starts from random weights, and keep it in the local model store."""

import argparse

from ...data.pretraining.corpus import CORPUS_FORMATS
from ...errors import printable

MODEL_TYPES = ("unigram", "bpe")  # of .text.subwords, which imports MXNet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", nargs="+", required=True, metavar="F", help="text files")
    parser.add_argument("--name", required=True, help="its name in the store, ending in _cased or _uncased")
    parser.add_argument("--size", type=int, default=8000, metavar="N", help="pieces (default: %(default)s)")
    parser.add_argument("--model-type", choices=MODEL_TYPES, default="unigram", help="default: %(default)s")
    parser.add_argument("--corpus-format", choices=CORPUS_FORMATS, default="auto", help="default: %(default)s")
    parser.add_argument("--root", metavar="D", help="folder of the store (default: $MXNET_HOME/models)")
    parser.add_argument("--overwrite", action="store_true", help="replace another vocabulary of the same name")


def run(options: argparse.Namespace) -> None:
    from ...store import store_root
    from ...store.train_vocab import train_vocabulary

    vocabulary = train_vocabulary(
        options.corpus,
        options.name,
        options.size,
        options.model_type,
        options.corpus_format,
        options.root,
        options.overwrite,
    )
    print(f"{options.size} pieces ({options.model_type}) as {vocabulary.name} in {printable(store_root(options.root))}")
    print(f"pretrain a BERT with it: gluonnlp-snli pretrain --vocab {vocabulary.name} --corpus F --name NAME ...")
