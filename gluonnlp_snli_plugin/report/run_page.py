"""The content of the page of one run: figures, tables and texts for its template."""

import shlex
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from markupsafe import Markup

from ..evaluate.predictions import Predictions
from . import figures, plots
from .figures import Calibration, Group
from .run import RecordedRun

_MOST_WRONG = 20  # pairs shown
_MOST_IN_FULL = 8  # sets of answers; a page stays small
CIRCUMSTANCES = ("devices", "ranks", "comm", "threads", "operators", "initial_model")  # of those that a run records
_CLASS_COLOURS = (1, 2, 5, 3, 4, 6)  # the first ones differ most
_INTERVALS = "Lines are 95% confidence intervals."

# Curves over updates: title, name in metrics.jsonl, unit, which lines.
_LEARNING = (
    ("Loss", "loss", "cross-entropy", ("dev", "train")),
    ("Accuracy", "accuracy", "accuracy", ("dev", "train")),
    ("Learning rate", "lr", "learning rate", ("train",)),
)
_SPEED = (("Speed", "pairs_per_second", "pairs/s", ("train",)),)


class Figure(NamedTuple):
    """A drawing, and the numbers in it as a table."""

    title: str
    svg: Markup
    note: str
    headings: List[str]
    rows: List[List[Any]]


def run_page(run: RecordedRun) -> Dict[str, Any]:
    """Everything that the page of a run shows.

    Parameters
    ----------
    run : RecordedRun

    Returns
    -------
    dict
        What the template ``run.html`` takes.
    """
    answers = [
        _answers(name, predictions, number, is_full=number < _MOST_IN_FULL)
        for number, (name, predictions) in enumerate(run.predictions.items())
    ]
    return {
        "title": run.name,
        "labels": _all_labels(run),
        "subtitle": _subtitle(run),
        "tiles": _tiles(run, answers),
        "curves": learning_curves([run], [run.name]),
        "speed": learning_curves([run], [run.name], _SPEED),
        "answers": answers,
        "throughput": throughput(run),
        "corpus": [(segment, about) for segment, about in run.config["data"].items() if isinstance(about, dict)],
        "settings": {name: shown(value) for name, value in run.settings.items()},
        "circumstances": {name: shown(run.config.get(name)) for name in CIRCUMSTANCES},
        "versions": run.config["versions"],
        "command": command(run),
        "working_folder": run.config.get("working_folder"),
    }


def _all_labels(run: RecordedRun) -> List[str]:
    """The classes of all sets of predictions; some files have two and others three."""
    return list(dict.fromkeys(label for found in run.predictions.values() for label in found.pairs.labels))


def class_colours(number: int) -> List[int]:
    """A colour of the page for each class, as its number; from the seventh class on they repeat."""
    return [_CLASS_COLOURS[i % len(_CLASS_COLOURS)] for i in range(number)]


def scores(predictions: Predictions) -> Dict[str, Any]:
    """The figures of one set of answers that a table of several has."""
    evaluation = predictions.evaluation
    return {
        "pairs": evaluation.num_pairs,
        "accuracy": evaluation.accuracy,
        "interval": figures.wilson(int(predictions.hits.sum()), len(predictions)),
        "macro_f1": evaluation.macro_f1,
        "f1": {label: figures_of["f1"] for label, figures_of in evaluation.per_class.items()},
        "calibration_error": figures.calibration(predictions).error,
        "truncated": evaluation.num_truncated,
    }


def _answers(name: str, predictions: Predictions, number: int, is_full: bool) -> Dict[str, Any]:
    """A section about a set of answers; its drawings are named by its number."""
    found = {"name": name, "id": f"answers-{number}", "about": predictions.about, **scores(predictions)}
    if not is_full:
        return found
    evaluation = predictions.evaluation
    calibration = figures.calibration(predictions)
    drawings = [
        _reliability(f"reliability-{number}", calibration),
        _accuracy_by(f"length-{number}", "Accuracy by length", "tokens of the pair, before truncation",
                     figures.by_length(predictions), evaluation.accuracy),
        _accuracy_by(f"overlap-{number}", "Accuracy by words in common", "words of the hypothesis that the premise has",
                     figures.by_overlap(predictions), evaluation.accuracy),
    ]  # fmt: skip
    rows = evaluation.confusion / evaluation.confusion.sum(axis=1, keepdims=True).clip(1)
    found.update(
        labels=evaluation.labels,
        colours=class_colours(len(evaluation.labels)),
        per_class=evaluation.per_class,
        confusion=[
            (label, [(count, round(10 * share)) for count, share in zip(counts, shares)])
            for label, counts, shares in zip(evaluation.labels, evaluation.confusion.tolist(), rows.tolist())
        ],
        figures=drawings,
        headings_by=evaluation.headings_by,
        groups=[(field, list(evaluation.rows_by(field))) for field in evaluation.by],
        num_wrong=int((~predictions.hits).sum()),
        wrong=[_wrong(predictions, i) for i in figures.confidently_wrong(predictions, _MOST_WRONG)],
    )
    return found


def _wrong(predictions: Predictions, i: int) -> Dict[str, Any]:
    pairs, labels = predictions.pairs, predictions.pairs.labels
    probabilities = predictions.probabilities[i].tolist()
    starts = [100 * sum(probabilities[:j]) for j in range(len(labels))]
    return {
        "number": i + 1,
        "premise": pairs.premises[i],
        "hypothesis": pairs.hypotheses[i],
        "gold": labels[pairs.gold[i]],
        "predicted": labels[predictions.predicted[i]],
        "probabilities": list(zip(labels, probabilities)),
        "bar": [
            (colour, start, 100 * share)
            for colour, start, share in zip(class_colours(len(labels)), starts, probabilities)
        ],
        "truncated": bool(pairs.truncated[i]),
    }


def _reliability(name: str, calibration: Calibration) -> Figure:
    rows = [
        [group.name, group.pairs, f"{confidence:.4f}", f"{group.accuracy:.4f}", f"{group.low:.4f}–{group.high:.4f}"]
        for group, confidence in zip(calibration.groups, calibration.confidence)
        if group.pairs
    ]
    seen = "; ".join(f"confidence {row[2]}: accuracy {row[3]} of {row[1]} pairs" for row in rows)
    return Figure(
        "Reliability",
        plots.reliability(name, f"Accuracy by confidence. {seen}.", calibration),
        f"Expected calibration error {calibration.error:.4f}: the mean distance of the two. {_INTERVALS}",
        ["confidence", "pairs", "mean confidence", "accuracy", "95% interval"],
        rows,
    )


def _accuracy_by(name: str, title: str, what: str, groups: Sequence[Group], overall: float) -> Figure:
    rows = [
        [group.name, group.pairs, f"{group.accuracy:.4f}", f"{group.low:.4f}–{group.high:.4f}"]
        for group in groups
        if group.pairs
    ]
    seen = "; ".join(f"{row[0]}: accuracy {row[2]} of {row[1]} pairs" for row in rows)
    drawing = plots.shares_and_accuracy(name, f"{title}. {seen}.", groups, what, overall)
    return Figure(title, drawing, _INTERVALS, [what, "pairs", "accuracy", "95% interval"], rows)


def learning_curves(
    runs: Sequence[RecordedRun], names: Sequence[str], wanted: Sequence[Tuple[Any, ...]] = _LEARNING
) -> List[Figure]:
    """Figures over the updates of one run, or of several.

    Parameters
    ----------
    runs : list of RecordedRun
    names : list of str
    wanted : tuple, optional

    Returns
    -------
    list of Figure
        None of what was not recorded. Of several runs each has one line: on the dev pairs where there is one.
    """
    drawings = []
    for title, figure, unit, kinds in wanted:
        if len(runs) > 1:
            title = f"{title} on {kinds[0]} pairs" if len(kinds) > 1 else title
            kinds = kinds[:1]
        lines = [
            _line(name if len(runs) > 1 else kind, run, kind, figure)
            for kind in kinds
            for run, name in zip(runs, names)
        ]
        lines = [line for line in lines if line.updates]
        if lines:
            best = runs[0].best if len(runs) == 1 and figure == "accuracy" else None
            drawings.append(_curves(title, figure, unit, lines, best))
    return drawings


def _line(label: str, run: RecordedRun, kind: str, figure: str) -> plots.Line:
    updates, values = run.curve(kind, figure)
    return plots.Line(label, updates, values, is_dotted=kind == "dev")


def _curves(
    title: str, figure: str, unit: str, lines: Sequence[plots.Line], best: Optional[Tuple[float, float]]
) -> Figure:
    ends = [(line.label, line.updates[0], line.values[0], line.updates[-1], line.values[-1]) for line in lines]
    seen = "; ".join(
        f"{label}: {y:.4g} after update {x}, {end_y:.4g} after {end_x}" for label, x, y, end_x, end_y in ends
    )
    description = f"{title} over the updates. {seen}."
    drawing = plots.curves(f"curve-{figure}", description, lines, unit, best, is_rate=figure == "lr")
    rows = [[line.label, x, f"{y:.4g}"] for line in lines for x, y in zip(_few(line.updates), _few(line.values))]
    return Figure(title, drawing, "", ["", "update", unit], rows)


def _few(values: List[Any], most: int = 12) -> List[Any]:
    """About `most` of the values, the last one among them."""
    return values[::-1][:: -(-len(values) // most)][::-1]


def throughput(run: RecordedRun) -> List[Tuple[str, str]]:
    """How fast the run was: (what, value) pairs."""
    units = {
        "train_pairs_per_second": ("training speed", "pairs/s"),
        "dev_pairs_per_second": ("evaluation speed", "pairs/s"),
        "seconds": ("total time", "s"),
        "peak_rss_mb": ("peak memory", "MiB"),
    }
    found = {name: run.summary.get(name) for name in units}
    return [
        (units[name][0], f"{value:,.1f} {units[name][1]}")
        for name, value in found.items()
        if isinstance(value, (int, float))
    ]


def command(run: RecordedRun) -> Optional[str]:
    """The command that repeats the run; None if it is not recorded."""
    words = run.config.get("repeat")
    return " ".join(shlex.quote(str(word)) for word in words) if isinstance(words, list) else None


def shown(value: Any) -> Any:
    """A setting, or something else that a run records, as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return {None: "–", True: "yes", False: "no"}.get(value, value) if isinstance(value, (bool, type(None))) else value


def _subtitle(run: RecordedRun) -> str:
    settings = run.settings
    if not settings:
        return "a model's answers; no run is recorded here"
    train = run.config["data"].get("train")
    pairs = train.get("pairs") if isinstance(train, dict) else None
    weights = settings.get("dataset_name") or ("embedded sample" if settings.get("sample") else "random weights")
    backbone, initial = settings.get("backbone"), run.config.get("initial_model")
    if isinstance(initial, dict):
        weights = f"continued from {settings.get('init_from')}"
        backbone = initial.get("backbone")
    parts = [backbone or "BERT", weights, f"head {settings.get('head')}"]
    if isinstance(pairs, int):
        parts.append(f"{pairs:,} training pairs")
    return ", ".join(map(str, parts))


def _tiles(run: RecordedRun, answers: Sequence[Dict[str, Any]]) -> List[Tuple[str, str, str]]:
    """The few figures that matter most: (what, value, remark)."""
    tiles = [
        (
            f"{found['name']} accuracy",
            f"{found['accuracy']:.4f}",
            f"{found['pairs']:,} pairs, 95% {found['interval'][0]:.3f}–{found['interval'][1]:.3f}",
        )
        for found in answers[:2]
    ]
    if not tiles and run.best:
        tiles.append(("dev accuracy", f"{run.best[1]:.4f}", ""))
    if answers:
        first = answers[0]
        tiles.append(("macro F1", f"{first['macro_f1']:.4f}", f"mean of the classes, {first['name']}"))
        tiles.append(("calibration error", f"{first['calibration_error']:.4f}", f"expected, {first['name']}"))
    if run.best:
        remark = f"epoch {run.summary.get('best_epoch')} of {run.settings.get('epochs')}"
        remark = remark if run.best[0] else "the initial model"
        tiles.append(("best after update", str(run.best[0]), remark))
    return tiles + [(what, value, "") for what, value in throughput(run)[:1]]
