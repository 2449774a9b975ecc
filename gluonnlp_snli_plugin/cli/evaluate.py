"""Score a fine-tuned model on labelled pairs."""

import json

from ..deploy.evaluation import evaluate
from ..deploy.predictor import DTYPES
from ..train.comm import parse_devices


def add_arguments(parser):
    add_model_arguments(parser)
    parser.add_argument("--file", required=True, metavar="F", help="labelled pairs: SNLI's .jsonl or .txt")
    parser.add_argument("--on-bad-row", choices=("error", "skip"), default="error", help="default: error")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_device_arguments(parser)


def add_model_arguments(parser):
    parser.add_argument(
        "model",
        metavar="OUT",
        help="output folder of finetune; or a .params file of GluonNLP's finetune_classifier.py",
    )
    parser.add_argument("--dataset-name", metavar="NAME", help="whose vocabulary in the model store a .params file has")
    parser.add_argument("--backbone", metavar="B", help="its architecture, where that name has several")


def add_device_arguments(parser, batch_size=64):
    parser.add_argument("--batch-size", type=int, default=batch_size, metavar="N", help=f"default: {batch_size}")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="int8: nearly the same answers, faster on CPU; default: float32",
    )
    parser.add_argument("--no-native", action="store_true", help="use MXNet's own operators on CPU, not the C++ ones")
    parser.add_argument("--gpus", metavar="I,J", help="GPUs to use, for example 0,1")
    parser.add_argument("--devices", metavar="D,E", help="devices to use, for example cpu:0,cpu:1")


def run(options):
    devices = parse_devices(options.gpus, options.devices)
    evaluation = evaluate(
        options.model,
        options.file,
        options.on_bad_row,
        devices.contexts,
        options.batch_size,
        options.dataset_name,
        options.backbone,
        options.dtype,
        not options.no_native,
    )
    print(json.dumps(evaluation.to_dict()) if options.json else evaluation)
