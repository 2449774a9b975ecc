"""Score a fine-tuned model on labelled pairs, or several models averaged."""

import argparse
import functools
import json
import logging
import operator
import os
from typing import TYPE_CHECKING, Any, Dict, List

from ...errors import PluginError, printable
from ..options import add_device_arguments, add_model_arguments, add_reading_arguments, load_predictor

if TYPE_CHECKING:
    from ...evaluate.evaluation import Answers
    from ...evaluate.scores import Evaluation

_log = logging.getLogger("gluonnlp_snli_plugin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, several=True)
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


def run(options: argparse.Namespace) -> None:
    from ...evaluate.evaluation import ask
    from ...evaluate.predictions import write_lines

    predictors = [load_predictor(model, options) for model in options.model]
    answers = ask(predictors, options.file, options.on_bad_row, options.columns, options.labels)
    print(json.dumps(_figures(options.model, answers)) if options.json else _table(options.model, answers))
    if options.predictions:
        write_lines(options.predictions, *(one.predictions for one in answers))
    if len(options.model) == 1:
        _record(options.model[0], answers, options.dtype)


def _record(folder: str, answers: List["Answers"], dtype: str) -> None:
    """Write the answers into the model's output folder and its report; a failure there is only logged."""
    from ...evaluate.evaluation import keep
    from ...report import try_report

    if not os.path.isdir(os.path.join(folder, "model")):
        return
    try:
        for one in answers:
            keep(folder, one, dtype)
    except PluginError as error:
        _log.warning("no report: %s", error)
        return
    try_report(folder)


def _figures(models: List[str], answers: List["Answers"]) -> Dict[str, Any]:
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
    return {"files": files, "all": _total(answers).to_dict()}


def _total(answers: List["Answers"]) -> "Evaluation":
    return functools.reduce(operator.add, (one.evaluation for one in answers))


def _table(models: List[str], answers: List["Answers"]) -> str:
    """One file in full, or a row for each."""
    models = list(map(printable, models))
    if len(answers) == 1:
        (one,) = answers
        alone = [f"accuracy {e.accuracy:.4f} of {m} alone" for m, e in zip(models, one.members)] if models[1:] else []
        return "\n".join([str(one.evaluation), *([""] if alone else []), *alone])
    total = _total(answers)
    rows = [["", "pairs", "accuracy", *(f"F1 {label}" for label in total.per_class), "truncated"]]
    for one in answers:
        rows.append(_row(one.file, one.evaluation))
        if models[1:]:
            rows += [_row(f"  {model} alone", evaluation) for model, evaluation in zip(models, one.members)]
    rows.append(_row("all", total))
    first, *widths = (max(map(len, column)) for column in zip(*rows))
    lines = [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], widths))]) for row in rows
    ]
    return "\n".join([*lines, *(["", total.notes] if total.notes else [])])


def _row(name: str, evaluation: "Evaluation") -> List[str]:
    f1 = [f"{figures['f1']:.4f}" for figures in evaluation.per_class.values()]
    return [
        printable(name),
        str(evaluation.num_pairs),
        f"{evaluation.accuracy:.4f}",
        *f1,
        str(evaluation.num_truncated),
    ]
