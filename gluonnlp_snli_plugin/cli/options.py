"""Options that several commands have, and what follows from them."""

import argparse
import os
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from ..data.assignments import in_words, listed
from ..errors import UsageError
from ..parallel.place import BACKENDS, ENGINES, default_backend
from ..system.follow import LAUNCHER, follow_parent

if TYPE_CHECKING:
    from ..evaluate.predictor import Predictor

# Those of evaluate/predictor.py, which takes seconds to import.
DTYPES = ("float32", "bfloat16", "int8", "tfloat32", "float16")


# Models -------------------------------------------------------------------------------------------------------------


def add_model_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add the options that name a fine-tuned model, or several of them."""
    parser.add_argument(
        "model",
        metavar="OUT",
        nargs="+" if several else None,
        help="output folder of finetune, folder of export --format onnx, classifier in Hugging Face's layout, or "
        ".params file of GluonNLP's finetune_classifier.py"
        + ("; of several, the probabilities are averaged" if several else ""),
    )
    parser.add_argument(
        "--dataset-name", metavar="NAME", help="name in the model store whose vocabulary a .params file uses"
    )
    parser.add_argument("--backbone", metavar="B", help="its architecture, if that name has several")


def add_device_arguments(parser: argparse.ArgumentParser, batch_size: int = 64) -> None:
    """Add the options that say how a fine-tuned model computes."""
    parser.add_argument("--batch-size", type=int, default=batch_size, metavar="N", help=f"default: {batch_size}")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="bfloat16, int8: nearly the same answers, faster on a CPU that has it; bfloat16, tfloat32, float16: on a "
        "GPU; default: float32",
    )
    parser.add_argument("--no-native", action="store_true", help="use MXNet's own operators on CPU, not the C++ ones")
    parser.add_argument("--gpus", metavar="I,J", help="GPUs to use, for example 0,1")
    parser.add_argument("--devices", metavar="D,E", help="devices to use, for example cpu:0,cpu:1")
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what computes; default: xla on GPUs, mxnet on CPU"
    )


def load_predictor(model: str, options: argparse.Namespace) -> "Predictor":
    """The predictor of a model with the options of :func:`add_model_arguments` and :func:`add_device_arguments`."""
    from ..evaluate.predictor import Predictor
    from ..parallel.devices import parse_devices
    from ..system.memory import give_back_large_blocks

    devices = parse_devices(options.devices, options.gpus, options.engine)
    give_back_large_blocks()
    return Predictor.load(
        model,
        devices.places,
        options.batch_size,
        options.dataset_name,
        options.backbone,
        options.dtype,
        not options.no_native,
        options.engine,
    )


# Files of pairs -----------------------------------------------------------------------------------------------------


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how files of pairs are written, and what to do with bad rows."""
    add_naming_arguments(parser)
    parser.add_argument("--on-bad-row", choices=("error", "skip"), default="error", help="default: error")


def add_naming_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how files of pairs are written."""
    parser.add_argument(
        "--columns",
        metavar="C",
        help="names of columns that are not recognized: premise=NAME,hypothesis=NAME,label=NAME",
    )
    parser.add_argument(
        "--labels", metavar="L", help="the meaning of unknown labels, such as numbers: SPELLING=CLASS,..."
    )


def refuse_names_of_classes(labels: Optional[str], classes: Sequence[str]) -> None:
    """Raise a UsageError where ``--labels`` names classes: a fine-tuned model has its own.

    Parameters
    ----------
    labels : str or None
        What ``--labels`` says.
    classes : sequence of str
        Those of the model.
    """
    spellings = "SPELLING=CLASS,..."
    if listed("--labels", labels, spellings):
        raise UsageError(
            f"the model's classes are {in_words(classes)} and cannot be renamed: omit --labels, or say what labels in "
            f"the files mean: --labels {spellings}"
        )


# Ranks --------------------------------------------------------------------------------------------------------------


def add_rank_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that run on several ranks."""
    parser.add_argument("--np", type=int, metavar="N", help="ranks: processes that train together (default: 1)")
    parser.add_argument(
        "--comm",
        choices=BACKENDS,
        help="how ranks communicate: MXNet's parameter server (default), Horovod, or JAX (default with XLA)",
    )
    parser.add_argument(
        "--port", type=int, metavar="P", help="port of the parameter server or of JAX's rank 0 (default: any free port)"
    )


def run_on_ranks(
    options: argparse.Namespace,
    run: Callable[[Optional[str]], Optional[int]],
    default: int = 1,
    uses_xla: bool = False,
) -> Optional[int]:
    """Call `run` on this rank; or start the ranks, if that is what the options ask for.

    Parameters
    ----------
    options : argparse.Namespace
        With the values of :func:`add_rank_arguments`, and `arguments`, the whole command.
    run : callable
        Gets the backend (None in a run of one process) and returns an exit status.
    default : int
        Ranks where ``--np`` is not given.
    uses_xla : bool, default False
        Whether the run computes through XLA.

    Returns
    -------
    int or None
        Exit status.
    """
    from ..parallel import launch
    from ..parallel.place import known_rank, launched_backend

    if LAUNCHER in os.environ or (launched_backend() and options.comm and not options.np):
        if LAUNCHER not in os.environ:  # whose ranks follow it from their start
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
    return launch.launch(options.arguments, num_ranks, options.comm or default_backend(uses_xla), options.port)
