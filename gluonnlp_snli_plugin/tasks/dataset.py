"""The pairs of a task as a dataset: rows ``[premise, hypothesis, label]``, as GluonNLP's GLUE datasets have them."""

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, List, Mapping, NamedTuple, Optional, Tuple, Type, Union

import mxnet as mx
from gluonnlp.base import get_home_dir

from ..data.losses import tell_left_out
from ..data.reader import PairReader
from ..errors import DataError, UsageError

if TYPE_CHECKING:
    from .task import PairTask

PathLike = Union[str, "os.PathLike[str]"]


class Place(NamedTuple):
    """Where the pairs of a segment are in the folder of a corpus."""

    files: Tuple[str, ...]  #: read one after the other
    only: Mapping[str, str] = {}  #: the rows to read, by the values of columns: ``{'language': 'de'}``


class Source(NamedTuple):
    """The files of a segment."""

    files: List[Path]  #: read one after the other
    only: Mapping[str, str] = {}  #: the rows to read, as in :class:`Place`

    def __str__(self) -> str:
        return ", ".join(map(str, self.files))


class PairDataset(mx.gluon.data.Dataset):
    """The labelled pairs of one segment of a task, read from its corpus or from a file.

    Each row is ``[premise, hypothesis, label]``, three str. Rows without a gold label are left out.

    Parameters
    ----------
    segment : str, default 'train'
    root : str or None
        Folder of the corpus, default ``$MXNET_HOME/datasets/`` and the name of the task.
    file : str or None
        A file of labelled pairs to read instead, wherever it is; see :class:`.PairReader` for the formats.
    on_bad_row : {'error', 'skip'}, default 'error'
        Whether a row that cannot be used is an error or left out.
    url : str or None
        Where to download the archive of the corpus, if it has one and is not in `root`.
    columns : dict of str to str, or None
        The names of the columns of `file` that are not recognized: ``{'premise': ..., 'hypothesis': ..., 'label':
        ...}``.
    labels : dict of str to str, or None
        The meaning of labels of `file` that are not recognized: ``{'0': 'entailment', ...}``.

    Attributes
    ----------
    path : Path or str
        The file; the names of several.
    premises, hypotheses, labels : list of str
    num_unlabelled, num_bad : int
        Rows left out, as in :class:`.PairReader`; they are logged too.

    Raises
    ------
    DataError
        For a file that cannot be read or a row that cannot be used; names file and line.
    DownloadError
        If the files are missing and cannot be downloaded.
    """

    task: ClassVar[Type["PairTask"]]

    def __init__(
        self,
        segment: str = "train",
        root: Optional[PathLike] = None,
        file: Optional[PathLike] = None,
        on_bad_row: str = "error",
        url: Optional[str] = None,
        columns: Optional[Mapping[str, str]] = None,
        labels: Optional[Mapping[str, str]] = None,
    ) -> None:
        source = self.task.source
        if file is None and root is None and source["files"]:
            columns, labels = columns or source["columns"], labels or source["labels"]
        files, only = segment_source(self.task, segment, root, file, url)
        reader = PairReader(files, on_bad_row, columns=columns, labels=labels, schema=self.task.schema, only=only)
        self.path: Any = reader.path
        self.premises: List[str] = []
        self.hypotheses: List[str] = []
        self.labels: List[str] = []
        one_of = {label: label for label in self.task.schema.labels}  # one str for each class, not one for each row
        for premises, hypotheses, names in reader.columns():
            self.premises += premises
            self.hypotheses += hypotheses
            self.labels += map(one_of.__getitem__, names)
        self.num_unlabelled = reader.num_unlabelled
        self.num_bad = reader.num_bad
        tell_left_out(self.path, len(self), reader)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return [self.premises[i], self.hypotheses[i], self.labels[i]]


def segment_source(
    task: Type["PairTask"],
    segment: str,
    root: Optional[PathLike] = None,
    file: Optional[PathLike] = None,
    url: Optional[str] = None,
) -> Source:
    """What the dataset of a task reads when it is given these arguments; downloaded if necessary."""
    source = task.source
    if file is None and root is None and source["files"]:
        file = source["files"].get(segment) or os.devnull
    return Source([Path(file)]) if file is not None else _corpus_source(task, segment, root or source["root"], url)


def corpus_folder(task: Type["PairTask"], root: Optional[PathLike] = None) -> Path:
    """The folder of a task's corpus; `root` if it is given."""
    if root is None:
        root = os.path.join(get_home_dir(), "datasets", task.folder or task.name.lower())
    # Not Path.expanduser, which raises if the user has no home; os.path.isfile is False for an impossible name.
    return Path(os.path.expanduser(root))


def _corpus_source(task: Type["PairTask"], segment: str, root: Optional[PathLike], url: Optional[str]) -> Source:
    if segment not in task.files:
        raise UsageError(f"{task.name} has no segment {segment!r}; there are {', '.join(task.files) or 'none'}")
    folder, candidates = corpus_folder(task, root), _candidates(task, segment, root)
    if not any(map(_is_there, candidates)) and task.archive is not None:
        task.archive.fetch(folder, url)
    found = next(filter(_is_there, candidates), None)
    if found is None and task.page:
        nearest = max(candidates, key=lambda source: sum(map(os.path.isfile, source.files)))
        missing = next(itertools.filterfalse(os.path.isfile, nearest.files))
        raise DataError(
            f"{missing} is missing: get {task.name} from {task.page} and unpack it into {folder}, or name its folder "
            "(--corpus-root DIR, or root=DIR in Python)"
        )
    return found or candidates[0]


def _candidates(task: Type["PairTask"], segment: str, root: Optional[PathLike]) -> List[Source]:
    """Where a segment may be, the preferred place first."""
    folder = corpus_folder(task, root)
    places = [Place((place,)) if isinstance(place, str) else place for place in task.files[segment]]
    return [Source([folder / name for name in place.files], place.only) for place in places]


def has_segment(task: Type["PairTask"], segment: str, root: Optional[PathLike] = None) -> bool:
    """Whether the files of a segment of a task's corpus are there; nothing is downloaded."""
    source = task.source
    if root is None and source["files"]:
        return bool(source["files"].get(segment))
    return segment in task.files and any(map(_is_there, _candidates(task, segment, root or source["root"])))


def _is_there(source: Source) -> bool:
    return all(map(os.path.isfile, source.files))
