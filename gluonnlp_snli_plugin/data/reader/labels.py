"""What the labels in a file mean."""

import re
from typing import Any, Dict, Optional

from ...errors import UsageError
from ..assignments import Assignments, in_words, parsed
from ..schema import PairSchema
from .rows import BadRow, show

NO_LABEL = ""  # what a spelling means that stands for no gold label
_EXAMPLE = "SPELLING=CLASS,SPELLING=CLASS,..."
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class NoClass(UsageError):
    """A spelling is given for something that is not a class."""


class Labels:
    """Tells what labels mean: by the task's own spellings in any case, or by those that the user gives.

    Parameters
    ----------
    schema : PairSchema
    given : str, mapping of spelling to class, or None
        What ``--labels`` says; it comes before the spellings of `schema`. The class can be ``-``, for none.

    Raises
    ------
    UsageError
        If `given` makes no sense; a :class:`NoClass` if it names something that is not a class.
    """

    def __init__(self, schema: PairSchema, given: Assignments) -> None:
        self._schema = schema
        known: Dict[str, str] = {spelling: NO_LABEL for spelling in schema.no_label}
        known.update((label.lower(), label) for label in schema.labels)
        known.update((spelling.lower(), label) for spelling, label in schema.label_alias.items())
        self.given: Dict[str, str] = {}
        for spelling, label in parsed("--labels", given, _EXAMPLE).items():
            spelling = spelling.lower()
            if spelling in self.given:
                raise UsageError(f"--labels names {spelling} twice")
            if label.lower() not in known:
                classes = in_words(sorted(schema.labels))
                raise NoClass(f"--labels {spelling}={label}: there is no class {label!r}, only {classes}")
            self.given[spelling] = known[label.lower()]
        self._known = {**known, **self.given}

    def get(self, value: Any) -> Optional[str]:
        """The label that a value means, ``NO_LABEL`` for none, or None if that is not known."""
        return self._known.get(_spelling(value))

    def of(self, value: Any, column: str) -> str:
        """The same, but raises a :class:`BadRow` that names the column if it is not known."""
        label = self.get(value)
        if label is not None:
            return label
        if value is None:
            raise BadRow(f"{column} is missing")
        spelling = _spelling(value)
        if not spelling and isinstance(value, str):
            raise BadRow(f"{column} is empty")
        what = f"unknown {column} {show(value)}"
        if _NUMBER.fullmatch(spelling):
            raise BadRow(
                f"{what}: corpora number the classes in different orders, so that no order is assumed; look up which "
                "class each number stands for, and give --labels NUMBER=CLASS,NUMBER=CLASS,..."
            )
        labels, no_label = in_words(self._schema.labels), self._schema.no_label[0]
        raise BadRow(f"{what}; expected one of {labels}, or {no_label} for none (other spellings: --labels)")


def _spelling(value: Any) -> str:
    """A label as text, without what people vary; empty for what is none."""
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, float) and value.is_integer():  # as numbers are written where some are missing
        value = int(value)
    return str(value).lower() if isinstance(value, (int, float)) else ""
