"""The pairs of a run, encoded: the embedded sample, files, or the corpus of the task."""

import copy
import logging
import os
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Sequence, Set

import numpy as np

from ..data.cache import EncodedFile, encode_file
from ..data.encoding import EncodedPairs, PairEncoder
from ..data.losses import require_all_classes, tell_left_out, tell_merged, tell_missing_classes, tell_truncated
from ..data.mixture import Mixture, joined
from ..errors import UsageError, printable
from ..evaluate.labelled_pairs import read
from ..evaluate.predictions import Pairs
from ..tasks.common_classes import Classes, CommonClasses, same_classes
from ..tasks.dataset import Source, segment_source
from ..tasks.sample import sample_pairs
from ..tasks.task import classes_of, find_task
from .evaluation_files import EvaluationFile, evaluation_files
from .settings.training_files import TrainingFile

if TYPE_CHECKING:
    from .settings.finetune_config import FinetuneConfig

_log = logging.getLogger("gluonnlp_snli_plugin")

_COUNTS = ("pairs", "pairs_an_epoch", "rows_without_gold_label", "bad_rows_left_out", "truncated")


class Segment(NamedTuple):
    """The pairs of one segment, and where they come from."""

    encoded: EncodedPairs
    provenance: Dict[str, Any]
    pairs: Optional[Pairs]  #: as text; None for those of training
    classes: CommonClasses  #: in which these pairs are scored, and their labels numbered
    mixture: Optional[Mixture] = None  #: which of those of training an epoch takes
    parts: Sequence[Dict[str, Any]] = ()  #: where each part comes from, if there are several


def load_corpus(config: "FinetuneConfig", encoder: PairEncoder, tells: bool = True) -> Dict[str, Segment]:
    """The pairs of a run, from the cache of encoded pairs if they are in it.

    Losses are logged: rows left out, pairs truncated, classes without pairs.

    Parameters
    ----------
    config : FinetuneConfig
    encoder : PairEncoder
    tells : bool, default True
        Whether to log the losses; one of several ranks does.

    Returns
    -------
    dict of str to Segment
        'train', 'dev' and perhaps 'test', and what :func:`.evaluation_files` names besides.

    Raises
    ------
    DataError
        If a file cannot be used or has no labelled pairs, or if a class has no pair to train on.
    """
    if config.sample:
        return {use: _sample_segment(use, encoder, tells) for use in ("train", "dev")}
    train = _training_segment(config, encoder, tells)
    files = evaluation_files(config)
    return {"train": train, **{name: _evaluation_segment(file, config, encoder, tells) for name, file in files.items()}}


def _sample_segment(segment: str, encoder: PairEncoder, tells: bool) -> Segment:
    premises, hypotheses, labels = zip(*sample_pairs(segment))
    encoded = encoder.encode(premises, hypotheses, labels)
    if tells:
        tell_truncated(f"embedded sample, {segment}", encoded.num_truncated, len(encoded), encoder.max_len)
    provenance = {"source": "embedded sample (synthetic)", "pairs": len(encoded), "truncated": encoded.num_truncated}
    assert encoded.labels is not None
    pairs = Pairs.of((premises, hypotheses), encoded.labels, encoder, encoder.labels)
    return Segment(encoded, provenance, None if segment == "train" else pairs, same_classes(encoder.labels))


def _training_segment(config: "FinetuneConfig", encoder: PairEncoder, tells: bool) -> Segment:
    """The pairs to train on: of the task's corpus, or of all files that are given."""
    files, names = _training_files(config), config.schema.labels
    sources = [_source(file, config) for file in files]
    _require_different(files, sources)
    found = [_encoded(file, path, config, encoder) for file, path in zip(files, sources)]
    whole = ", ".join(map(str, sources))
    present = set().union(*(_classes_of(one.encoded, names) for one in found))
    require_all_classes(whole, present, names, next((one for one in found if one.num_bad), found[0]))
    mixture = Mixture([len(one.encoded) for one in found], [file.share for file in files], config.seed)
    parts = [_provenance(path, one) for path, one in zip(sources, found)]
    is_whole = len(files) == 1 and files[0].share == 1
    for file, path, one, part, count in zip(files, sources, found, parts, mixture.counts):
        if tells:
            _tell_losses(path, one, names, encoder.max_len)
        if not is_whole:
            part.update(share=file.share, pairs_an_epoch=count)
        if tells and not is_whole:
            _log.info("%s", printable(f"{path}: {count} of {part['pairs']} pairs in each epoch (share {file.share:g})"))
    encoded = joined([one.encoded for one in found])
    if len(files) == 1:
        return Segment(encoded, parts[0], None, same_classes(names), mixture)
    sums: Dict[str, Any] = {name: sum(part[name] for part in parts) for name in _COUNTS}
    return Segment(encoded, {"source": whole, **sums}, None, same_classes(names), mixture, parts)


def _training_files(config: "FinetuneConfig") -> Sequence[TrainingFile]:
    """What the run trains on: what is given, or the corpus of its task."""
    segment = next(iter(find_task(config.task).segments("train")), "train")
    return config.training_files or [TrainingFile("", segment, 1.0, is_corpus=True)]


def _source(file: TrainingFile, config: "FinetuneConfig") -> Source:
    """Where the pairs of a file, or of a corpus, to train on are."""
    task = find_task(file.task or config.task)
    if file.is_corpus:
        return segment_source(task, file.place, config.corpus_root)
    return segment_source(task, "train", file=file.place)


def _require_different(files: Sequence[TrainingFile], sources: Sequence[Source]) -> None:
    """Raise a UsageError if two of what is trained on have rows of one file in common."""
    seen: Dict[Any, TrainingFile] = {}
    for file, source in zip(files, sources):
        for path in source.files:
            rows = os.path.realpath(path), tuple(source.only.items())
            if rows in seen:
                raise UsageError(
                    f"--train-file {seen[rows]} and {file} both have {path}: omit one; to take its pairs twice, give "
                    "the other a share of 2"
                )
            seen[rows] = file


def _encoded(file: TrainingFile, path: Source, config: "FinetuneConfig", encoder: PairEncoder) -> EncodedFile:
    """The pairs of a file to train on, with the classes of the run, read as its task says."""
    columns, labels, schema = config.columns, config.spellings, config.schema
    if file.task:
        columns, labels, schema = None, None, find_task(file.task).schema._replace(labels=schema.labels)
    return encode_file(encoder, path.files, config.on_bad_row, False, columns, labels, schema, path.only)


def _evaluation_segment(file: EvaluationFile, config: "FinetuneConfig", encoder: PairEncoder, tells: bool) -> Segment:
    schema, path = config.schema, file.pairs.source
    run = Classes(schema, classes_of(schema.labels, config.task).entailment)
    columns, labels = (None, None) if file.task else (config.columns, config.spellings)
    found = read(encoder, file.pairs, run, file.task or None, config.on_bad_row, columns, labels)
    classes = found.classes_of(schema.labels)
    assert found.file.texts and found.file.encoded.labels is not None
    encoded = copy.copy(found.file.encoded)
    encoded.labels = gold = classes.gold(found.file.encoded.labels)
    if tells:
        _tell_losses(path, found.file._replace(encoded=encoded), classes.labels, encoder.max_len)
        tell_merged(classes.remark)
    provenance = {**_provenance(path, found.file), **({"remark": classes.remark} if classes.remark else {})}
    return Segment(encoded, provenance, Pairs.of(found.file.texts, gold, encoder, classes.labels), classes)


def _classes_of(encoded: EncodedPairs, names: Sequence[str]) -> Set[str]:
    """The names of the classes that pairs have, among those of the run."""
    assert encoded.labels is not None
    return {names[i] for i in np.unique(encoded.labels)}


def _tell_losses(path: Source, found: EncodedFile, names: Sequence[str], max_len: int) -> None:
    """Log what is lost of a file, and the classes without pairs."""
    num_pairs = len(found.encoded)
    tell_left_out(path, num_pairs, found)
    tell_truncated(path, found.encoded.num_truncated, num_pairs, max_len)
    tell_missing_classes(path, _classes_of(found.encoded, names), names)


def _provenance(path: Source, found: EncodedFile) -> Dict[str, Any]:
    """Where pairs come from, and what was left out, for ``config.json``."""
    return {
        "source": str(path),
        "sha256": found.sha256,
        "pairs": len(found.encoded),
        "rows_without_gold_label": found.num_unlabelled,
        "bad_rows_left_out": found.num_bad,
        "truncated": found.encoded.num_truncated,
    }
