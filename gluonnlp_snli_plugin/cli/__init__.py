"""The command ``gluonnlp-snli``: reads its arguments, runs a subcommand and turns errors into a line and a status.

Nothing here, nor at the top of a module of ``commands``, imports MXNet, NumPy or another large package: importing these
takes seconds, and help and usage errors need none of it.
"""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
from typing import Iterator, List, NoReturn, Optional

import gluonnlp_snli_plugin

from ..errors import PluginError, Stopped, UsageError, printable
from ..system.follow import LAUNCHER
from ..version import __version__
from .commands import evaluate, export, finetune, import_bert, list, predict, pretrain, report, run, serve, train_vocab
from .streams import standard_streams

PROGRAM = "gluonnlp-snli"
COMMANDS = {
    "finetune": finetune,
    "evaluate": evaluate,
    "predict": predict,
    "report": report,
    "export": export,
    "serve": serve,
    "import-bert": import_bert,
    "train-vocab": train_vocab,
    "pretrain": pretrain,
    "run": run,
    "list": list,
}


class _Parser(argparse.ArgumentParser):
    """Reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str or None
        Default ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit status: 0, 2 for a usage error, 1 for a run that failed, 130 for Ctrl-C.
    """
    with standard_streams(), _logging_to_standard_error():
        status = _run(sys.argv[1:] if arguments is None else arguments)
    if status and "mxnet" in sys.modules:  # else there are no ranks that would wait for this one
        _leave_ranks(status)
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; the parsed options have the command's functions as `check` and `run`.

    Returns
    -------
    argparse.ArgumentParser
        Raises a UsageError where others end the process.
    """
    parser = _Parser(prog=PROGRAM, description="Natural language inference with BERT in GluonNLP.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, module in COMMANDS.items():
        description = module.__doc__ or ""
        command = commands.add_parser(name, help=description.splitlines()[0], description=description)
        module.add_arguments(command)
        command.set_defaults(run=module.run, check=getattr(module, "check", None))
    return parser


def _run(arguments: List[str]) -> int:
    parser = make_parser()
    try:
        if any("\0" in argument for argument in arguments):  # which no shell can pass, but another program might
            raise UsageError("an argument holds a NUL character")
        try:
            options = parser.parse_args(arguments)
        except SystemExit:  # after --help
            sys.stdout.flush()
            raise
        options.arguments = arguments
        if options.check:
            options.check(options)
        _load_package()
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except Stopped as stopped:
        _say(stopped)
        return stopped.status
    except UsageError as error:
        _say(f"error: {error}")
        return 2
    except PluginError as error:
        return _failed(str(error))
    except (MemoryError, RuntimeError) as error:
        reason = "".join(str(error).strip().splitlines()[-1:])
        if not isinstance(error, MemoryError) and not (re.search("allocate|bad_alloc", reason) and _is_mxnets(error)):
            raise
        return _failed(f"not enough memory for that: {reason}")
    except KeyboardInterrupt:
        _say("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of standard output has closed it
        return 0


def _load_package() -> None:
    try:
        gluonnlp_snli_plugin._load()
    except ImportError as error:
        if error.name != "mxnet":
            raise
        raise PluginError(str(error)) from None


def _failed(reason: str) -> int:
    """Report a failed run; the exit status tells a launcher of ranks that this message says it all."""
    _say(f"error: {reason}")
    if LAUNCHER not in os.environ:
        return 1
    from ..parallel.place import HAS_SAID_WHY

    return HAS_SAID_WHY


def _leave_ranks(status: int) -> None:
    """End this process at once if it is a rank, so that it does not wait for the others."""
    from ..parallel.backends import leave_ranks
    from ..parallel.place import launched_backend

    if launched_backend():
        leave_ranks(status)


def _is_mxnets(error: Exception) -> bool:
    from mxnet import MXNetError

    return isinstance(error, MXNetError)


def _say(what: object) -> None:
    with contextlib.suppress(OSError):  # standard error is full
        print(f"{PROGRAM}: {what}", file=sys.stderr)


class _Printable(logging.Formatter):
    """Messages in one line, whatever names are in them."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


@contextlib.contextmanager
def _logging_to_standard_error() -> Iterator[None]:
    """Show the package's own messages, and leave the root logger to the scripts that ``run`` runs."""
    log = logging.getLogger("gluonnlp_snli_plugin")
    before = log.handlers[:], log.level, log.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable())
    log.handlers[:], log.propagate = [handler], False
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.handlers[:], _, log.propagate = before
        log.setLevel(before[1])
