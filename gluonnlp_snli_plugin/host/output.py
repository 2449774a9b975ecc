"""Lets rank 0 alone write what every rank of a script would write: files, logs and what is printed."""

import builtins
import io
import logging
import os
import sys
import warnings
from typing import Any, Callable, Dict, Union

import mxnet as mx

from .. import registry
from ..parallel.place import is_on_first_machine


class OutputOfRankZero:
    """What a script writes on one of several ranks.

    Parameters
    ----------
    folder : str
        Of the script: files that code in it opens are the script's own.
    is_first : bool
        Whether this is rank 0.
    changes : registry.Changes
        Undoes it.
    copies : Path
        A temporary folder for what this rank saves and loads again, where it does not see rank 0's files.
    wait : callable
        Waits until all ranks have called it.
    """

    def __init__(
        self,
        folder: str,
        is_first: bool,
        changes: registry.Changes,
        copies: Union[str, "os.PathLike[str]"],
        wait: Callable[[], None],
    ) -> None:
        self._folder, self._is_first, self._copies, self._wait = folder, is_first, copies, wait
        self._is_released = False
        self._saved: Dict[str, str] = {}  # where to load again what the script has saved
        self._stdout = sys.stdout
        changes.wrap(mx.ndarray, "load", self._load)
        changes.wrap(mx.ndarray, "save", self._save)
        if is_first:
            return
        changes.wrap(mx.symbol.Symbol, "save", self._skip)
        changes.wrap(mx.gluon.Trainer, "save_states", self._skip)
        changes.wrap(logging.FileHandler, "__init__", self._open_log)
        for module in (builtins, io):
            changes.wrap(module, "open", self._open)
        self._stdout, sys.stdout = sys.stdout, builtins.open(os.devnull, "w")  # noqa: SIM115
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")

    def release(self) -> None:
        """Let every rank write, because the script itself knows which one it is."""
        if not self._is_released and not self._is_first:
            sys.stdout = self._stdout
            logging.disable(logging.NOTSET)
        self._is_released = True

    def _skip(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if self._is_released else None

    def _save(self, original: Callable[..., Any], fname: Any, data: Any) -> Any:
        if self._is_released:
            return original(fname, data)
        path = os.path.abspath(fname)
        self._saved[path] = path
        if self._is_first:
            return original(fname, data)
        if not is_on_first_machine():
            self._saved[path] = os.path.join(self._copies, str(len(self._saved)))
            original(self._saved[path], data)
        return None

    def _load(self, original: Callable[..., Any], fname: Any) -> Any:
        if self._is_released or os.path.abspath(fname) not in self._saved:
            return original(fname)
        self._wait()  # until rank 0 has written it
        return original(self._saved[os.path.abspath(fname)])

    def _open_log(self, original: Callable[..., Any], handler: Any, filename: str, *args: Any, **kwargs: Any) -> None:
        original(handler, filename if self._is_released else os.devnull, *args, **kwargs)

    def _open(self, original: Callable[..., Any], file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(2).f_code.co_filename  # beyond this function and the one that stands for open
        if not self._is_released and set(mode) & set("wax+") and self._is_own(caller):
            file = os.devnull
            mode = mode.replace("x", "w")
        return original(file, mode, *args, **kwargs)

    def _is_own(self, filename: str) -> bool:
        """Whether a line of code is the script's own or of a module beside it."""
        filename = os.path.abspath(filename)
        return filename.startswith(os.path.join(self._folder, "")) and "site-packages" not in filename
