"""Write a fine-tuned model in the format of another program, and check that it gives the same logits."""

import argparse

from ...errors import printable
from ..options import add_model_arguments

# The formats that come with the package, as their registry describes them, which takes seconds to import.
FORMATS = {
    "onnx": "model.onnx for ONNX Runtime and others",
    "huggingface": "a folder for transformers' AutoModelForSequenceClassification",
    "symbol": "MXNet's -symbol.json and -0000.params",
    "gluonnlp": "a .params file for --model_parameters of GluonNLP's script",
    "model": "a folder like finetune's, for all commands",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--format", required=True, metavar="NAME", help=formats)
    parser.add_argument("--to", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--file", metavar="F", help="pairs to check with (default: the embedded sample's)")
    parser.add_argument("--overwrite", action="store_true", help="replace the export that is in DIR")


def run(options: argparse.Namespace) -> None:
    from ...formats import export

    done = export(
        options.model,
        options.format,
        options.to,
        options.file,
        options.overwrite,
        options.dataset_name,
        options.backbone,
    )
    for name, value in done.more.items():
        print(f"{name:12}  {printable(value)}")
    print(f"{'checked':12}  {done.num_pairs} pairs: logits differ by at most {done.difference:.2g}")
    print(f"{done.format:12}  {printable(done.folder)}")
