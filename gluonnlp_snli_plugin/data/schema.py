"""What a task of sentence pairs says about the files of its corpora: labels, their spellings, names of columns."""

from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import registry

ROLES = ("premise", "hypothesis", "label")  # what a row of a corpus consists of
_DEFAULT_TASK = "SNLI"


class PairSchema(NamedTuple):
    """The labels of a task, and how its corpora name them and their columns.

    Spellings and column names are compared without regard to case; column names also without regard to spaces, hyphens
    and underscores.
    """

    labels: Tuple[str, ...]  #: the classes, in their order
    label_alias: Mapping[str, str]  #: other spellings of the labels, as :class:`gluonnlp.data.GlueTask` has them
    no_label: Tuple[str, ...]  #: spellings of "no gold label"; the first is the usual one
    columns: Mapping[str, Tuple[str, ...]]  #: the names under which each of ``ROLES`` is known
    own_columns: Tuple[str, ...]  #: of the task's own corpus, one a role; a file with all of them is read by them


def is_class_name(label: Any) -> bool:
    """Whether a value can be the name of a class: a str that can be printed and is not blank."""
    return type(label) is str and bool(label.strip()) and label.isprintable()


def problem_of_classes(names: Sequence[str], no_label: Sequence[str]) -> Optional[str]:
    """Why names cannot be those of the classes of a classifier; None if they can.

    Parameters
    ----------
    names : sequence of str
    no_label : sequence of str
        Spellings of "no gold label".
    """
    spellings = [name.lower() for name in names]
    problems = {
        "names a class twice": len(set(spellings)) < len(spellings),
        f"has a name that cannot be printed, {names!a}": not all(map(is_class_name, names)),
        f"names a class as files mark a pair without label ({', '.join(no_label)})": bool({*spellings} & {*no_label}),
    }
    return next((what for what, is_one in problems.items() if is_one), None)


def schema_or_default(schema: Optional[PairSchema]) -> PairSchema:
    """The given schema, or that of the task SNLI as it is registered."""
    return registry.task[_DEFAULT_TASK].schema if schema is None else schema
