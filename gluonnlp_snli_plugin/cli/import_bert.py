"""Bring a pretrained BERT, in Hugging Face's layout or saved by GluonNLP, into the local model store."""

from ..model.importing import import_bert
from ..model.store import store_root


def add_arguments(parser):
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder with config.json, model.safetensors and a vocabulary, or a name on the Hugging Face hub; or a "
        ".params file that GluonNLP saved, as its run_pretraining.py does",
    )
    parser.add_argument("--name", required=True, help="name to give it, ending in _cased or _uncased")
    parser.add_argument("--vocab", metavar="V", help="of a .params file: vocabulary file, or a name in the store")
    parser.add_argument("--backbone", metavar="B", help="of a .params file: architecture, bert_LAYERS_UNITS_HEADS")
    parser.add_argument("--root", metavar="D", help="folder of the store (default: $MXNET_HOME/models)")
    parser.add_argument("--overwrite", action="store_true", help="replace other weights of the same name")


def run(options):
    checkpoint = import_bert(
        options.source, options.name, options.root, options.overwrite, options.vocab, options.backbone
    )
    parts = ", ".join(["encoder", *checkpoint.parts])
    print(f"{checkpoint.backbone} as {checkpoint.dataset_name} ({parts}) in {store_root(options.root)}")
    print(f"fine-tune it: gluonnlp-snli finetune --dataset-name {checkpoint.dataset_name} --output-dir OUT ...")
