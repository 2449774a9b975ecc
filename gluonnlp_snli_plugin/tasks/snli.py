"""The SNLI corpus: ``nlp.data.create('SNLI', segment='dev')``, and every other file of labelled pairs.

Bowman et al., "A large annotated corpus for learning natural language inference", EMNLP 2015.
"""

import os
from pathlib import Path
from typing import Any, Dict, List

import mxnet as mx
from gluonnlp.base import get_home_dir

from .. import registry
from ..data.losses import tell_left_out
from ..data.nli import LABELS
from ..data.reader import PairReader
from ..errors import UsageError
from .download import SNLI_ARCHIVE

SEGMENTS = ("train", "dev", "test")

# Where segments come from that are asked for without file and root: a folder, or files by segment, and how these are
# written. Where some files are named, a segment that is not holds no pairs.
SOURCE: Dict[str, Any] = {"root": None, "files": None, "columns": None, "labels": None}


@registry.dataset("SNLI", segment=list(SEGMENTS))
class SNLI(mx.gluon.data.Dataset):
    """The Stanford Natural Language Inference corpus.

    Each row is ``[premise, hypothesis, label]`` (three str, as GluonNLP's GLUE datasets have them), with the label
    'entailment', 'contradiction' or 'neutral'. Rows without a gold label are left out.

    The official files ``snli_1.0_{train,dev,test}`` are read from `root`, ``.jsonl`` before ``.txt``; where there are
    none, the official archive (95 MB) is downloaded first.

    Parameters
    ----------
    segment : {'train', 'dev', 'test'}, default 'train'
    root : str or None
        Folder of the files, default ``$MXNET_HOME/datasets/snli``.
    file : str or None
        A file of labelled pairs to read instead, wherever it is; :class:`PairReader` says what it can be.
    on_bad_row : {'error', 'skip'}, default 'error'
        Whether a row that cannot be used is an error or left out.
    url : str or None
        Where to download the archive, default the environment variable ``SNLI_URL``, else its page at Stanford NLP.
    columns : dict of str to str, or None
        The names of the columns of `file` that are not found by themselves: ``{'premise': ..., 'hypothesis': ...,
        'label': ...}``.
    labels : dict of str to str, or None
        What labels of `file` mean that are not known: ``{'0': 'entailment', ...}``.

    Attributes
    ----------
    premises, hypotheses, labels : list of str
    num_unlabelled, num_bad : int
        Rows left out, as in :class:`PairReader`; they are logged too.

    Raises
    ------
    DataError
        For a file that cannot be read or a row that cannot be used; names file and line.
    DownloadError
        If the files are not there and cannot be downloaded.

    Examples
    --------
    >>> import gluonnlp as nlp, gluonnlp_snli_plugin
    >>> nlp.data.create('SNLI', segment='dev')[0]
    ['Two women are embracing while holding to go packages.', 'The sisters are hugging goodbye ...', 'neutral']
    """

    def __init__(self, segment="train", root=None, file=None, on_bad_row="error", url=None, columns=None, labels=None):
        is_from_source = file is None and root is None and SOURCE["files"]
        if is_from_source:
            columns, labels = columns or SOURCE["columns"], labels or SOURCE["labels"]
        self.path = segment_file(segment, root, file, url)
        reader = PairReader(self.path, on_bad_row, columns=columns, labels=labels)
        self.premises: List[str] = []
        self.hypotheses: List[str] = []
        self.labels: List[str] = []
        one_of = {label: label for label in LABELS}  # three str, not one for each row
        for premises, hypotheses, labels in reader.columns():
            self.premises += premises
            self.hypotheses += hypotheses
            self.labels += map(one_of.__getitem__, labels)
        self.num_unlabelled = reader.num_unlabelled
        self.num_bad = reader.num_bad
        tell_left_out(self.path, len(self), reader)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return [self.premises[i], self.hypotheses[i], self.labels[i]]


def segment_file(segment, root=None, file=None, url=None):
    """The file that :class:`SNLI` reads when it is given these arguments; downloaded if need be.

    Returns
    -------
    Path
    """
    if file is None and root is None and SOURCE["files"]:
        file = SOURCE["files"].get(segment) or os.devnull
    return Path(file) if file is not None else _official_file(segment, root or SOURCE["root"], url)


def _official_file(segment, root, url):
    if segment not in SEGMENTS:
        raise UsageError(f"SNLI has no segment {segment!r}; there are {', '.join(SEGMENTS)}")
    # Not Path.expanduser, which raises for the home of nobody; os.path.isfile is False for what can be no name.
    root = Path(os.path.expanduser(root if root is not None else os.path.join(get_home_dir(), "datasets", "snli")))
    candidates = [
        folder / f"snli_1.0_{segment}.{kind}" for kind in ("jsonl", "txt") for folder in (root, root / "snli_1.0")
    ]
    if not any(map(os.path.isfile, candidates)):
        SNLI_ARCHIVE.fetch(root, url)
    return next(filter(os.path.isfile, candidates), candidates[0])
