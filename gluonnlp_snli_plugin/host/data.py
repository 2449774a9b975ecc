"""What a script reads: other files of a task, another truncation of long pairs, another tokenizer."""

import argparse
import functools
import logging
import os
from typing import Any, List, NoReturn, Optional, Sequence, Set, Type, Union

import gluonnlp as nlp
from gluonnlp.data import transforms
from gluonnlp.data.bert import glue

from .. import registry, store
from ..data import truncation
from ..errors import DataError, UsageError
from ..tasks import dataset, glue_files
from ..tasks.snli import SNLITask
from ..tasks.task import PairTask, find_task
from ..text.tokenizers import bert_tokenizer
from .options import host_tasks

PathLike = Union[str, "os.PathLike[str]"]

_log = logging.getLogger("gluonnlp_snli_plugin")


def read_from(
    changes: registry.Changes,
    root: Optional[PathLike] = None,
    columns: Any = None,
    labels: Any = None,
    task: Type[PairTask] = SNLITask,
    **files: Optional[str],
) -> Set[str]:
    """Let the data of a task come from other files.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    root : str or None
        Folder of the official files.
    columns, labels : str, mapping or None
        How `files` are written, as :class:`.PairReader` takes it.
    task : type
        The task, a registered :class:`.PairTask`.
    **files : str or None
        The file of each use: train, dev, test. It is the first segment of that use (`dev_matched` of MultiNLI). Where
        some are named, a segment that is not holds no pairs.

    Returns
    -------
    set of str
        The segments that have been read since.
    """
    segments_read: Set[str] = set()
    original = dataset.segment_source

    def segment_source(of_task: Any, segment: str, *args: Any, **kwargs: Any) -> Any:
        if of_task is task:
            segments_read.add(segment)
        return original(of_task, segment, *args, **kwargs)

    changes.set_attribute(dataset, "segment_source", segment_source)
    changes.set_item(task.source, "root", root)
    if any(files.values()):
        segments = {(task.segments(use) or [use])[0]: file for use, file in files.items() if file}
        for name, value in (("files", segments), ("columns", columns), ("labels", labels)):
            changes.set_item(task.source, name, value)
    return segments_read


def read_glue_from(changes: registry.Changes, root: PathLike) -> Set[str]:
    """Let GluonNLP's GLUE datasets read the official files in a folder.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    root : str

    Returns
    -------
    set of str
        The files that have been asked for since.
    """
    files_read: Set[str] = set()
    original = glue_files.local_file

    def local_file(task: str, segment: str, folder: Any) -> Any:
        file = original(task, segment, folder)
        files_read.add(str(file))
        return file

    changes.set_attribute(glue_files, "local_file", local_file)
    changes.set_item(glue_files.source, "root", os.fspath(root))
    return files_read


def task_of(arguments: Sequence[str]) -> Type[PairTask]:
    """The task whose files ``--train-file`` and its like name: the one that a script is told, else SNLI.

    Parameters
    ----------
    arguments : list of str
        Those of the script.

    Raises
    ------
    UsageError
        If it is one of GluonNLP's own.
    """
    name = _task_name(arguments)
    if name in registry.task and not registry.task.facts(name).get("is_hosts"):
        return find_task(name)
    if name.lower() in {own.lower() for own in host_tasks()}:
        raise UsageError(
            "--train-file, --dev-file, --test-file and --corpus-root name data of the task SNLI or another of "
            f"gluonnlp-snli list datasets, but the script is told --task_name {name}: omit them (the files of GLUE: "
            "--glue-root DIR)"
        )
    return SNLITask


def require_glue(arguments: Sequence[str], root: PathLike) -> None:
    """Raise an error if GLUE in a folder is not what a script reads, or the training file is not there.

    Parameters
    ----------
    arguments : list of str
        Those of the script.
    root : str
        What ``--glue-root`` names.

    Raises
    ------
    UsageError
        If the script is told a task that is not of GLUE, or there is no such folder.
    DataError
        If the training file of its task is missing.
    """
    name = _task_name(arguments)
    if not os.path.isdir(root):
        raise UsageError(f"--glue-root {root}: there is no such folder; GLUE's files are at {glue_files.PAGE}")
    known = {*host_tasks(), *registry.names()["tasks"]}
    folders = {"SST" if folder == "SST-2" else folder: folder for folder in glue_files.folders()}
    task = next((task for task in folders if task.lower() == name.lower()), None)
    if task is not None:
        glue_files.local_file(folders[task], "train", root)
    elif name.lower() in {one.lower() for one in known}:
        tasks = ", ".join(sorted(folders))
        raise UsageError(f"--glue-root names the folder of {tasks}, but the script is told --task_name {name}: omit it")


def _task_name(arguments: Sequence[str]) -> str:
    """The task that a script is told; empty if it is told none, or tells itself what is wrong with its arguments."""
    parser = _Parser(add_help=False)
    parser.add_argument("--task_name")
    try:
        return parser.parse_known_args(arguments)[0].task_name or ""
    except UsageError:
        return ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class _Counts:
    """How many pairs a script had truncated."""

    def __init__(self) -> None:
        self.num_pairs = self.num_truncated = 0

    def add(self, before: int, after: int) -> None:
        self.num_pairs += 1
        self.num_truncated += after < before

    def tell(self, path: Union[str, "os.PathLike[str]"], rank: Optional[int] = None) -> None:
        """Log it, if there are any; where there are several ranks, these are the pairs of one."""
        if self.num_truncated:
            share = f"{self.num_truncated} of {self.num_pairs} pairs ({self.num_truncated / self.num_pairs:.1%})"
            where = "" if rank is None else f" of rank {rank}"
            _log.warning("%s", DataError(f"{path}: {share}{where} were longer than the script's max_len and were cut"))


def count_truncated(changes: registry.Changes) -> _Counts:
    """Count the pairs that GluonNLP's own functions truncate from now on.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.

    Returns
    -------
    _Counts
    """
    counts = _Counts()
    truncate, truncate_pair = glue.truncate_seqs_equal, transforms.BERTSentenceTransform._truncate_seq_pair

    def truncate_seqs_equal(sequences: Any, max_len: int) -> Any:
        truncated = truncate(sequences, max_len)
        if len(sequences) == 2:
            counts.add(sum(map(len, sequences)), sum(map(len, truncated)))
        return truncated

    def _truncate_seq_pair(self: Any, tokens_a: List[str], tokens_b: List[str], max_length: int) -> None:
        before = len(tokens_a) + len(tokens_b)
        truncate_pair(self, tokens_a, tokens_b, max_length)
        counts.add(before, len(tokens_a) + len(tokens_b))

    changes.set_attribute(glue, "truncate_seqs_equal", truncate_seqs_equal)
    changes.set_attribute(transforms.BERTSentenceTransform, "_truncate_seq_pair", _truncate_seq_pair)
    return counts


def truncate_by(changes: registry.Changes, strategy: str) -> None:
    """Let long pairs be truncated by one of the plugin's strategies, wherever GluonNLP's own functions are used.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    strategy : str
        A name from ``gluonnlp-snli list truncations``.
    """
    keep = truncation.create(strategy)
    original = glue.truncate_seqs_equal

    def truncate_seqs_equal(sequences: Any, max_len: int) -> Any:
        if len(sequences) != 2:
            return original(sequences, max_len)
        lengths = keep(len(sequences[0]), len(sequences[1]), max_len)
        return [sequence[: int(length)] for sequence, length in zip(sequences, lengths)]

    def _truncate_seq_pair(self: Any, tokens_a: List[str], tokens_b: List[str], max_length: int) -> None:
        for tokens, length in zip((tokens_a, tokens_b), keep(len(tokens_a), len(tokens_b), max_length)):
            del tokens[int(length) :]

    changes.set_attribute(glue, "truncate_seqs_equal", truncate_seqs_equal)
    changes.set_attribute(transforms.BERTSentenceTransform, "_truncate_seq_pair", _truncate_seq_pair)


def use_recorded_tokenizers(changes: registry.Changes) -> None:
    """Let BERT's tokenizers divide text as the model store says of their vocabularies, not as GluonNLP's own do.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    """

    @functools.wraps(transforms.BERTTokenizer, updated=())
    def wordpiece(vocab: Any, lower: bool = True, *_: Any, **__: Any) -> Any:
        return bert_tokenizer(vocab, store.tokenizer_of(vocab, lower)).host

    @functools.wraps(transforms.BERTSPTokenizer, updated=())
    def sentencepiece(
        path: Any,
        vocab: Any,
        num_best: Any = 0,
        alpha: Any = 1.0,
        lower: bool = True,
        *_: Any,
        **__: Any,
    ) -> Any:
        tokenizer: Any = bert_tokenizer(vocab, store.tokenizer_of(vocab, lower, path), path).host
        tokenizer._num_best, tokenizer._alpha = num_best, alpha
        return tokenizer

    for module in (nlp.data, transforms):
        changes.set_attribute(module, "BERTTokenizer", wordpiece)
        changes.set_attribute(module, "BERTSPTokenizer", sentencepiece)
