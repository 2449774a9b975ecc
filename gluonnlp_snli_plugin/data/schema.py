"""What a task of sentence pairs says about the files that its corpora come in: labels, their spellings, columns."""

from typing import Mapping, NamedTuple, Tuple

ROLES = ("premise", "hypothesis", "label")  # what a row of a corpus consists of


class PairSchema(NamedTuple):
    """The labels of a task, and what its corpora call them and their columns.

    Spellings and column names are compared without regard to case; column names without spaces, hyphens and
    underscores too.
    """

    labels: Tuple[str, ...]  #: the classes, in their order
    label_alias: Mapping[str, str]  #: other spellings of the labels, as :class:`gluonnlp.data.GlueTask` has them
    no_label: Tuple[str, ...]  #: what stands where there is no gold label; the first is the usual one
    columns: Mapping[str, Tuple[str, ...]]  #: the names under which each of ``ROLES`` is known
    own_columns: Tuple[str, str, str]  #: those of the task's own corpus: where a file has them all, no other counts
