"""Answer pairs over HTTP, with a page to try some by hand."""

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ..options import add_device_arguments, add_model_arguments, load_predictor

if TYPE_CHECKING:
    from ...evaluate.predictor import Predictor

_BATCH_SIZE = 16  # of pairs of similar length, among the 64 that are computed together
_LIMITS = {
    "connections": ("connections", int, 512, "connections at a time; ulimit -n may allow fewer"),
    "waiting": ("waiting", int, 512, "pairs that may wait, of all clients together"),
    "seconds": ("seconds", float, 30, "time for a request"),
    "pairs": ("pairs", int, 256, "pairs in a request"),
    "explained": ("explained_pairs", int, 8, "pairs in a request with explanations"),
    "characters": ("characters", int, 10_000, "characters in a sentence"),
    "bytes": ("body_bytes", int, 1 << 20, "size of a request"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen at; default: 127.0.0.1")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients reach the service, besides addresses, localhost, this machine's name and H",
    )
    parser.add_argument("--port", type=int, default=8000, metavar="P", help="0: any free port; default: 8000")
    for name, (_, kind, default, what) in _LIMITS.items():
        parser.add_argument(
            f"--max-{name}", type=kind, default=default, metavar="N", help=f"{what}; default: {default}"
        )
    add_device_arguments(parser, _BATCH_SIZE)


def check(options: argparse.Namespace) -> None:
    for name in _LIMITS:
        value = getattr(options, f"max_{name}")
        if not 0 < value < 1 << 31:
            raise UsageError(f"--max-{name} is {value}; it must be positive, and below 2147483648")


def run(options: argparse.Namespace) -> None:
    try:
        from ...serve import server
        from ...serve.app import make_app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("gluonnlp_snli_plugin"):
            raise
        raise UsageError(
            f"serve needs {error.name}, which is not installed: pip install 'gluonnlp-snli-plugin[serve]'"
        ) from None
    from ...serve.batching import Batcher
    from ...serve.request import Limits

    limits = Limits(**{field: getattr(options, f"max_{name}") for name, (field, *_) in _LIMITS.items()})
    bound = server.bind(options.host, options.port)  # before the model is read

    with bound:
        batcher = Batcher(lambda: _ready_predictor(options), limits.waiting)
        settings = batcher.predictor.settings
        facts = {
            "model": Path(options.model).resolve().name,
            "labels": settings.labels,
            "backbone": settings.backbone,
            "dtype": options.dtype,
        }
        hosts = [options.host, socket.gethostname(), *options.allow_host]
        server.run(make_app(batcher, limits, facts, hosts), bound, limits, options.model)


def _ready_predictor(options: argparse.Namespace) -> "Predictor":
    """The predictor, which compiles nothing more when it is asked."""
    predictor = load_predictor(options.model, options)
    predictor.compile()
    return predictor
