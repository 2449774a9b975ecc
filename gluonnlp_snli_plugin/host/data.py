"""What a script reads: other files for SNLI, another truncation of long pairs, another tokenizer."""

import argparse
import functools
import logging
import os
from typing import Any, List, NoReturn, Optional, Sequence, Set, Union

import gluonnlp as nlp
from gluonnlp.data import transforms
from gluonnlp.data.bert import glue

from .. import registry, store
from ..data import truncation
from ..errors import DataError, UsageError
from ..tasks import dataset
from ..tasks.snli import SNLITask
from ..text.tokenizers import bert_tokenizer
from .options import host_tasks

_log = logging.getLogger("gluonnlp_snli_plugin")


def read_from(
    changes: registry.Changes,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
    columns: Any = None,
    labels: Any = None,
    **files: Optional[str],
) -> Set[str]:
    """Let the SNLI data come from other files.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    root : str or None
        Folder of the official files.
    columns, labels : str, mapping or None
        How `files` are written, as :class:`.PairReader` takes it.
    **files : str or None
        The file of a segment: train, dev, test. Where some are named, one that is not holds no pairs.

    Returns
    -------
    set of str
        The segments that have been read since.
    """
    segments_read: Set[str] = set()
    original = dataset.segment_source

    def segment_source(task: Any, segment: str, *args: Any, **kwargs: Any) -> Any:
        if task is SNLITask:
            segments_read.add(segment)
        return original(task, segment, *args, **kwargs)

    changes.set_attribute(dataset, "segment_source", segment_source)
    changes.set_item(SNLITask.source, "root", root)
    if any(files.values()):
        for name, value in (("files", files), ("columns", columns), ("labels", labels)):
            changes.set_item(SNLITask.source, name, value)
    return segments_read


def require_snli(arguments: Sequence[str]) -> None:
    """Raise an error if the arguments of a script name another task than SNLI, whose data come from elsewhere.

    Parameters
    ----------
    arguments : list of str

    Raises
    ------
    UsageError
    """
    parser = _Parser(add_help=False)
    parser.add_argument("--task_name")
    try:
        task = parser.parse_known_args(arguments)[0].task_name or ""
    except UsageError:  # the script reports it itself
        return
    others = {name.lower() for name in (*host_tasks(), *registry.names()["tasks"])} - {"snli"}
    if task.lower() in others:
        raise UsageError(
            f"--train-file, --dev-file, --test-file and --snli-root name data of the task SNLI, but the script is told "
            f"--task_name {task}: leave them out, or give the script --task_name SNLI"
        )


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

    def tell(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Log it, if there are any."""
        if self.num_truncated:
            share = f"{self.num_truncated} of {self.num_pairs} pairs ({self.num_truncated / self.num_pairs:.1%})"
            _log.warning("%s", DataError(f"{path}: {share} were longer than the script's max_len and were cut"))


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
        tokenizer = bert_tokenizer(vocab, store.tokenizer_of(vocab, lower, path), path).host
        tokenizer._num_best, tokenizer._alpha = num_best, alpha
        return tokenizer

    for module in (nlp.data, transforms):
        changes.set_attribute(module, "BERTTokenizer", wordpiece)
        changes.set_attribute(module, "BERTSPTokenizer", sentencepiece)
