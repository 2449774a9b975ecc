"""Import a pretrained BERT into the local model store, or a fine-tuned classifier of Hugging Face's into a folder."""

import argparse

from ...errors import UsageError, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder with config.json, model.safetensors (or its parts) and a vocabulary, or a name on the Hugging "
        "Face hub; or a .params file that GluonNLP saved, as its run_pretraining.py does",
    )
    parser.add_argument("--name", help="its name in the store, ending in _cased or _uncased")
    parser.add_argument("--output-dir", metavar="OUT", help="for a fine-tuned classifier: the folder to write")
    parser.add_argument(
        "--labels",
        metavar="NAME0,NAME1,...",
        help="its labels in the order of the logits, if config.json does not name the three of SNLI",
    )
    parser.add_argument("--vocab", metavar="V", help="of a .params file: vocabulary file, or a name in the store")
    parser.add_argument(
        "--backbone", metavar="B", help="of a .params file: bert_LAYERS_UNITS_HEADS, roberta_... or distilbert_..."
    )
    parser.add_argument("--root", metavar="D", help="folder of the store (default: $MXNET_HOME/models)")
    parser.add_argument("--overwrite", action="store_true", help="replace other weights of the same name, or that OUT")


def check(options: argparse.Namespace) -> None:
    if (options.name is None) == (options.output_dir is None):
        raise UsageError(
            "give --name NAME for a backbone to fine-tune, or --output-dir OUT for a fine-tuned classifier"
        )
    if options.output_dir is None and options.labels is not None:
        raise UsageError("--labels goes with --output-dir: a backbone has no classes")
    for option in ("vocab", "backbone", "root") if options.output_dir is not None else ():
        if getattr(options, option) is not None:
            raise UsageError(f"--{option} goes with --name: a classifier is a folder of its own")


def run(options: argparse.Namespace) -> None:
    from ...formats.importing import import_bert
    from ...store import store_root

    if options.output_dir is not None:
        _import_classifier(options)
        return
    checkpoint = import_bert(
        options.source, options.name, options.root, options.overwrite, options.vocab, options.backbone
    )
    parts = ", ".join(["encoder", *checkpoint.parts])
    print(f"{checkpoint.backbone} as {checkpoint.dataset_name} ({parts}) in {printable(store_root(options.root))}")
    print(f"fine-tune it: gluonnlp-snli finetune --dataset-name {checkpoint.dataset_name} --output-dir OUT ...")


def _import_classifier(options: argparse.Namespace) -> None:
    from ...formats.importing import import_classifier

    labels = None if options.labels is None else options.labels.split(",")
    settings = import_classifier(options.source, options.output_dir, labels, options.overwrite).settings
    case = "uncased" if settings.tokenizer.lower else "cased"
    print(f"{settings.backbone}, {case}, up to {settings.max_len} tokens, in {printable(options.output_dir)}")
    print(f"try it: gluonnlp-snli evaluate {printable(options.output_dir)} --file F")
