"""Bring a pretrained BERT in Hugging Face's layout into the local model store."""

from ..model.huggingface import import_bert
from ..model.store import store_root


def add_arguments(parser):
    parser.add_argument(
        "source",
        metavar="DIR",
        help="folder with config.json, model.safetensors and a vocabulary; or a name on the Hugging Face hub",
    )
    parser.add_argument("--name", required=True, help="name to give it, ending in _cased or _uncased")
    parser.add_argument("--root", metavar="D", help="folder of the store (default: $MXNET_HOME/models)")
    parser.add_argument("--overwrite", action="store_true", help="replace other weights of the same name")


def run(options):
    checkpoint = import_bert(options.source, options.name, options.root, options.overwrite)
    parts = ", ".join(["encoder", *checkpoint.parts])
    print(f"{checkpoint.backbone} as {checkpoint.dataset_name} ({parts}) in {store_root(options.root)}")
    print(f"fine-tune it: gluonnlp-snli finetune --dataset-name {checkpoint.dataset_name} --output-dir OUT ...")
