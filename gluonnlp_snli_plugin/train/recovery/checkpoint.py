"""Atomic, hash-verified checkpoints: everything needed to resume a run with the same results.

``checkpoints/NUMBER/`` holds ``arrays.safetensors`` (weights and the optimizer's state), ``state.json`` (all the rest)
and ``manifest.json`` with the hashes of both. It is written under another name, synced and then renamed, so one that is
there is complete; the hashes tell whether the disk has damaged it. Nothing in it is ever executed.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import safetensors.numpy

from ...errors import CheckpointError, PluginError
from ...system.files import digest, writing
from ...system.reading import read_json, reading
from .array_file import ArrayFile

_log = logging.getLogger("gluonnlp_snli_plugin")

_FORMAT = 1
_ARRAYS, _STATE, _MANIFEST = "arrays.safetensors", "state.json", "manifest.json"
_NAME = re.compile(r"[0-9]{9,}")
_TEMPORARY = ".new"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_BLOCK = 1 << 23  # bytes written at once


class Checkpoint(NamedTuple):
    """What a run is resumed from."""

    update: int  #: updates done
    arrays: Dict[str, np.ndarray]
    state: Dict[str, Any]  #: numbers, texts, lists and dicts


class Checkpoints:
    """The checkpoints of a run.

    Parameters
    ----------
    folder : Path
    keep : int
        How many of the newest to keep.
    """

    def __init__(self, folder: Union[str, "os.PathLike[str]"], keep: int) -> None:
        self._folder = Path(folder)
        self._keep = keep
        self._arrays: Optional[ArrayFile] = None
        self._writing: Optional[threading.Thread] = None
        self._error: Optional[Exception] = None

    def write(self, update: int, arrays: Dict[str, Any], state: Dict[str, Any]) -> None:
        """Write a checkpoint in the background; waits for the previous one.

        Parameters
        ----------
        update : int
        arrays : dict of str to NDArray or jax.Array
            All checkpoints have the same names and shapes. MXNet copies their values before it runs any operation
            called after this one.
        state : dict

        Raises
        ------
        PluginError
            If the previous one could not be written.
        """
        self.wait()
        if self._arrays is None:
            self._arrays = ArrayFile(arrays)
        self._arrays.fill(arrays)
        self._writing = threading.Thread(target=self._write, args=(update, self._arrays, state), name="checkpoint")
        self._writing.start()

    def wait(self) -> None:
        """Wait until the last checkpoint is on the disk.

        Raises
        ------
        PluginError
            If it could not be written, or holds a number that is not finite; earlier ones are kept.
        """
        if self._writing:
            self._writing.join()
            self._writing = None
        if self._error:
            error, self._error = self._error, None
            if isinstance(error, PluginError):
                raise error
            reason = getattr(error, "strerror", None) or error
            raise PluginError(f"cannot write a checkpoint to {self._folder}: {reason}") from None

    def newest(self) -> Optional[Checkpoint]:
        """The newest sound checkpoint, or None; warns about damaged ones.

        Returns
        -------
        Checkpoint or None
        """
        for path in reversed(self._found()):
            try:
                return _read(path)
            except CheckpointError as error:
                _log.warning("%s; the checkpoint before it is used, if there is one", error)
        return None

    def newest_state(self) -> Tuple[int, Dict[str, Any]]:
        """The update and the state of the newest checkpoint, without its arrays; (0, {}) if there is none.

        Returns
        -------
        update : int
        state : dict
        """
        for path in reversed(self._found()):
            with contextlib.suppress(CheckpointError):
                return _read_state(path)[:2]
        return 0, {}

    def tidy(self) -> None:
        """Remove old checkpoints, and those that a killed process left half written or half removed.

        Raises
        ------
        PluginError
            If one cannot be removed.
        """
        with writing(self._folder):
            for leftover in self._folder.glob(f"*{_TEMPORARY}"):
                shutil.rmtree(leftover)
            for old in self._found()[: -self._keep]:
                shutil.rmtree(old)

    def _found(self) -> List[Path]:
        with reading(self._folder, PluginError):
            try:
                names = os.listdir(self._folder)
            except FileNotFoundError:
                return []
        return [self._folder / name for name in sorted(filter(_NAME.fullmatch, names), key=int)]

    def _write(self, update: int, arrays: ArrayFile, state: Dict[str, Any]) -> None:
        try:
            arrays.wait()
            name = arrays.not_finite()
            if name:
                raise PluginError(
                    f"after update {update} {name} is not finite; earlier checkpoints are kept: try a lower --lr or a "
                    "longer warm-up (--warmup-ratio)"
                )
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{update:09d}"
            temporary = path.with_name(path.name + _TEMPORARY)
            if temporary.exists():  # of a process that was killed
                shutil.rmtree(temporary)
            temporary.mkdir()
            _fill(temporary, {_ARRAYS: arrays.content, _STATE: json.dumps({"update": update, **state}).encode()})
            if path.exists():  # a damaged one: a run never writes a checkpoint twice
                shutil.rmtree(path)
            temporary.rename(path)
            _sync(self._folder)
            self.tidy()
        except Exception as error:  # raised by wait(), in the caller's thread
            with contextlib.suppress(OSError, UnboundLocalError):
                shutil.rmtree(temporary)
            self._error = error


def _fill(folder: Path, files: Dict[str, Any]) -> None:
    for name, content in files.items():
        _write_synced(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    _write_synced(folder / _MANIFEST, json.dumps({"format": _FORMAT, "files": hashes}).encode())
    _sync(folder)


def _write_synced(path: Path, content: Any) -> None:
    """Write a file to the disk, past the kernel's page cache if possible: allocating its pages can take seconds."""
    is_direct = True
    try:
        descriptor = os.open(path, _NEW_FILE | os.O_DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems do not support O_DIRECT
            raise
        is_direct, descriptor = False, os.open(path, _NEW_FILE, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest[:_BLOCK]) :]
            except OSError as error:
                if error.errno != errno.EINVAL or not is_direct:
                    raise
                is_direct = False  # O_DIRECT takes only whole blocks of page-aligned memory
                fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Checkpoint:
    """The checkpoint in a folder, verified against its manifest before it is parsed."""
    update, state, hashes = _read_state(path)
    _require_whole(path / _ARRAYS, hashes)
    try:
        return Checkpoint(update, safetensors.numpy.load_file(str(path / _ARRAYS)), state)
    except safetensors.SafetensorError:
        raise CheckpointError(f"{path} is damaged") from None


def _read_state(path: Path) -> Tuple[int, Dict[str, Any], Dict[str, str]]:
    """Update, state and the hashes of all files of a checkpoint."""
    manifest = _read_json(path / _MANIFEST)
    with reading(path, CheckpointError):
        if manifest["format"] != _FORMAT:
            raise CheckpointError(f"{path} is of format {manifest['format']}, this version reads format {_FORMAT}")
        hashes = manifest["files"]
        _require_whole(path / _STATE, hashes)
        state = _read_json(path / _STATE)
        update = state.pop("update")
        if type(update) is not int or update != int(path.name):
            raise CheckpointError(f"{path} is of update {update}")
        return update, state, hashes


def _read_json(file: Path) -> Any:
    with reading(file, CheckpointError, damaged=f"{file.parent} is damaged", missing=f"{file} is missing"):
        return read_json(file)


def _require_whole(file: Path, hashes: Dict[str, str]) -> None:
    with reading(file, CheckpointError, damaged=f"{file.parent} is damaged", missing=f"{file} is missing"):
        if digest(file) != hashes[file.name]:
            raise CheckpointError(f"{file} is damaged: its content is not what {_MANIFEST} says")
