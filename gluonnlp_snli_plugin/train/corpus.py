"""The pairs of a run, encoded: the embedded sample, files, or the SNLI corpus."""

from typing import Any, Dict, NamedTuple, Optional

from ..data.cache import encode_file
from ..data.encoding import EncodedPairs
from ..data.sample import sample_pairs
from ..data.snli import SEGMENTS, segment_file
from ..report.predictions import Pairs


class Segment(NamedTuple):
    """The pairs of one segment, and where they come from."""

    encoded: EncodedPairs
    provenance: Dict[str, Any]
    pairs: Optional[Pairs]  #: as people wrote them; None for those of training


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
    premises, hypotheses, labels = zip(*sample_pairs(segment))
    encoded = encoder.encode(premises, hypotheses, labels)
    provenance = {"source": "embedded sample (synthetic)", "pairs": len(encoded), "truncated": encoded.num_truncated}
    pairs = None if segment == "train" else Pairs.of((premises, hypotheses), encoded.labels, encoder)
    return Segment(encoded, provenance, pairs)


def _file_segment(segment, file, config, encoder):
    path = segment_file(segment, config.snli_root, file)
    found = encode_file(encoder, path, config.on_bad_row, with_texts=segment != "train")
    provenance = {
        "source": str(path),
        "sha256": found.sha256,
        "pairs": len(found.encoded),
        "rows_without_gold_label": found.num_unlabelled,
        "bad_rows_left_out": found.num_bad,
        "truncated": found.encoded.num_truncated,
    }
    pairs = Pairs.of(found.texts, found.encoded.labels, encoder) if found.texts else None
    return Segment(found.encoded, provenance, pairs)
