"""The output folder of a run: settings, metrics, summary, the best model, its answers, and a report of it all."""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import resource
import shutil
from pathlib import Path

import gluonnlp
import mxnet
import numpy

from ..errors import PluginError, UsageError
from ..files import open_regular, read_json, write_json
from ..model.folder import load_model, save_model, weights_sha256
from ..model.inference import probabilities
from ..report import try_report
from ..report.predictions import Predictions, write_predictions
from .tensorboard import Scalars

_METRICS = "metrics.jsonl"
_OURS = (
    "config.json",
    _METRICS,
    "summary.json",
    "model",
    "checkpoints",
    "predictions",
    "report.html",
    "tensorboard",
)
_LOCK = ".lock"


class OutputFolder:
    """The output folder of a run; a context manager.

    Made before the run, it only looks whether the folder can be used; entered, it removes the run that is there.

    Parameters
    ----------
    path : str
    overwrite : bool
        Whether to replace a run that is already there.
    resumes : bool, default False
        Whether to go on with the run that is there.
    tensorboard : bool, default False
        Whether to write metrics for TensorBoard too.

    Raises
    ------
    UsageError
        If another run is there, or files that are not a run's, or what writes for TensorBoard is not installed.
    PluginError
        If the folder cannot be written, or a run is writing to it now.
    """

    def __init__(self, path, overwrite, resumes=False, tensorboard=False):
        self.path = Path(path)
        self._resumes = resumes
        self._scalars = Scalars(self.path / "tensorboard") if tensorboard else None
        if resumes:
            return
        with self._writing():
            found = sorted(entry.name for entry in self.path.iterdir()) if self.path.exists() else []
        found = [name for name in found if name != _LOCK]
        if found and not self._is_run(found):
            foreign = next((name for name in found if name not in _OURS), found[0])
            raise UsageError(f"{path} holds {foreign}, which is no run's: give another --output-dir")
        if found and not overwrite:
            raise UsageError(f"{path} holds another run: give another --output-dir, or --overwrite")

    def _is_run(self, found):
        """Whether the folder is one that this class made, not somebody's who has a ``config.json`` too."""
        try:
            config = read_json(self.path / "config.json")
            return {"settings", "versions"} <= set(config)
        except (OSError, ValueError, TypeError):
            return set(found) <= set(_OURS) and "model" not in found

    def __enter__(self):
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open_regular(self.path / _LOCK, "a+", encoding="utf-8")
            self._take_lock()
            for name in () if self._resumes else _OURS:
                entry = self.path / name
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry.exists():
                    entry.unlink()
            self._metrics = open_regular(self.path / _METRICS, "a", encoding="utf-8")
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # what could not be written has been told
            self._metrics.close()
            if self._scalars:
                self._scalars.close()
        self._lock.close()

    def _take_lock(self):
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            raise PluginError(f"{self.path} is in use: process {self._lock.read().strip()} is writing to it") from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    @contextlib.contextmanager
    def _writing(self, name=""):
        try:
            yield
        except OSError as error:
            raise PluginError(f"cannot write to {error.filename or self.path / name}: {error.strerror}") from None

    def write_config(self, config, **more):
        """Record everything that it takes to repeat the run."""
        self.write_record({"settings": dataclasses.asdict(config), **more})

    def write_record(self, record):
        """Write what ``config.json`` holds."""
        with self._writing():
            write_json(self.path / "config.json", record)

    def write_metrics(self, kind, epoch, update, **values):
        """Add one line to ``metrics.jsonl``; it is on its way to the disk at once."""
        with self._writing(_METRICS):
            self._metrics.write(json.dumps({"kind": kind, "epoch": epoch, "update": update, **values}) + "\n")
            self._metrics.flush()
            if self._scalars:
                self._scalars.add(kind, update, values)

    def synced_size(self):
        """Bytes of ``metrics.jsonl`` so far, which are on the disk now."""
        with self._writing(_METRICS):
            os.fsync(self._metrics.fileno())
            return self._metrics.tell()

    def go_on_from(self, metrics_size):
        """Forget the lines of ``metrics.jsonl`` behind so many bytes."""
        with self._writing(_METRICS):
            if self._metrics.tell() < metrics_size:
                raise PluginError(f"{self.path / _METRICS} has lost lines since the checkpoint was written")
            self._metrics.truncate(metrics_size)

    def require_model(self):
        """Complain if ``model/`` is not there, or damaged."""
        load_model(self.path)

    def write_summary(self, summary):
        with self._writing():
            write_json(self.path / "summary.json", summary)

    def save(self, model, arrays):
        """Write ``model/``, the best so far; see :func:`save_model`."""
        with self._writing():
            save_model(model, self.path / "model", arrays)

    def write_predictions(self, name, segment, scores, dtype="float32"):
        """Write what the model that is saved answers.

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
        record.update(weights=weights_sha256(self.path), dtype=dtype)
        write_predictions(self.path, name, Predictions.of(segment.pairs, probabilities(scores.astype(float)), **record))

    def write_report(self):
        """Write ``report.html``; whether that works has no effect on the run."""
        try_report(self.path)


class NoOutput:
    """Stands in for the output folder on every rank but the first."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ignore(self, *args, **kwargs):
        """Write nothing."""

    write_config = write_record = write_metrics = write_summary = write_predictions = write_report = ignore
    save = go_on_from = require_model = ignore


def versions():
    """Versions of what a result depends on."""
    from .. import __version__

    return {
        "gluonnlp_snli_plugin": __version__,
        "mxnet": mxnet.__version__,
        "gluonnlp": gluonnlp.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def peak_rss_mb():
    """Largest memory of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
