"""The options of commands that run on several ranks."""

import os

from ..errors import UsageError
from ..parallel import launch
from ..parallel.comm import BACKENDS, known_rank, launched_backend
from ..system.follow import LAUNCHER, follow_parent


def add_rank_arguments(parser):
    parser.add_argument("--np", type=int, metavar="N", help="ranks: processes that train together (default: 1)")
    parser.add_argument(
        "--comm", choices=BACKENDS, help="how ranks communicate: MXNet's parameter server (default) or Horovod"
    )
    parser.add_argument(
        "--port", type=int, metavar="P", help="port of the parameter server (default: any that is free)"
    )


def run_on_ranks(options, run, default=1):
    """Call `run` on this rank; or start the ranks, if that is what the options ask for.

    Parameters
    ----------
    options : argparse.Namespace
        With the values of :func:`add_rank_arguments`, and `arguments`, the whole command.
    run : callable
        Gets the backend (None for a process that is alone) and returns an exit status.
    default : int
        Ranks where there is no ``--np``.

    Returns
    -------
    int
        Exit status.
    """
    if LAUNCHER in os.environ or (launched_backend() and options.comm and not options.np):
        if LAUNCHER not in os.environ:  # whose ranks follow it from their first moment on
            follow_parent()
        with launch.alive(known_rank()):
            return run(options.comm or launched_backend())
    num_ranks = default if options.np is None else options.np
    if num_ranks < 1:
        raise UsageError(f"--np is {num_ranks}; it must be at least 1")
    if num_ranks == 1:
        for option in ("comm", "port"):
            if getattr(options, option) is not None:
                raise UsageError(f"--{option} needs several ranks: give --np N too")
        return run(None)
    return launch.launch(options.arguments, num_ranks, options.comm or BACKENDS[0], options.port)
