"""Atomic, hash-verified checkpoints: all that it takes to resume a run as if nothing had happened.

``checkpoints/NUMBER/`` holds ``arrays.safetensors`` (weights and the optimizer's state), ``state.json`` (all the rest)
and ``manifest.json`` with a hash of either. It is made under another name, synced and then renamed, so one that is
there is whole, unless the disk has lost something, which the hashes tell. Nothing in it is ever executed.
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
from typing import Any, Dict, NamedTuple, Optional

import numpy as np
import safetensors.numpy

from ..errors import CheckpointError, PluginError
from ..system.files import digest, read_json
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

    def __init__(self, folder, keep):
        self._folder = Path(folder)
        self._keep = keep
        self._arrays: Optional[ArrayFile] = None
        self._writing = None
        self._error = None

    def write(self, update, arrays, state):
        """Write a checkpoint in the background; waits for the one before.

        Parameters
        ----------
        update : int
        arrays : dict of str to NDArray
            Those of all checkpoints have the same names and shapes. MXNet copies them before it does what it is asked
            to do from here on.
        state : dict

        Raises
        ------
        PluginError
            If the one before could not be written.
        """
        self.wait()
        if self._arrays is None:
            self._arrays = ArrayFile(arrays)
        self._arrays.fill(arrays)
        self._writing = threading.Thread(target=self._write, args=(update, self._arrays, state), name="checkpoint")
        self._writing.start()

    def wait(self):
        """Wait until the last checkpoint is on the disk.

        Raises
        ------
        PluginError
            If it could not be written, or holds what is no number; those before are still there.
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

    def newest(self):
        """The newest sound checkpoint, or None; says which ones are not.

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

    def newest_state(self):
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

    def tidy(self):
        """Remove what a process that was killed has left: a checkpoint half written, old ones half removed."""
        for leftover in self._folder.glob(f"*{_TEMPORARY}"):
            shutil.rmtree(leftover)
        for old in self._found()[: -self._keep]:
            shutil.rmtree(old)

    def _found(self):
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PluginError(f"{self._folder}: {error.strerror}") from None
        return [self._folder / name for name in sorted(filter(_NAME.fullmatch, names), key=int)]

    def _write(self, update, arrays, state):
        try:
            arrays.wait()
            name = arrays.not_finite()
            if name:
                raise PluginError(
                    f"after update {update} {name} is not finite; the checkpoints before it stay: try a lower --lr or "
                    "a longer warm-up (--warmup-ratio)"
                )
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{update:09d}"
            temporary = path.with_name(path.name + _TEMPORARY)
            if temporary.exists():  # of a process that was killed
                shutil.rmtree(temporary)
            temporary.mkdir()
            state = json.dumps({"update": update, **state}).encode()
            _fill(temporary, {_ARRAYS: arrays.content, _STATE: state})
            if path.exists():  # one that is not sound: a run writes none twice
                shutil.rmtree(path)
            temporary.rename(path)
            _sync(self._folder)
            self.tidy()
        except Exception as error:  # of another thread: told by wait()
            with contextlib.suppress(OSError, UnboundLocalError):
                shutil.rmtree(temporary)
            self._error = error


def _fill(folder, files):
    for name, content in files.items():
        _write_synced(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    _write_synced(folder / _MANIFEST, json.dumps({"format": _FORMAT, "files": hashes}).encode())
    _sync(folder)


def _write_synced(path, content):
    """Write a file to the disk, past the kernel's cache if that can be: fresh pages of it can cost seconds."""
    is_direct = True
    try:
        descriptor = os.open(path, _NEW_FILE | os.O_DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot
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
                is_direct = False  # it takes whole blocks of memory that begins where a page does
                fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path):
    """The checkpoint in a folder, checked against its manifest before anything is made of it."""
    update, state, hashes = _read_state(path)
    with _reading(path):
        _require_whole(path / _ARRAYS, hashes)
        return Checkpoint(update, safetensors.numpy.load_file(str(path / _ARRAYS)), state)


def _read_state(path):
    """Update, state and the hashes of all files of a checkpoint."""
    with _reading(path):
        manifest = read_json(path / _MANIFEST)
        if manifest["format"] != _FORMAT:
            raise CheckpointError(f"{path} is of format {manifest['format']}, this version reads format {_FORMAT}")
        _require_whole(path / _STATE, manifest["files"])
        state = read_json(path / _STATE)
        update = state.pop("update")
        if type(update) is not int or update != int(path.name):
            raise CheckpointError(f"{path} is one of update {update}")
        return update, state, manifest["files"]


def _require_whole(file, hashes):
    if digest(file) != hashes[file.name]:
        raise CheckpointError(f"{file} is damaged: its content is not what {_MANIFEST} says")


@contextlib.contextmanager
def _reading(path):
    """Turn what goes wrong in reading a checkpoint into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{error.filename or path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, safetensors.SafetensorError):
        raise CheckpointError(f"{path} is damaged") from None
