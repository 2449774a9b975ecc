"""The pairs of a run, encoded: the embedded sample, files, or the corpus of the task."""

from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Sequence, Type

import numpy as np

from ..data.cache import encode_file
from ..data.encoding import EncodedPairs, PairEncoder
from ..data.losses import require_all_classes, tell_left_out, tell_missing_classes, tell_truncated
from ..evaluate.predictions import Pairs
from ..tasks.dataset import segment_source
from ..tasks.sample import sample_pairs
from ..tasks.task import PairTask, find_task

if TYPE_CHECKING:
    from .settings.finetune_config import FinetuneConfig

_USES = ("train", "dev", "test")


class Segment(NamedTuple):
    """The pairs of one segment, and where they come from."""

    encoded: EncodedPairs
    provenance: Dict[str, Any]
    pairs: Optional[Pairs]  #: as text; None for those of training


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
        'train', 'dev' and perhaps 'test'.

    Raises
    ------
    DataError
        If a file cannot be used or has no labelled pairs, or if the training file has no pair of a class.
    """
    task = find_task(config.task)
    if config.sample:
        return {use: _sample_segment(use, encoder, tells) for use in ("train", "dev")}
    files = {"train": config.train_file, "dev": config.dev_file, "test": config.test_file}
    uses = [use for use in _USES if (files[use] if config.train_file else task.segments(use))]
    return {use: _file_segment(task, use, files[use], config, encoder, tells) for use in uses}


def _sample_segment(segment: str, encoder: PairEncoder, tells: bool) -> Segment:
    premises, hypotheses, labels = zip(*sample_pairs(segment))
    encoded = encoder.encode(premises, hypotheses, labels)
    if tells:
        tell_truncated(f"embedded sample, {segment}", encoded.num_truncated, len(encoded), encoder.max_len)
    provenance = {"source": "embedded sample (synthetic)", "pairs": len(encoded), "truncated": encoded.num_truncated}
    pairs = None if segment == "train" else _pairs((premises, hypotheses), encoded, encoder)
    return Segment(encoded, provenance, pairs)


def _file_segment(
    task: Type[PairTask],
    use: str,
    file: Optional[str],
    config: "FinetuneConfig",
    encoder: PairEncoder,
    tells: bool,
) -> Segment:
    segment = next(iter(task.segments(use)), use)  # a file may be given for a segment that the corpus lacks
    schema = config.schema
    path = segment_source(task, segment, config.snli_root, file)
    columns, labels = config.columns, config.spellings
    found = encode_file(encoder, path.files, config.on_bad_row, use != "train", columns, labels, schema, path.only)
    assert found.encoded.labels is not None
    names, num_pairs = schema.labels, len(found.encoded)
    present = {names[i] for i in np.unique(found.encoded.labels)}
    if use == "train":
        require_all_classes(path, present, names, found)
    if tells:
        tell_left_out(path, num_pairs, found)
        tell_truncated(path, found.encoded.num_truncated, num_pairs, encoder.max_len)
        tell_missing_classes(path, present, names)
    provenance = {
        "source": str(path),
        "sha256": found.sha256,
        "pairs": num_pairs,
        "rows_without_gold_label": found.num_unlabelled,
        "bad_rows_left_out": found.num_bad,
        "truncated": found.encoded.num_truncated,
    }
    pairs = _pairs(found.texts, found.encoded, encoder) if found.texts else None
    return Segment(found.encoded, provenance, pairs)


def _pairs(texts: Sequence[Sequence[str]], encoded: EncodedPairs, encoder: PairEncoder) -> Pairs:
    assert encoded.labels is not None
    return Pairs.of(texts, encoded.labels, encoder, encoder.labels)
