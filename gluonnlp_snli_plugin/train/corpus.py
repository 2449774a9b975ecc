"""The pairs of a run: the embedded sample, files, or the SNLI corpus."""

from typing import Any, Dict, List, NamedTuple

from ..data.sample import sample_pairs
from ..data.snli import SEGMENTS, SNLI
from ..errors import DataError
from ..files import digest


class Segment(NamedTuple):
    """The pairs of one segment, in columns, and where they come from."""

    premises: List[str]
    hypotheses: List[str]
    labels: List[str]
    provenance: Dict[str, Any]

    @property
    def columns(self):
        return self[:3]


def load_corpus(config):
    """Read the pairs that a run is about.

    Parameters
    ----------
    config : FinetuneConfig

    Returns
    -------
    dict of str to Segment
        'train', 'dev' and perhaps 'test'.

    Raises
    ------
    DataError
        If a file cannot be used, or has no labelled pairs.
    """
    if config.sample:
        return {segment: _sample_segment(segment) for segment in ("train", "dev")}
    files = {"train": config.train_file, "dev": config.dev_file, "test": config.test_file}
    segments = [segment for segment in SEGMENTS if files[segment] or not config.train_file]
    return {segment: _file_segment(segment, files[segment], config) for segment in segments}


def _sample_segment(segment):
    premises, hypotheses, labels = map(list, zip(*sample_pairs(segment)))
    return Segment(premises, hypotheses, labels, {"source": "embedded sample (synthetic)", "pairs": len(labels)})


def _file_segment(segment, file, config):
    pairs = SNLI(segment, root=config.snli_root, file=file, on_bad_row=config.on_bad_row)
    if not len(pairs):
        raise DataError(f"{pairs.path} has no labelled pairs")
    provenance = {
        "source": str(pairs.path),
        "sha256": digest(pairs.path),
        "pairs": len(pairs),
        "rows_without_gold_label": pairs.num_unlabelled,
        "bad_rows_left_out": pairs.num_bad,
    }
    return Segment(pairs.premises, pairs.hypotheses, pairs.labels, provenance)
