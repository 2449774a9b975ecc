"""Reads a run's recorded settings and verifies that they still apply."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple, Union

from ...errors import PluginError, UsageError
from ...store import NAME
from ...system.reading import read_json
from ..settings.config import option_name

# Settings that may change on resuming: they have no effect on the result.
CHANGEABLE = ("checkpoint_steps", "keep", "max_seconds", "gpu_memory")
# Settings that may change with --resume-anyway: they change the result by rounding alone.
PLACES = ("gpus", "devices", "engine")

_CIRCUMSTANCES = ("devices", "ranks", "threads", "operators", "weights", "initial_model")
_PACKAGES = ("gluonnlp_snli_plugin", "mxnet", "gluonnlp", "numpy", "jax")


def recorded_run(kind: Any, folder: Union[str, "os.PathLike[str]"], **changes: Any) -> Tuple[Any, Dict[str, Any]]:
    """The run whose output is in a folder.

    Parameters
    ----------
    kind : type
        Of its settings, a subclass of RunConfig.
    folder : str
    **changes
        New values of settings in ``CHANGEABLE`` and ``PLACES``, and new paths of data files that have moved, those in
        ``kind.DATA_FILES``.

    Returns
    -------
    config : RunConfig
        Of that kind.
    record : dict
        What ``config.json`` holds.

    Raises
    ------
    UsageError
        If the folder does not hold a run, or the run cannot be resumed.
    """
    path = Path(folder) / "config.json"
    changes = kind.typed(changes)
    for name in changes:
        if name not in (*CHANGEABLE, *PLACES, *kind.DATA_FILES):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"--resume takes the settings from {path}: omit {option}")
    try:
        record = read_json(path)
        if record.get("kind", "finetune") != kind.COMMAND:
            raise UsageError(f"it is a run of {str(record['kind'])[:20]!r}, not of {kind.COMMAND!r}")
        settings = kind.upgraded(without_deleted(record["settings"]))
        _check_types(kind, settings, record)
        for name in set(kind.PATHS) & set(settings):
            settings[name] = _located(kind, name, settings[name], record["working_folder"])
        config = kind(**{**settings, "output_dir": str(folder)})
    except FileNotFoundError:
        raise UsageError(
            f"{folder} holds no run to resume: config.json is missing; repeat the command that began it"
        ) from None
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{path} is damaged, or another version's: that run cannot be resumed") from None
    for name in filter(changes.__contains__, kind.DATA_FILES):
        changes[name] = absolute(kind, name, changes[name])
        kind.require_moved(name, getattr(config, name), changes[name])
    if set(changes) & set(PLACES):  # they go together
        changes = {**dict.fromkeys(("gpus", "devices")), "engine": "auto", **changes}
    return dataclasses.replace(config, **changes), record


def without_deleted(settings: Dict[str, Any]) -> Dict[str, Any]:
    """Recorded settings without those that this version no longer has.

    Raises
    ------
    UsageError
        If one of them made a difference to the run.
    """
    kept = dict(settings)
    if kept.pop("lazy_embeddings", False):
        raise UsageError("the run was begun with --lazy-embeddings, which no longer exists: it cannot be resumed")
    return kept


def absolute(kind: Any, name: str, value: Any) -> Any:
    """A setting of `kind` that names a path, or several, made absolute; empty values are returned unchanged."""
    return _with_paths(kind, name, value, os.path.abspath)


def _with_paths(kind: Any, name: str, value: Any, change: Callable[[str], str]) -> Any:
    """A setting with its path, or all of its paths, changed."""
    if isinstance(value, (list, tuple)):
        return tuple(_with_paths(kind, name, one, change) for one in value)
    before, path, after = kind.split_path(name, value) if value else ("", "", "")
    return before + change(path) + after if path else value


def require_data(config: Any) -> None:
    """Raise a UsageError if a file that a run reads is missing.

    Parameters
    ----------
    config : RunConfig
        Of a run that is resumed.

    Raises
    ------
    UsageError
        Says how to give the new path.
    """
    for name in config.DATA_FILES:
        value = getattr(config, name) or ()
        for text in (value,) if isinstance(value, str) else value:
            path = config.split_path(name, text)[1]
            if path and not os.path.exists(path):
                raise UsageError(f"{path} is missing; if it has moved, give the new path: {option_name(name)} PATH")


def with_new_places(record: Dict[str, Any], config: Any) -> Dict[str, Any]:
    """What ``config.json`` holds, with the current devices and paths of the data files.

    Parameters
    ----------
    record : dict
    config : RunConfig
        Of the run that is resumed.

    Returns
    -------
    dict
    """
    settings = dict(config.upgraded(record["settings"]))
    settings.update((name, getattr(config, name)) for name in moved_files(record, config))
    settings.update((name, getattr(config, name)) for name in PLACES)
    return {**record, "settings": settings}


def moved_files(record: Dict[str, Any], config: Any) -> List[str]:
    """The settings that name data files elsewhere than a run has recorded; arguments as of :func:`with_new_places`."""
    settings, folder = config.upgraded(record["settings"]), record["working_folder"]
    return [
        name
        for name in config.DATA_FILES
        if _located(config, name, settings.get(name), folder) != getattr(config, name)
    ]


def _located(kind: Any, name: str, value: Any, folder: str) -> Any:
    """A setting that names a path, or several, of a run that began in `folder`; a name in the store is unchanged."""

    def located(path: str) -> str:
        may_be_name = name not in kind.DATA_FILES
        if may_be_name and NAME.fullmatch(path) and not os.path.isfile(Path(folder, path)):
            return path
        return str(Path(folder, path))

    return _with_paths(kind, name, value, located)


def _check_types(kind: Any, settings: Dict[str, Any], record: Dict[str, Any]) -> None:
    """Raise a TypeError where something is of another type than a run records."""
    for field in dataclasses.fields(kind):
        value = settings.get(field.name, field.default)
        kinds = (str, type(None)) if field.default is None else (type(field.default),)
        if kinds == (tuple,):  # of texts, which is a list in JSON
            if not isinstance(value, (list, tuple)) or set(map(type, value)) - {str}:
                raise TypeError
            continue
        if type(value) not in (kinds + (int,) if kinds == (float,) else kinds):
            raise TypeError
    # require_same compares these with their current values.
    if type(record["ranks"]) is not int or not isinstance(record["versions"], dict):
        raise TypeError
    if not all(isinstance(provenance, dict) for provenance in record["data"].values()):
        raise TypeError


def require_same(then: Dict[str, Any], now: Dict[str, Any]) -> None:
    """Raise a PluginError if anything that affects the result has changed since the run began.

    Parameters
    ----------
    then, now : dict
        What ``config.json`` holds, and what it would hold now.

    Raises
    ------
    PluginError
    """
    changed = _differences("", _what_matters(then), _what_matters(now))
    for segment in sorted({**then["data"], **now["data"]}):
        if segment not in then["data"] and segment.startswith(("dev_", "test_")):
            continue  # an earlier version did not score it; the model does not depend on it
        before, after = then["data"].get(segment, {}), now["data"].get(segment, {})
        if before.get("sha256") == after.get("sha256"):
            changed += _differences(f"{segment} ", before, after)
        else:  # the figures of different data add nothing
            where = f" ({after['source']})" if "source" in after else ""
            changed.append(f"the content of the {segment} data{where} has changed")
    if changed:
        raise PluginError(f"changed since the run began: {'; '.join(changed)} (--resume-anyway resumes regardless)")


def _what_matters(record: Dict[str, Any]) -> Dict[str, Any]:
    found = {name: record.get(name) for name in _CIRCUMSTANCES}
    found.update((package, record["versions"].get(package)) for package in _PACKAGES)
    return found


def _differences(prefix: str, before: Dict[str, Any], after: Dict[str, Any]) -> List[str]:
    found = []
    for name in sorted({**before, **after}):
        then, now = before.get(name), after.get(name)
        if then == now or name in ("source", "remark"):  # where the data are does not matter
            continue
        if isinstance(then, dict) and isinstance(now, dict):
            found += _differences(f"{prefix}{name} ", then, now)
        else:
            found.append(f"{prefix}{name} was {_in_words(then)}, is {_in_words(now)}")
    return found


def _in_words(value: Any) -> str:
    """Something that a run records, for a message."""
    if value is None:
        return "not recorded"
    return ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)
