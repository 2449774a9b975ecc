"""What a script reads: other files for SNLI, and another truncation of long pairs."""

from gluonnlp.data import transforms
from gluonnlp.data.bert import glue

from ..data import snli, truncation


def read_from(changes, root=None, **files):
    """Let the SNLI data come from other files.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    root : str or None
        Folder of the official files.
    **files : str or None
        The file of a segment: train, dev, test. Where some are named, one that is not holds no pairs.
    """
    changes.set_item(snli.SOURCE, "root", root)
    if any(files.values()):
        changes.set_item(snli.SOURCE, "files", files)


def truncate_by(changes, strategy):
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

    def truncate_seqs_equal(sequences, max_len):
        if len(sequences) != 2:
            return original(sequences, max_len)
        lengths = keep(len(sequences[0]), len(sequences[1]), max_len)
        return [sequence[: int(length)] for sequence, length in zip(sequences, lengths)]

    def _truncate_seq_pair(self, tokens_a, tokens_b, max_length):
        for tokens, length in zip((tokens_a, tokens_b), keep(len(tokens_a), len(tokens_b), max_length)):
            del tokens[int(length) :]

    changes.set_attribute(glue, "truncate_seqs_equal", truncate_seqs_equal)
    changes.set_attribute(transforms.BERTSentenceTransform, "_truncate_seq_pair", _truncate_seq_pair)
