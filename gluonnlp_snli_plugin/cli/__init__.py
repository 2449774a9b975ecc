"""The command ``gluonnlp-snli``: a module for each subcommand, each a thin shell over the packages."""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys

import mxnet as mx

from ..errors import PluginError, Stopped, UsageError, printable
from ..parallel.comm import HAS_SAID_WHY, LAUNCHER, launched_backend, leave_ranks
from ..version import __version__
from . import evaluate, export, finetune, import_bert, list, predict, pretrain, report, run, serve, train_vocab
from .streams import standard_streams

PROGRAM = "gluonnlp-snli"
_COMMANDS = {
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
    """Complains in one line."""

    def error(self, message):
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str or None
        Default ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit status: 0, 2 for a request that makes no sense, 1 for a run that failed, 130 for Ctrl-C.
    """
    with standard_streams(), _logging_to_standard_error():
        status = _run(sys.argv[1:] if arguments is None else arguments)
    if status and launched_backend():
        leave_ranks(status)
    return status


class _Printable(logging.Formatter):
    """Messages in one line, whatever names are in them."""

    def formatMessage(self, record):
        return printable(super().formatMessage(record))


@contextlib.contextmanager
def _logging_to_standard_error():
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


def make_parser():
    """The parser of the command line; what it makes of arguments has the command's function as `run`.

    Returns
    -------
    argparse.ArgumentParser
        Raises a UsageError where others end the process.
    """
    parser = _Parser(prog=PROGRAM, description="Natural language inference with BERT in GluonNLP.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, module in _COMMANDS.items():
        description = module.__doc__ or ""
        command = commands.add_parser(name, help=description.splitlines()[0], description=description)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _run(arguments):
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
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except Stopped as stopped:
        _say(stopped)
        return stopped.status
    except PluginError as error:
        _say(f"error: {error}")
        if isinstance(error, UsageError):
            return 2
        return HAS_SAID_WHY if LAUNCHER in os.environ else 1
    except (MemoryError, mx.MXNetError) as error:
        reason = "".join(str(error).strip().splitlines()[-1:])
        if isinstance(error, mx.MXNetError) and not re.search("allocate|bad_alloc", reason):
            raise
        _say(f"error: not enough memory for that: {reason}")
        return HAS_SAID_WHY if LAUNCHER in os.environ else 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of standard output has had enough
        return 0


def _say(what):
    with contextlib.suppress(OSError):  # standard error is full
        print(f"{PROGRAM}: {what}", file=sys.stderr)
