"""The shape of the package: imports point one way, and modules and folders stay small enough to be read."""

import ast
from pathlib import Path

import pytest

import gluonnlp_snli_plugin

PACKAGE = Path(gluonnlp_snli_plugin.__file__).parent

# From the top to the bottom: each imports from itself and from the levels below it, as docs/architecture.md says.
LEVELS = [
    {"__init__", "__main__"},
    {"cli"},
    {"api"},
    {"host", "serve"},
    {"train"},
    {"report"},
    {"evaluate"},
    {"parallel", "formats"},
    {"native", "store", "xla"},
    {"model"},
    {"tasks"},
    {"data"},
    {"text"},
    {"registry"},
    {"compat", "system"},
    {"errors", "version"},
]
LEVEL_OF = {name: number for number, names in enumerate(LEVELS) for name in names}
LONGEST_MODULE, FULLEST_FOLDER = 310, 15
MODULES = {path.relative_to(PACKAGE): ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}


def imported(path, tree):
    """The rooms of the package that a module imports from, with the line."""
    folder = list(path.parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - (node.level - 1)] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield (base or [alias.name])[0], node.lineno


def room(path):
    return path.parts[0] if len(path.parts) > 1 else path.stem


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path):
    upwards = [
        f"{path}:{line} imports from {name}"
        for name, line in imported(path, MODULES[path])
        if LEVEL_OF[name] < LEVEL_OF[room(path)] or (name != room(path) and LEVEL_OF[name] == LEVEL_OF[room(path)])
    ]
    assert not upwards


def test_every_room_has_a_level():
    assert {room(path) for path in MODULES} == set(LEVEL_OF)
    assert all((PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() for name in LEVEL_OF)


def test_a_room_is_neither_empty_nor_full():
    folders = {folder for path in MODULES for folder in [path.parent] if folder.parts}
    sizes = {str(folder): len(list((PACKAGE / folder).glob("*.py"))) - 1 for folder in folders}
    assert {folder: size for folder, size in sizes.items() if not 2 <= size <= FULLEST_FOLDER} == {}


def test_a_module_can_be_read_at_one_sitting():
    lengths = {str(path): len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) for path in MODULES}
    del lengths["compat.py"]  # which the startup hook runs by its path, without a package to import from
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}
