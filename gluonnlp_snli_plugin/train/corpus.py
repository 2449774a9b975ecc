"""The pairs of a run, encoded: the embedded sample, files, or the SNLI corpus."""

from typing import Any, Dict, NamedTuple

from ..data.cache import encode_file
from ..data.encoding import EncodedPairs
from ..data.sample import sample_pairs
from ..data.snli import SEGMENTS, segment_file


class Segment(NamedTuple):
    """The pairs of one segment, and where they come from."""

    encoded: EncodedPairs
    provenance: Dict[str, Any]


def load_corpus(config, encoder):
    """The pairs that a run is about, from the cache of encoded pairs where they are there.

    Parameters
    ----------
    config : FinetuneConfig
    encoder : PairEncoder

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
        return {segment: _sample_segment(segment, encoder) for segment in ("train", "dev")}
    files = {"train": config.train_file, "dev": config.dev_file, "test": config.test_file}
    segments = [segment for segment in SEGMENTS if files[segment] or not config.train_file]
    return {segment: _file_segment(segment, files[segment], config, encoder) for segment in segments}


def _sample_segment(segment, encoder):
    encoded = encoder.encode(*zip(*sample_pairs(segment)))
    provenance = {"source": "embedded sample (synthetic)", "pairs": len(encoded), "truncated": encoded.num_truncated}
    return Segment(encoded, provenance)


def _file_segment(segment, file, config, encoder):
    path = segment_file(segment, config.snli_root, file)
    encoded, sha256, num_unlabelled, num_bad = encode_file(encoder, path, config.on_bad_row)
    provenance = {
        "source": str(path),
        "sha256": sha256,
        "pairs": len(encoded),
        "rows_without_gold_label": num_unlabelled,
        "bad_rows_left_out": num_bad,
        "truncated": encoded.num_truncated,
    }
    return Segment(encoded, provenance)
