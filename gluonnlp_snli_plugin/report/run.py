"""Reads and checks what a run recorded in its output folder."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from ..errors import DataError, UsageError
from ..evaluate.predictions import FOLDER, Predictions, read_predictions, read_record
from ..formats.model_folder import weights_sha256
from ..system.reading import read_bytes, read_json, reading

_MOST_UPDATES, _LARGEST = 1 << 53, 1e30  # of what can be drawn
_FIRST = ("dev", "test")  # the predictions of the run itself: these, and dev_mismatched, test_hans, ...


@dataclasses.dataclass(frozen=True)
class RecordedRun:
    """A run as its output folder records it.

    Attributes
    ----------
    folder : Path
    config, summary : dict
        The content of the files of that name; empty if there is none.
    metrics : list of dict
        Lines of ``metrics.jsonl``, each with kind, epoch and update, and numbers.
    predictions : dict of str to Predictions
        Answers of the model that is in the folder now, by name; those of the run itself first.
    """

    folder: Path
    config: Dict[str, Any]
    summary: Dict[str, Any]
    metrics: List[Dict[str, Any]]
    predictions: Dict[str, Predictions]

    @property
    def name(self) -> str:
        return self.folder.resolve().name or str(self.folder)

    @property
    def settings(self) -> Dict[str, Any]:
        return self.config["settings"]

    @property
    def best(self) -> Optional[Tuple[int, float]]:
        """Update and dev accuracy of the best model, or None."""
        update, accuracy = self.summary.get("best_update"), self.summary.get("dev_accuracy")
        if type(update) is not int or type(accuracy) is not float:
            return None
        return (update, accuracy) if 0 <= update < _MOST_UPDATES and 0 <= accuracy <= 1 else None

    def curve(self, kind: str, figure: str) -> Tuple[List[int], List[float]]:
        """Updates and values of a figure: two lists."""
        found = [(line["update"], line[figure]) for line in self.metrics if line["kind"] == kind and figure in line]
        return [update for update, _ in found], [value for _, value in found]


def read_run(folder: Union[str, "os.PathLike[str]"]) -> RecordedRun:
    """Read the output folder of a run, finished or not.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    RecordedRun

    Raises
    ------
    UsageError
        If the folder holds neither a run nor predictions.
    DataError
        If a file in it is damaged; names it.
    """
    folder = Path(folder)
    config = _read_object(folder / "config.json")
    for name in ("settings", "data", "versions"):
        if not isinstance(config.setdefault(name, {}), dict):
            raise DataError(f"{folder / 'config.json'} is damaged")
    if config.get("kind", "finetune") != "finetune":
        raise UsageError(f"{folder} holds a run of another command; reports are about runs of gluonnlp-snli finetune")
    predictions = _read_all_predictions(folder)
    if not config["settings"] and not predictions:
        raise UsageError(f"{folder} holds no run: give the output folder of gluonnlp-snli finetune")
    return RecordedRun(
        folder,
        config,
        _read_object(folder / "summary.json"),
        _read_metrics(folder / "metrics.jsonl"),
        predictions,
    )


def _read_all_predictions(folder: Path) -> Dict[str, Predictions]:
    """Predictions by name, without those of a model that has been replaced."""
    names = {path.stem for path in (folder / FOLDER).glob("*.json")}
    weights = weights_sha256(folder)
    return {
        name: read_predictions(folder, name)
        for name in sorted(names, key=_order)
        if read_record(folder, name).get("weights") == weights
    }


def _order(name: str) -> Tuple[int, str]:
    """Where predictions stand: those for the run's own dev pairs first, then those for its test pairs."""
    use = name.partition("_")[0]
    return (_FIRST.index(use) if use in _FIRST else len(_FIRST)), name


def _read_object(path: Path) -> Dict[str, Any]:
    with reading(path, DataError):
        try:
            content = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            return {}
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged")
    return content


def _read_metrics(path: Path) -> List[Dict[str, Any]]:
    with reading(path, DataError):
        try:
            text = read_bytes(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        lines = text.split(b"\n")[:-1]  # behind the last line end: nothing, or a line that is still being written
        return [_checked(json.loads(line)) for line in lines]


def _checked(line: Dict[str, Any]) -> Dict[str, Any]:
    """A line of metrics; raises a ValueError, TypeError or KeyError if it is not one."""
    if line["kind"] not in ("train", "dev"):
        raise ValueError
    for name, value in line.items():
        if name in ("epoch", "update"):
            is_sound = type(value) is int and 0 <= value < _MOST_UPDATES
        else:
            is_sound = name == "kind" or abs(value) <= _LARGEST  # which NaN is not
        if not is_sound:
            raise ValueError
    line["epoch"], line["update"]  # must be there
    return line
