"""Show what can be looked up by name."""

from .. import registry
from ..data.truncation import list_truncations
from ..model import store

_KINDS = ("datasets", "tasks", "models", "weights", "truncations")


def add_arguments(parser):
    parser.add_argument("kind", nargs="?", choices=_KINDS, help="default: all of them")


def run(options):
    names = {
        **registry.names(),
        "weights": [f"{entry.backbone} {entry.dataset_name}" for entry in store.checkpoints().values()],
        "truncations": list_truncations(),
    }
    if options.kind:
        print(*names[options.kind], sep="\n")
        return
    for kind in _KINDS:
        print(f"{kind:12} {', '.join(names[kind]) or 'none'}")
