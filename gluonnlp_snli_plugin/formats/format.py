"""What a file format of fine-tuned models is, and which format a file or folder is in.

A format is one class, registered under its name with ``@registry.format(NAME)`` in a module of this folder. From then
on ``export --format NAME`` writes it, and whatever takes a model takes what :meth:`Format.can_read` recognizes.
"""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Protocol, Tuple, Union

import numpy as np

from .. import registry
from ..errors import CheckpointError, UsageError
from ..store.pretrained import PretrainedBert
from ..system.reading import read_json
from .model_folder import Model

if TYPE_CHECKING:
    from .job import Job

MARK = "export.json"  #: in every folder that was exported: how it was made
PathLike = Union[str, "os.PathLike[str]"]


class Format(Protocol):
    """A file format of fine-tuned models.

    Attributes
    ----------
    name : str
        Under which it is registered.
    description : str
        A line of help: what is written.
    tolerance : float
        How much the logits of what is written may differ from those of the model.
    packages : tuple of str
        What must be installed to write and read it.
    extra : str
        Of this package, which installs them.
    """

    name: str = ""
    description: str = ""
    tolerance: float = 1e-4
    packages: Tuple[str, ...] = ()
    extra: str = ""

    def require(self) -> None:
        """Raise a UsageError where one of the packages is missing."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise UsageError(f"{package} is missing: pip install 'gluonnlp-snli-plugin[{self.extra}]'")

    def can_read(self, path: Path) -> bool:
        """Whether a file or folder is in this format. It never raises."""
        return content_of(path / MARK).get("format") == self.name

    def read(
        self,
        path: Path,
        ctx: Any = None,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
        root: Optional[str] = None,
    ) -> Model:
        """The model in a file or folder; parameters as :func:`.reading.load_finetuned` takes them."""
        raise CheckpointError(
            f"{path} is an export in the format {self.name!r}, which cannot be read back: use the model that it was "
            f"exported from ({content_of(path / MARK).get('model', 'unknown')})"
        )

    def read_bert(
        self, path: PathLike, name: str, vocab: Optional[PathLike], backbone: Optional[str], root: Optional[str]
    ) -> PretrainedBert:
        """The pretrained BERT in a file or folder; parameters as :func:`.importing.import_bert` takes them."""
        raise CheckpointError(f"{path} is a model in the format {self.name!r}, from which no BERT can be imported")

    def write(self, job: "Job", folder: Path) -> None:
        """Write a model into an empty folder; a UsageError if the format cannot express it."""
        ...

    def check(self, job: "Job", folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        """Load what was written and compute the logits of the job's pairs.

        Returns
        -------
        logits : ndarray of float32, shape (pairs, classes)
            Columns in the order of the model's labels.
        more : dict of str to str
            What else to tell the user.
        """
        ...


def format_names() -> List[str]:
    """The names of all formats."""
    return registry.format.names()


def format_named(name: str) -> Format:
    """The format that is registered under a name.

    Raises
    ------
    UsageError
        If there is none; the message lists those there are.
    """
    found: Format = registry.format[name]()
    found.name = name
    return found


def format_of(path: PathLike, default: str) -> Format:
    """The format of a file or folder; the one named `default`, whose reader says what is wrong, if none fits."""
    every = map(format_named, format_names())
    return next((one for one in every if one.can_read(Path(path))), None) or format_named(default)


def content_of(path: Path) -> Dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    if not os.path.isfile(path):
        return {}
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
