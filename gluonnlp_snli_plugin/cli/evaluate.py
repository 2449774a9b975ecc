"""Score a fine-tuned model on labelled pairs, or several models averaged."""

import json
import logging
import os

from ..errors import PluginError, printable
from ..evaluate.evaluation import ask, keep
from ..evaluate.predictions import write_lines
from ..evaluate.predictor import DTYPES, Predictor
from ..evaluate.scores import Evaluation
from ..parallel.comm import parse_devices
from ..report import try_report
from ..system.memory import give_back_large_blocks
from ..tasks.snli import LABELS
from .reading import add_reading_arguments

_log = logging.getLogger("gluonnlp_snli_plugin")


def add_arguments(parser):
    add_model_arguments(parser, nargs="+")
    parser.add_argument(
        "--file",
        required=True,
        nargs="+",
        action="extend",
        metavar="F",
        help="labelled pairs: JSON lines, JSON, TSV or CSV",
    )
    parser.add_argument("--predictions", metavar="F", help="write every pair with its answer and probabilities there")
    add_reading_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_device_arguments(parser)


def add_model_arguments(parser, nargs=None):
    parser.add_argument(
        "model",
        metavar="OUT",
        nargs=nargs,
        help="output folder of finetune; or a .params file of GluonNLP's finetune_classifier.py"
        + ("; of several, the probabilities are averaged" if nargs else ""),
    )
    parser.add_argument(
        "--dataset-name", metavar="NAME", help="name in the model store whose vocabulary a .params file uses"
    )
    parser.add_argument("--backbone", metavar="B", help="its architecture, where that name has several")


def add_device_arguments(parser, batch_size=64):
    parser.add_argument("--batch-size", type=int, default=batch_size, metavar="N", help=f"default: {batch_size}")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="bfloat16, int8: nearly the same answers, faster on a CPU that has it; default: float32",
    )
    parser.add_argument("--no-native", action="store_true", help="use MXNet's own operators on CPU, not the C++ ones")
    parser.add_argument("--gpus", metavar="I,J", help="GPUs to use, for example 0,1")
    parser.add_argument("--devices", metavar="D,E", help="devices to use, for example cpu:0,cpu:1")


def load_predictor(model, options):
    """The predictor of a model with the options of :func:`add_model_arguments` and :func:`add_device_arguments`."""
    give_back_large_blocks()
    return Predictor.load(
        model,
        parse_devices(options.gpus, options.devices).contexts,
        options.batch_size,
        options.dataset_name,
        options.backbone,
        options.dtype,
        not options.no_native,
    )


def run(options):
    predictors = [load_predictor(model, options) for model in options.model]
    answers = ask(predictors, options.file, options.on_bad_row, options.columns, options.labels)
    print(json.dumps(_figures(options.model, answers)) if options.json else _table(options.model, answers))
    if options.predictions:
        write_lines(options.predictions, *(one.predictions for one in answers))
    if len(options.model) == 1:
        _record(options.model[0], answers, options.dtype)


def _record(folder, answers, dtype):
    """Keep the answers of a model folder there, and show them; whether that works has no effect on the scores."""
    if not os.path.isdir(os.path.join(folder, "model")):
        return
    try:
        for one in answers:
            keep(folder, one, dtype)
    except PluginError as error:
        _log.warning("no report: %s", error)
        return
    try_report(folder)


def _figures(models, answers):
    """What ``--json`` prints: the figures of the one file, or those of each and of all together."""
    each = []
    for one in answers:
        figures = one.evaluation.to_dict()
        if len(models) > 1:
            figures["models"] = [{"model": m, "accuracy": e.accuracy} for m, e in zip(models, one.members)]
        each.append(figures)
    if len(answers) == 1:
        return each[0]
    files = [{"file": one.file, **figures} for one, figures in zip(answers, each)]
    return {"files": files, "all": sum((one.evaluation for one in answers), Evaluation()).to_dict()}


def _table(models, answers):
    """One file in full, or a row for each."""
    models = list(map(printable, models))
    if len(answers) == 1:
        (one,) = answers
        alone = [f"accuracy {e.accuracy:.4f} of {m} alone" for m, e in zip(models, one.members)] if models[1:] else []
        return "\n".join([str(one.evaluation), *([""] if alone else []), *alone])
    rows = [["", "pairs", "accuracy", *(f"F1 {label}" for label in LABELS), "truncated"]]
    for one in answers:
        rows.append(_row(one.file, one.evaluation))
        if models[1:]:
            rows += [_row(f"  {model} alone", evaluation) for model, evaluation in zip(models, one.members)]
    rows.append(_row("all", sum((one.evaluation for one in answers), Evaluation())))
    first, *widths = (max(map(len, column)) for column in zip(*rows))
    lines = [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], widths))]) for row in rows
    ]
    notes = sum((one.evaluation for one in answers), Evaluation()).notes
    return "\n".join([*lines, *(["", notes] if notes else [])])


def _row(name, evaluation):
    f1 = [f"{figures['f1']:.4f}" for figures in evaluation.per_class.values()]
    return [
        printable(name),
        str(evaluation.num_pairs),
        f"{evaluation.accuracy:.4f}",
        *f1,
        str(evaluation.num_truncated),
    ]
