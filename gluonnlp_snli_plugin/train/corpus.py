"""The pairs of a run, encoded: the embedded sample, files, or the SNLI corpus."""

from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from ..data.cache import encode_file
from ..data.encoding import EncodedPairs
from ..data.losses import require_all_classes, tell_left_out, tell_missing_classes, tell_truncated
from ..data.nli import LABELS
from ..evaluate.predictions import Pairs
from ..tasks.sample import sample_pairs
from ..tasks.snli import SEGMENTS, segment_file


class Segment(NamedTuple):
    """The pairs of one segment, and where they come from."""

    encoded: EncodedPairs
    provenance: Dict[str, Any]
    pairs: Optional[Pairs]  #: as people wrote them; None for those of training


def load_corpus(config, encoder, tells=True):
    """The pairs that a run is about, from the cache of encoded pairs where they are there.

    What is lost on the way is logged: rows that are left out, pairs that are cut, classes without pairs.

    Parameters
    ----------
    config : FinetuneConfig
    encoder : PairEncoder
    tells : bool, default True
        Whether to log it; one of several ranks does.

    Returns
    -------
    dict of str to Segment
        'train', 'dev' and perhaps 'test'.

    Raises
    ------
    DataError
        If a file cannot be used, has no labelled pairs, or is to be trained on and has none of a class.
    """
    if config.sample:
        return {segment: _sample_segment(segment, encoder, tells) for segment in ("train", "dev")}
    files = {"train": config.train_file, "dev": config.dev_file, "test": config.test_file}
    segments = [segment for segment in SEGMENTS if files[segment] or not config.train_file]
    return {segment: _file_segment(segment, files[segment], config, encoder, tells) for segment in segments}


def _sample_segment(segment, encoder, tells):
    premises, hypotheses, labels = zip(*sample_pairs(segment))
    encoded = encoder.encode(premises, hypotheses, labels)
    if tells:
        tell_truncated(f"embedded sample, {segment}", encoded.num_truncated, len(encoded), encoder.max_len)
    provenance = {"source": "embedded sample (synthetic)", "pairs": len(encoded), "truncated": encoded.num_truncated}
    pairs = None if segment == "train" else Pairs.of((premises, hypotheses), encoded.labels, encoder)
    return Segment(encoded, provenance, pairs)


def _file_segment(segment, file, config, encoder, tells):
    path = segment_file(segment, config.snli_root, file)
    found = encode_file(
        encoder, path, config.on_bad_row, segment != "train", columns=config.columns, labels=config.labels
    )
    labels, num_pairs = found.encoded.labels, len(found.encoded)
    present = {LABELS[i] for i in np.unique(labels)}
    if segment == "train":
        require_all_classes(path, present, LABELS, found)
    if tells:
        tell_left_out(path, num_pairs, found)
        tell_truncated(path, found.encoded.num_truncated, num_pairs, encoder.max_len)
        tell_missing_classes(path, present, LABELS)
    provenance = {
        "source": str(path),
        "sha256": found.sha256,
        "pairs": num_pairs,
        "rows_without_gold_label": found.num_unlabelled,
        "bad_rows_left_out": found.num_bad,
        "truncated": found.encoded.num_truncated,
    }
    pairs = Pairs.of(found.texts, labels, encoder) if found.texts else None
    return Segment(found.encoded, provenance, pairs)
