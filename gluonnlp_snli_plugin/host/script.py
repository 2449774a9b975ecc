"""Runs a Python file as ``python FILE`` would, inside this process."""

import builtins
import importlib.util
import os
import sys
import traceback
import types
from typing import Any, Callable, Optional, Sequence, Union

from ..errors import PluginError, UsageError
from ..system.reading import read_bytes


class Script:
    """A Python program in a file.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    has_exited : bool
        Whether it has ended with ``sys.exit``, as after ``--help``.

    Raises
    ------
    UsageError
        If there is no such file, or it is not valid Python.
    """

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = str(path)
        self.has_exited = False
        # What Python calls it in tracebacks and in __file__.
        self._file = os.path.abspath(path) if sys.version_info >= (3, 9) else self.path
        try:
            source = read_bytes(path)
        except FileNotFoundError:
            raise UsageError(
                f"there is no script {path}; GluonNLP's are in its repository, dmlc/gluon-nlp at tag v0.10.0"
            ) from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        try:
            self._code = compile(importlib.util.decode_source(source), self._file, "exec", dont_inherit=True)
        except SyntaxError as error:
            where = f", line {error.lineno}" if error.lineno else ""
            raise UsageError(f"{path}{where} is not valid Python: {error.msg}") from None
        except (ValueError, LookupError, RecursionError, MemoryError) as error:
            raise UsageError(f"{path} is not valid Python: {error}") from None

    @property
    def folder(self) -> str:
        """The folder from which the script imports first."""
        return os.path.dirname(os.path.abspath(self.path))

    def run(self, arguments: Sequence[str], before_traceback: Callable[[], None] = lambda: None) -> int:
        """Run the script as the program ``__main__``.

        Parameters
        ----------
        arguments : list of str
            What follows the script's name in ``sys.argv``.
        before_traceback : callable, optional
            Called if the script fails; may end the process.

        Returns
        -------
        int
            Exit status. A script that fails gets its traceback on standard error, from its own first line on.

        Raises
        ------
        PluginError
            If a part of the plugin refuses what the script was given, or the script is for another GluonNLP.
        """
        main = types.ModuleType("__main__")
        main.__file__ = self._file
        main.__builtins__ = builtins  # type: ignore[attr-defined]
        state = sys.argv, sys.path[:], sys.modules["__main__"]
        sys.argv = [self.path, *arguments]
        sys.path[:1] = [self.folder]
        sys.modules["__main__"] = main
        try:
            exec(self._code, vars(main))
            return 0
        except SystemExit as error:
            self.has_exited = True
            return self._status(error.code)
        except (PluginError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._refuse_other_gluonnlp(error)
            before_traceback()
            traceback.print_exception(type(error), error, self._own_frames(error.__traceback__))
            return 1
        finally:
            sys.argv, sys.path[:], sys.modules["__main__"] = state

    @staticmethod
    def _status(code: Any) -> int:
        """What ``sys.exit(code)`` means."""
        if code is None or isinstance(code, int):
            return code or 0
        print(code, file=sys.stderr)
        return 1

    def _refuse_other_gluonnlp(self, error: BaseException) -> None:
        """Raise a UsageError for a script of GluonNLP 1.x, another library of the same name."""
        if not isinstance(error, ImportError) or not error.name:
            return
        missing = error.name if isinstance(error, ModuleNotFoundError) else str(error)
        if error.name.split(".")[0] == "gluonnlp" or (error.name == "mxnet" and "npx" in str(error)):
            raise UsageError(
                f"{self.path} is not for GluonNLP 0.10 ({missing} is missing there), perhaps for 1.x: "
                "take the script from dmlc/gluon-nlp at tag v0.10.0"
            ) from None

    def _own_frames(self, frames: Optional[types.TracebackType]) -> Optional[types.TracebackType]:
        """The traceback from the script's first line on; all of it if the script is not in it."""
        own = frames
        while own is not None and own.tb_frame.f_code is not self._code:
            own = own.tb_next
        return own or frames
