"""The output folder of a run: settings, metrics, summary, the best model, its predictions and a report."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import re
import resource
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Set, Union

import gluonnlp
import mxnet
import numpy

from ..errors import PluginError, UsageError
from ..evaluate.predictions import Predictions, write_predictions
from ..formats.model_folder import load_model, remove_other_weights, save_model, weights_sha256
from ..model.inference import probabilities
from ..system.files import write_json, writing
from ..system.reading import open_regular, read_json, read_text
from ..system.temporary import is_temporary, remove_abandoned
from .tensorboard import Scalars

_METRICS = "metrics.jsonl"
_OURS = (
    "config.json",  # removed first: what is left of a run without it is never resumed
    _METRICS,
    "summary.json",
    "model",
    "checkpoints",
    "predictions",
    "report.html",
    "tensorboard",
)
# Made before anything else and never removed, so it marks the folder as a run's. Each process that writes there adds a
# line: the program's name, its process number, and what it does.
_LOCK = ".lock"
_LINE = re.compile("gluonnlp-snli ([0-9]+) (replaces|runs)")


class OutputFolder:
    """The output folder of a run; a context manager.

    Constructing it only checks that the folder can be used; entering it removes the run that is there.

    Parameters
    ----------
    path : str
    overwrite : bool
        Whether to replace a run that is already there.
    resumes : bool, default False
        Whether to continue the run that is there.
    tensorboard : bool, default False
        Whether to write metrics for TensorBoard too.

    Raises
    ------
    UsageError
        If another run is there, or files that are not a run's, or tensorboardX is not installed.
    PluginError
        If the folder cannot be written, or a run is writing to it now.
    """

    def __init__(
        self, path: Union[str, "os.PathLike[str]"], overwrite: bool, resumes: bool = False, tensorboard: bool = False
    ) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._resumes = resumes
        self._scalars = Scalars(self.path / "tensorboard") if tensorboard else None
        self._saves_model = False
        if not resumes:
            with self._writing():
                self._require_free()

    def _require_free(self) -> None:
        """Raise a UsageError if the folder holds anything that must not be lost."""
        found = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        found = {name for name in found if name != _LOCK and not is_temporary(name)}
        if not found:
            return
        if not self._is_run(found):
            foreign = min(found - set(_OURS), default=min(found))
            raise UsageError(f"{self.path} holds {foreign}, which is not part of a run: give another --output-dir")
        if not self._overwrite and self._has_results(found):
            raise UsageError(
                f"{self.path} holds another run: give another --output-dir, --overwrite to replace it, or --resume to "
                "continue it"
            )

    def _is_run(self, found: Set[str]) -> bool:
        """Whether this class made the folder; another program's may have a ``config.json`` too."""
        if self._last_line():
            return True
        try:
            config = read_json(self.path / "config.json")
            return {"settings", "versions"} <= set(config)
        except (OSError, ValueError, TypeError):
            return found <= set(_OURS) and "model" not in found

    def _has_results(self, found: Set[str]) -> bool:
        """Whether a run has begun that can be continued; not where it was killed before, or while it was replaced."""
        last = self._last_line()
        if last and last[2] == "replaces" and "config.json" not in found:
            return False
        if not found <= {"config.json", _METRICS}:
            return True
        try:
            return os.path.getsize(self.path / _METRICS) > 0
        except FileNotFoundError:  # or just removed by a run that replaces this one
            return False

    def _last_line(self) -> "Optional[re.Match[str]]":
        """What the process that wrote last says in the lock file: a match of ``_LINE``, or None."""
        try:
            return _LINE.fullmatch(read_text(self.path / _LOCK).rpartition("\n")[0].split("\n")[-1])
        except (FileNotFoundError, ValueError):
            return None

    def __enter__(self) -> "OutputFolder":
        with contextlib.ExitStack() as stack, self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = stack.enter_context(open_regular(self.path / _LOCK, "a+", encoding="utf-8"))
            self._take_lock()
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, self._folder)
            if self._resumes:
                for folder in (self.path, self.path / "model", self.path / "predictions"):
                    remove_abandoned(folder)
                remove_other_weights(self.path / "model")
            else:
                self._require_free()  # another run may have come and gone since
                self._clear()
            self._say("runs")
            self._metrics = open_regular(self.path / _METRICS, "a", encoding="utf-8")
            stack.callback(self._close)
            self._open = stack.pop_all()
        return self

    def _clear(self) -> None:
        """Remove the run that is there."""
        self._say("replaces")
        remove_abandoned(self.path)
        for name in _OURS:
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.is_symlink() or entry.exists():
                entry.unlink()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        with self._open:
            if error is None:
                self._require_there()

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # write errors have been reported already
            self._metrics.close()
            if self._scalars:
                self._scalars.close()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            last = self._last_line()
            who = f"process {last[1]}" if last else "another process"
            raise PluginError(f"{self.path} is in use: {who} is writing to it") from None

    def _say(self, what: str) -> None:
        """Add a line to the lock file."""
        self._lock.write(f"gluonnlp-snli {os.getpid()} {what}\n")
        self._lock.flush()

    def _require_there(self) -> None:
        """Raise a PluginError if the folder or the metrics file was removed or replaced."""
        for path, descriptor in ((self.path, self._folder), (self.path / _METRICS, self._metrics.fileno())):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    continue
            raise PluginError(f"{path} was removed or replaced while the run was writing to it")

    @contextlib.contextmanager
    def _writing(self, name: str = "") -> Iterator[None]:
        with writing(self.path / name):
            yield

    @contextlib.contextmanager
    def _recording(self, name: str = "") -> Iterator[None]:
        with self._writing(name):
            self._require_there()
            yield

    def write_config(self, config: Any, **more: Any) -> None:
        """Record everything needed to repeat the run."""
        self.write_record({"settings": dataclasses.asdict(config), **more})

    def write_record(self, record: Dict[str, Any]) -> None:
        """Write what ``config.json`` holds."""
        with self._recording():
            write_json(self.path / "config.json", record)

    def write_metrics(self, kind: str, epoch: int, update: int, **values: Any) -> None:
        """Add one line to ``metrics.jsonl``; it is flushed at once."""
        with self._recording(_METRICS):
            self._metrics.write(json.dumps({"kind": kind, "epoch": epoch, "update": update, **values}) + "\n")
            self._metrics.flush()
            if self._scalars:
                self._scalars.add(kind, update, values)

    def state_dict(self) -> Dict[str, Any]:
        """What ``metrics.jsonl`` holds so far, which is on the disk now: its size and hash, a dict."""
        with self._recording(_METRICS):
            os.fsync(self._metrics.fileno())
            return self._metrics_state(self._metrics.tell())

    def _metrics_state(self, size: int) -> Dict[str, Any]:
        with open(self.path / _METRICS, "rb") as metrics:
            return {"size": size, "sha256": hashlib.sha256(metrics.read(size)).hexdigest()}

    def load_state_dict(self, state: Optional[Dict[str, Any]]) -> None:
        """Forget the lines of ``metrics.jsonl`` that were added after a :meth:`state_dict`; None for all of them."""
        with self._writing(_METRICS):
            size = state["size"] if state else 0
            if state and self._metrics_state(size) != state:
                raise PluginError(f"{self.path / _METRICS} was changed since the checkpoint was written: restore it")
            self._metrics.truncate(size)

    def require_model(self) -> None:
        """Raise a PluginError if ``model/`` is missing or damaged."""
        load_model(self.path)
        self._saves_model = True

    def write_summary(self, summary: Dict[str, Any]) -> None:
        with self._recording():
            if self._saves_model and not (self.path / "model" / "config.json").exists():
                raise PluginError(f"{self.path / 'model'} was removed while the run was writing to it")
            write_json(self.path / "summary.json", summary)

    def save(self, model: Any, arrays: Any) -> None:
        """Write ``model/``, the best so far; see :func:`save_model`."""
        with self._recording():
            self._saves_model = True
            save_model(model, self.path / "model", arrays)

    def write_predictions(self, name: str, segment: Any, scores: numpy.ndarray, dtype: str = "float32") -> None:
        """Write the predictions of the saved model.

        Parameters
        ----------
        name : str
        segment : Segment
        scores : ndarray of float32, shape (n, classes)
            Logits.
        dtype : str, default 'float32'
            How they were computed.
        """
        record = {key: value for key, value in segment.provenance.items() if key not in ("pairs", "truncated")}
        self._require_there()
        record.update(weights=weights_sha256(self.path), dtype=dtype)
        write_predictions(self.path, name, Predictions.of(segment.pairs, probabilities(scores.astype(float)), **record))


class NoOutput:
    """Stands in for the output folder on every rank but the first."""

    def __enter__(self) -> "NoOutput":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def ignore(self, *args: Any, **kwargs: Any) -> Any:
        """Write nothing."""

    write_config = write_record = write_metrics = write_summary = write_predictions = ignore
    save = load_state_dict = require_model = ignore


def versions() -> Dict[str, str]:
    """Versions of what a result depends on."""
    from ..version import __version__

    return {
        "gluonnlp_snli_plugin": __version__,
        "mxnet": mxnet.__version__,
        "gluonnlp": gluonnlp.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **({"jax": sys.modules["jax"].__version__} if "jax" in sys.modules else {}),
    }


def peak_rss_mb() -> float:
    """Largest memory of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
