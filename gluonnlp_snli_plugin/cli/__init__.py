"""The command ``gluonnlp-snli``: a module for each subcommand, each a thin shell over the packages."""

import argparse
import logging
import os
import signal
import sys

from .. import __version__
from ..errors import PluginError, UsageError
from . import evaluate, finetune, import_bert, list, predict

PROGRAM = "gluonnlp-snli"
_COMMANDS = {
    "finetune": finetune,
    "evaluate": evaluate,
    "predict": predict,
    "import-bert": import_bert,
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
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    parser = _Parser(prog=PROGRAM, description="Natural language inference with BERT in GluonNLP.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, module in _COMMANDS.items():
        description = module.__doc__ or ""
        command = commands.add_parser(name, help=description.splitlines()[0], description=description)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    try:
        options = parser.parse_args(arguments)
        options.run(options)
        sys.stdout.flush()
        return 0
    except PluginError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
