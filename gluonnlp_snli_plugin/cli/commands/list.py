"""Show what can be looked up by name."""

import argparse
from typing import List

_KINDS = ("datasets", "tasks", "models", "weights", "vocabularies", "truncations", "heads", "formats")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=_KINDS, help="default: all of them")


def run(options: argparse.Namespace) -> None:
    if options.kind:
        print(*_names(options.kind), sep="\n")
        return
    for kind in _KINDS:
        print(f"{kind:12} {', '.join(_names(kind)) or 'none'}")


def _names(kind: str) -> List[str]:
    from ... import registry, store
    from ...data.truncation import list_truncations

    if kind == "weights":
        return [f"{entry.backbone} {entry.dataset_name}" for entry in store.checkpoints().values()]
    if kind == "vocabularies":
        return list(store.vocabularies())
    return list_truncations() if kind == "truncations" else registry.names()[kind]
