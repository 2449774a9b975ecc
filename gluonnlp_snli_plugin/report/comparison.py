"""The content of the page that compares runs: figures side by side, curves overlaid, settings that differ."""

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..data.assignments import in_words
from .run import RecordedRun
from .run_page import CIRCUMSTANCES, command, learning_curves, scores, shown, throughput
from .text import plain

_IRRELEVANT = ("output_dir", "overwrite")


def comparison(runs: Sequence[RecordedRun], folders: Sequence[str]) -> Dict[str, Any]:
    """Everything that the page shows.

    Parameters
    ----------
    runs : list of RecordedRun
    folders : list of str
        As the user names them, which tells apart runs whose own names are the same.

    Returns
    -------
    dict
        What the template ``comparison.html`` takes.
    """
    counts = Counter(run.name for run in runs)
    names = [plain(run.name if counts[run.name] == 1 else folder) for run, folder in zip(runs, folders)]
    of_other_classes, of_other_pairs = _of_other_classes(runs), _of_other_pairs(runs)
    return {
        "title": " · ".join(names),
        "names": names,
        "curves": learning_curves(runs, names),
        "of_other_classes": of_other_classes,
        "of_other_pairs": of_other_pairs,
        "figures_of_runs": _figures(runs, of_other_classes, of_other_pairs),
        "settings": _differing([run.settings for run in runs], _IRRELEVANT),
        "circumstances": _differing(
            [{**run.config["versions"], **{name: run.config.get(name) for name in CIRCUMSTANCES}} for run in runs]
        ),
        "commands": [(name, command(run)) for name, run in zip(names, runs)],
    }


def _of_other_classes(runs: Sequence[RecordedRun]) -> List[str]:
    """The sets of predictions whose classes are not the same in all runs that have them."""
    sets = dict.fromkeys(name for run in runs for name in run.predictions)
    classes = {name: {tuple(sorted(labels)) for labels in _classes(runs, name) if labels} for name in sets}
    return [name for name in sets if len(classes[name]) > 1]


def _of_other_pairs(runs: Sequence[RecordedRun]) -> List[str]:
    """The sets of predictions of one name that are not for the same pairs in all runs that have them."""
    found: Dict[str, Tuple[List[str], List[str]]] = {}
    different: Dict[str, None] = {}
    for run in runs:
        for name, predictions in run.predictions.items():
            texts = predictions.pairs.premises, predictions.pairs.hypotheses
            if found.setdefault(name, texts) != texts:
                different[name] = None
    return list(different)


def _classes(runs: Sequence[RecordedRun], name: str) -> List[Tuple[str, ...]]:
    """The classes of a set of predictions in each run; empty where a run has none of that name."""
    return [run.predictions[name].pairs.labels if name in run.predictions else () for run in runs]


def _figures(
    runs: Sequence[RecordedRun], of_other_classes: Sequence[str], of_other_pairs: Sequence[str]
) -> List[Tuple[str, List[str], Optional[int]]]:
    """Rows of (what, values of the runs, number of the best one or None)."""
    rows: List[Tuple[str, List[str], Optional[int]]] = []
    sets = list(dict.fromkeys(name for run in runs for name in run.predictions))
    incomparable = {*of_other_classes, *of_other_pairs}
    for name in sets:
        if name in of_other_classes:
            rows.append((f"{name}: classes", [in_words(labels) or "–" for labels in _classes(runs, name)], None))
        found = [scores(run.predictions[name]) if name in run.predictions else None for run in runs]
        for figure, what, sign in (
            ("accuracy", "accuracy", 1),
            ("macro_f1", "macro F1", 1),
            ("calibration_error", "expected calibration error", -1),
        ):
            values = [one[figure] if one else None for one in found]
            best = None if name in incomparable else _best(values, sign)
            rows.append((f"{name}: {what}", [_number(value) for value in values], best))
        rows.append((f"{name}: pairs", [_count(one and one["pairs"]) for one in found], None))
        rows.append((f"{name}: pairs truncated", [_count(one and one["truncated"]) for one in found], None))
    for figure, what in (("best_epoch", "best epoch"), ("updates", "updates")):
        rows.append((what, [_count(run.summary.get(figure)) for run in runs], None))
    speeds = [dict(throughput(run)) for run in runs]
    for what in dict.fromkeys(what for speed in speeds for what in speed):
        rows.append((what, [speed.get(what, "–") for speed in speeds], None))
    return rows


def _number(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:.4f}"


def _count(value: Any) -> str:
    return f"{value:,}" if type(value) is int else "–"


def _best(values: Sequence[Optional[float]], sign: int) -> Optional[int]:
    known = [sign * value for value in values if value is not None]
    if len(known) < 2 or known.count(max(known)) > 1:
        return None
    return [value is not None and sign * value == max(known) for value in values].index(True)


def _differing(settings: Sequence[Dict[str, Any]], left_out: Sequence[str] = ()) -> List[Tuple[str, List[Any]]]:
    """Rows of (name, values), for names whose values are not the same everywhere."""
    names = dict.fromkeys(name for one in settings for name in one if name not in left_out)
    rows = [(name, [shown(one.get(name)) for one in settings]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
