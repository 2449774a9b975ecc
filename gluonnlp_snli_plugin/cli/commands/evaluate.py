"""Score a fine-tuned model on labelled pairs, or several models averaged.

The pairs are those of --file, or of the corpus of --task. On a file with two classes, entailment or not, a
three-class model is scored by the sum of its probabilities of contradiction and neutral.
"""

import argparse
import functools
import json
import logging
import operator
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from ...errors import PluginError, UsageError, printable
from ..options import (
    add_device_arguments,
    add_model_arguments,
    add_reading_arguments,
    load_predictor,
    refuse_names_of_classes,
)

if TYPE_CHECKING:
    from ...evaluate.evaluation import Answers
    from ...evaluate.scores import Evaluation

_log = logging.getLogger("gluonnlp_snli_plugin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, several=True)
    parser.add_argument(
        "--file", nargs="+", action="extend", metavar="F", help="labelled pairs: JSON lines, JSON, TSV or CSV"
    )
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="the task whose corpus to read, or whose columns and labels the files have; see list tasks (default: the "
        "model's)",
    )
    parser.add_argument(
        "--corpus-root", metavar="D", help="folder of the task's corpus (default: its own in $MXNET_HOME/datasets)"
    )
    parser.add_argument(
        "--segment",
        nargs="+",
        action="extend",
        metavar="S",
        help="segments of the corpus: dev, test, ... (default: all for evaluation)",
    )
    parser.add_argument(
        "--by",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD",
        help="columns of the files: score the pairs with each value of them too",
    )
    parser.add_argument("--predictions", metavar="F", help="write every pair with its answer and probabilities there")
    add_reading_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_device_arguments(parser)


def check(options: argparse.Namespace) -> None:
    if not (options.file or options.task):
        raise UsageError("which pairs? give --file F, or --task NAME to read the corpus of a task")
    for option in ("segment", "corpus_root"):
        if getattr(options, option) and options.file:
            raise UsageError(
                f"--{option.replace('_', '-')} belongs to the corpus of a task: give --task NAME, and omit --file"
            )


def run(options: argparse.Namespace) -> None:
    from ...evaluate.evaluation import predict_files
    from ...evaluate.labelled_pairs import segments_of
    from ...evaluate.predictions import write_lines

    pairs = options.file
    for file in pairs or ():
        _refuse_task(file)
    if not pairs:
        chosen = dict.fromkeys(options.segment or [None])
        pairs = [one for name in chosen for one in segments_of(options.task, name, options.corpus_root)]
    predictors = [load_predictor(model, options) for model in options.model]
    refuse_names_of_classes(options.labels, predictors[0].labels)
    answers = predict_files(
        predictors, pairs, options.on_bad_row, options.columns, options.labels, options.by, options.task
    )
    print(json.dumps(_figures(options.model, answers)) if options.json else _table(options.model, answers))
    if options.predictions:
        write_lines(options.predictions, *(one.predictions for one in answers))
    if len(options.model) == 1:
        _record(options.model[0], answers, options.dtype)


def _refuse_task(file: str) -> None:
    """Raise a UsageError for ``TASK:FILE`` and ``TASK:SEGMENT``, which are for the files of ``finetune``."""
    from ...train.settings.scored_files import scored_file

    named = scored_file(file)
    if named.task and not os.path.exists(file):
        instead = f"--segment {named.place}" if named.is_corpus else f"--file {named.place}"
        raise UsageError(f"--file {file}: there is no such file; write --task {named.task} {instead}")


def _record(folder: str, answers: List["Answers"], dtype: str) -> None:
    """Write the answers into the model's output folder and its report; a failure there is only logged."""
    from ...evaluate.evaluation import save_answers
    from ...report import try_report

    if not os.path.isdir(os.path.join(folder, "model")):
        return
    try:
        for one in answers:
            save_answers(folder, one, dtype)
    except PluginError as error:
        _log.warning("no report: %s", error)
        return
    try_report(folder)


def _figures(models: List[str], answers: List["Answers"]) -> Dict[str, Any]:
    """What ``--json`` prints: the figures of the one file, or those of each and of all together."""
    each = []
    for one in answers:
        figures = one.evaluation.to_dict()
        if "remark" in one.predictions.about:
            figures["remark"] = one.predictions.about["remark"]
        if len(models) > 1:
            figures["models"] = [{"model": m, "accuracy": e.accuracy} for m, e in zip(models, one.members)]
        each.append(figures)
    if len(answers) == 1:
        return each[0]
    files = [{"file": one.name or one.file, **figures} for one, figures in zip(answers, each)]
    total = _total(answers)
    return {"files": files, "all": total.to_dict() if total else None}


def _total(answers: List["Answers"]) -> Optional["Evaluation"]:
    """The scores on all pairs; None where some have other classes than others."""
    evaluations = [one.evaluation for one in answers]
    if len({one.labels for one in evaluations}) > 1:
        return None
    return functools.reduce(operator.add, evaluations)


def _table(models: List[str], answers: List["Answers"]) -> str:
    """One file in full, or a row for each."""
    from ...evaluate.scores import aligned

    models = list(map(printable, models))
    if len(answers) == 1:
        (one,) = answers
        alone = [f"accuracy {e.accuracy:.4f} of {m} alone" for m, e in zip(models, one.members)] if models[1:] else []
        return "\n".join([str(one.evaluation), *([""] if alone else []), *alone])
    total = _total(answers)
    labels = list(dict.fromkeys(label for one in answers for label in one.evaluation.labels))
    rows = [["", "pairs", "accuracy", *(f"F1 {label}" for label in labels), "truncated"]]
    for one in answers:
        rows.append(_row(one.name or one.file, one.evaluation, labels))
        if models[1:]:
            rows += [_row(f"  {model} alone", evaluation, labels) for model, evaluation in zip(models, one.members)]
    lines = aligned([*rows, _row("all", total, labels)] if total else rows)
    for name, evaluation in [("", total)] if total else [(one.name or one.file, one.evaluation) for one in answers]:
        heading = [printable(name)] if name else []
        for field in evaluation.by:
            lines += ["", *heading, *evaluation.table_by(field)]
        if evaluation.notes:
            lines += ["", f"{printable(name)}: {evaluation.notes}" if name else evaluation.notes]
    return "\n".join(lines)


def _row(name: str, evaluation: "Evaluation", labels: Sequence[str]) -> List[str]:
    found = evaluation.per_class
    f1 = [f"{found[label]['f1']:.4f}" if label in found else "–" for label in labels]
    return [
        printable(name),
        str(evaluation.num_pairs),
        f"{evaluation.accuracy:.4f}",
        *f1,
        str(evaluation.num_truncated),
    ]
