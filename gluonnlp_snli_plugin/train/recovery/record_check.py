"""Compares the files in which a run has recorded its settings and progress, before it is resumed."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ...errors import PluginError, UsageError
from ...parallel.place import BACKENDS
from ...system.reading import read_json, reading
from ..settings.config import RunConfig, option_name
from .checkpoint import Checkpoints
from .resume import CHANGEABLE, without_deleted


def what_stays(config: RunConfig, num_ranks: int) -> Dict[str, Any]:
    """What is the same from the first update of a run to its last, as a checkpoint records it.

    Where files are may change; their content is compared by :func:`.resume.require_same`.
    """
    names = {field.name for field in dataclasses.fields(config)} - {*CHANGEABLE, *config.PATHS, "output_dir"}
    settings = {name: getattr(config, name) for name in sorted(names - {"overwrite"})}
    return json.loads(json.dumps({"ranks": num_ranks, "settings": settings}))


def require_unedited(config: RunConfig, record: Dict[str, Any], anyway: bool = False) -> None:
    """Raise a UsageError if ``config.json`` has changed since the run wrote its checkpoints.

    Parameters
    ----------
    config : RunConfig
        What it says.
    record : dict
        All that it holds.
    anyway : bool, default False
        Whether to accept other settings.

    Raises
    ------
    UsageError
        Names what has changed, or is invalid.
    """
    path = Path(config.output_dir) / "config.json"
    ranks, comm = record["ranks"], record.get("comm")
    if ranks < 1 or comm not in (None, *BACKENDS) or (ranks > 1 and comm is None):
        raise UsageError(f"{path} is damaged: it says {ranks} ranks and comm {str(comm)[:20]!r}")
    update, state = _newest(config.output_dir)
    if anyway or not update:
        return
    then, now = state.get("run"), what_stays(config, ranks)
    if not isinstance(then, dict) or not isinstance(then.get("settings"), dict):
        raise UsageError(f"checkpoint {update} in {config.output_dir} does not record the settings it was made with")
    # A run that an earlier version began does not record settings that have been added since.
    added = {field.name: field.default for field in dataclasses.fields(config) if field.name in now["settings"]}
    then["settings"] = {**json.loads(json.dumps(added)), **without_deleted(then["settings"])}
    changed = [("ranks", then.get("ranks"), ranks)] if then.get("ranks") != ranks else []
    for name in sorted({**then["settings"], **now["settings"]}):
        before, after = then["settings"].get(name), now["settings"].get(name)
        if before != after:
            changed.append((option_name(name), before, after))
    if changed:
        what = "; ".join(f"{name} is {after}, was {before}" for name, before, after in changed)
        raise UsageError(
            f"{path} has been changed since checkpoint {update} was made: {what} (--resume-anyway resumes regardless)"
        )


def finished(config: RunConfig) -> Optional[Dict[str, Any]]:
    """The summary of a complete run, or None.

    Raises
    ------
    PluginError
        If the summary cannot be that of the run.
    """
    path = Path(config.output_dir) / "summary.json"
    with reading(path, PluginError):
        try:
            summary = read_json(path)
        except FileNotFoundError:
            return None
        except ValueError:
            summary = None
    update, _ = _newest(config.output_dir)
    updates = summary.get("updates") if isinstance(summary, dict) else None
    is_sound = type(updates) is int and updates >= update
    if not is_sound or not all(_is_figure(summary.get(name)) for name in config.FIGURES):
        raise PluginError(f"{path} is damaged, or another run's: remove it, and --resume writes it again")
    return summary


def _newest(folder: str) -> Tuple[int, Dict[str, Any]]:
    return Checkpoints(Path(folder) / "checkpoints", keep=1).newest_state()


def _is_figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
