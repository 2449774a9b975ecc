"""Lets GluonNLP's GLUE datasets read the official files where they are, as their download host is gone.

While the plugin is active, ``nlp.data.GlueRTE(root=DIR)`` and its like read ``DIR/RTE/train.tsv`` or ``DIR/train.tsv``,
whatever their hash. With the environment variable ``MXNET_GLUON_REPO``, which names another host, they are downloaded
and verified as GluonNLP does it.
"""

import functools
import inspect
import math
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from gluonnlp.data import glue

from .. import registry
from ..data.reader.rows import show
from ..errors import DataError

PAGE = "https://gluebenchmark.com/tasks"
_CLASSES = {
    "RTE": ("not_entailment", "entailment"),
    "QNLI": ("not_entailment", "entailment"),
    "MNLI": ("neutral", "entailment", "contradiction"),
    "STS-B": (),
}  # others have '0' and '1'
_REGRESSION = "STS-B"
#: The folder of GLUE that is read where a dataset is given no other; a host sets it.
source: Dict[str, Optional[str]] = {"root": None}


@registry.replacement("gluonnlp.data.glue", "_GlueDataset.__init__")
def _init_dataset(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, root: Any, data_file: Any, **kwargs: Any) -> None:
        _read(self, "_get_data", data_file[0], root, lambda folder: original(self, folder, data_file, **kwargs))

    return __init__


@registry.replacement("gluonnlp.data.glue", "GlueMRPC.__init__")
def _init_mrpc(original: Callable[..., None]) -> Callable[..., None]:
    default = inspect.signature(original).parameters["root"].default

    @functools.wraps(original)
    def __init__(self: Any, segment: str = "train", root: Any = default) -> None:
        _read(self, "_generate", segment, root, lambda folder: original(self, segment, folder))

    return __init__


def _read(dataset: Any, download: str, segment: str, root: Any, init: Callable[[str], None]) -> None:
    """Initialize a dataset of GluonNLP's from a folder.

    Parameters
    ----------
    dataset : gluon.data.Dataset
    download : str
        The name of its method that makes sure that the file exists.
    segment : str
    root : str
        The folder that the dataset was given, or its default.
    init : callable
        GluonNLP's own initialization from the folder that it gets.

    Raises
    ------
    DataError
        If the file is missing, or cannot be read.
    """
    is_default = root == inspect.signature(type(dataset).__init__).parameters["root"].default
    root_of_glue = source["root"] if is_default else None
    if root_of_glue is None and os.environ.get("MXNET_GLUON_REPO"):
        init(root)
        return
    file = local_file(folder_name(type(dataset)), segment, root_of_glue or root)
    setattr(dataset, download, lambda *_: None)
    try:
        init(str(file.parent))
        _require_labels(dataset, segment, file)
    except OSError as error:
        raise DataError(f"{error.filename or file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not valid UTF-8: {error.reason} at byte {error.start + 1}") from None
    except IndexError:
        raise DataError(f"{file}{_first_short(file)} has fewer columns than GLUE's own file") from None
    finally:
        delattr(dataset, download)


def _require_labels(dataset: Any, segment: str, file: Path) -> None:
    """Raise a DataError if a label is not one of the task's, as in the file of another task."""
    if segment.startswith("test") or not dataset._field_indices:
        return
    task = folder_name(type(dataset))
    for i, row in enumerate(dataset, 1):
        if row[-1] not in _CLASSES.get(task, ("0", "1")) and not (task == _REGRESSION and _is_number(row[-1])):
            raise DataError(f"{file}, row {i}: {show(row[-1])} is not a label of GLUE's {task}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def folder_name(dataset: type) -> str:
    """The folder of a dataset of GluonNLP's in the official GLUE: 'SST-2' of ``GlueSST2``."""
    if dataset is glue.GlueMRPC:
        return "MRPC"
    return dataset._repo_dir(None).rpartition("/")[2]  # type: ignore[attr-defined]


def folders() -> List[str]:
    """The folders of the official GLUE that GluonNLP has datasets for."""
    return [folder_name(getattr(glue, name)) for name in glue.__all__]


def local_file(task: str, segment: str, root: Any) -> Path:
    """The file of a segment, in the folder of GLUE or in that of the task alone.

    Raises
    ------
    DataError
        If it is missing.
    """
    folder = Path(os.path.expanduser(root))
    for file in (folder / task / f"{segment}.tsv", folder / f"{segment}.tsv"):
        if os.path.isfile(file):
            return file
    raise DataError(
        f"{folder / task / segment}.tsv is missing: get {task} from {PAGE} and unpack it into {folder}, or name GLUE's "
        "folder (gluonnlp-snli run --glue-root DIR, or root=DIR in Python)"
    )


def _first_short(file: Path) -> str:
    """Where a table has its first row with fewer columns than most, for a message."""
    widths = [line.count("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    usual = max(set(widths), key=widths.count) if widths else 0
    return next((f", line {number}," for number, width in enumerate(widths, 1) if width < usual), "")
