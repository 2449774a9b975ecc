"""Which columns of a corpus are the premise, the hypothesis and the label."""

import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from ...errors import UsageError
from ..assignments import Assignments, parsed
from ..schema import ROLES, PairSchema
from .rows import BadRow, show

_EXAMPLE = "premise=NAME,hypothesis=NAME,label=NAME"
_SHOWN = 20  # names of columns in a message


class Fields(NamedTuple):
    """The names of the columns that count."""

    premise: str
    hypothesis: str
    label: Optional[str]  #: None where there is none, and none is needed


class NoColumn(BadRow):
    """A column is missing, rather than there twice."""


class Columns:
    """Finds the columns of a task by the names under which they are known, or that the user gives.

    Parameters
    ----------
    schema : PairSchema
    given : str, mapping of role to name, or None
        What ``--columns`` says; the rest is found by the names of `schema`.
    labelled : bool
        Whether there must be a label. Otherwise it may be missing, or its name may be unclear.
    only : mapping of str to str, or None
        Which rows to read, by the values of other columns.
    others : sequence of str
        Columns that are read besides.

    Raises
    ------
    UsageError
        If `given` makes no sense.
    """

    def __init__(
        self,
        schema: PairSchema,
        given: Assignments,
        labelled: bool,
        only: Optional[Mapping[str, str]] = None,
        others: Sequence[str] = (),
    ) -> None:
        self.given = parsed("--columns", given, _EXAMPLE)
        for role in self.given:
            if role not in ROLES:
                raise UsageError(f"--columns has no role {role!r}; write --columns {_EXAMPLE}")
        if len(set(self.given.values())) < len(self.given):
            raise UsageError(f"--columns names one column twice; write --columns {_EXAMPLE}")
        self._known = {role: frozenset(map(_plain, names)) for role, names in schema.columns.items()}
        self._own = schema.own_columns
        self._labelled = labelled
        self.only = dict(only or {})
        self.others = tuple(others)

    def find(self, names: Iterable[str]) -> Fields:
        """The columns that count, among those of a table or of a JSON object.

        Raises
        ------
        NoColumn
            If one is missing; the message says how to name it.
        BadRow
            If there are several that could be one.
        """
        names = list(names)
        if not self.given and all(names.count(name) == 1 for name in self._own):
            return Fields(*self._own)
        found: Dict[str, Any] = {}
        missing: List[str] = []
        named = [name for role in self.given for name in self._candidates(role, names)]
        for role in ROLES:
            candidates = self._candidates(role, names)
            if role not in self.given:
                candidates = [name for name in candidates if name not in named]
            if role == "label" and not self._labelled and len(candidates) != 1:
                found[role] = None
            elif len(candidates) > 1:
                raise BadRow(f"{_listed(candidates)} can each be the {role}: say which with --columns {role}=NAME")
            elif candidates:
                found[role] = candidates[0]
            else:
                missing.append(role)
        if missing:
            raise NoColumn(self._complaint(missing, names))
        return Fields(**found)

    def find_others(self, names: Iterable[str]) -> List[str]:
        """The columns that are read besides, as the file spells them.

        Raises
        ------
        NoColumn
            If one is missing; the message lists those there are.
        BadRow
            If there are several of its name.
        """
        names = list(names)
        found: List[str] = []
        for other in self.others:
            candidates = _called(other, names)
            if not candidates:
                raise NoColumn(f"no column {show(other)} among {_listed(names)}")
            if len(candidates) > 1:
                raise BadRow(f"{len(candidates)} columns are called {other}")
            found += candidates
        return found

    def called_as_others(self, names: Iterable[str]) -> List[str]:
        """Those of the names that the columns read besides may mean."""
        names = list(names)
        return [name for other in self.others for name in _called(other, names)]

    def _candidates(self, role: str, names: Sequence[str]) -> List[str]:
        if role not in self.given:
            return [name for name in names if _plain(name) in self._known[role]]
        return _called(self.given[role], names)

    def _complaint(self, missing: Sequence[str], names: Sequence[str]) -> str:
        given = [self.given[role] for role in missing if role in self.given]
        among = f"among {_listed(names)}" if names else "at all"
        if given:
            return f"no column {' and no column '.join(map(show, given))} (--columns) {among}"
        roles = " and no ".join(missing) if len(missing) < 3 else "premise, no hypothesis and no label"
        option = ",".join(f"{role}=NAME" for role in missing)
        return f"no {roles} {among}: name the column{'s' * (len(missing) > 1)} with --columns {option}"


def _called(given: str, names: Sequence[str]) -> List[str]:
    """The names that a user's spelling means: those that are the same, or else much the same."""
    return [name for name in names if name == given] or [name for name in names if _plain(name) == _plain(given)]


def _plain(name: str) -> str:
    """A name without what people vary: case, spaces, hyphens, underscores."""
    return re.sub(r"[\s_-]", "", name).lower()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(show, names[:_SHOWN]))
    return f"{shown}, ... ({len(names)} in all)" if len(names) > _SHOWN else shown
