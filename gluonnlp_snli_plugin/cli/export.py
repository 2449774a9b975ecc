"""Write a fine-tuned model in the format of another program, and check that it gives the same logits."""

from ..errors import printable
from ..formats import FORMATS, export
from .evaluate import add_model_arguments


def add_arguments(parser):
    add_model_arguments(parser)
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--format", required=True, choices=FORMATS, help=formats)
    parser.add_argument("--to", required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--file", metavar="F", help="pairs to check with, for int8 to calibrate with (default: the embedded sample's)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the export that is in DIR")


def run(options):
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
