"""Options such as ``--columns premise=p,hypothesis=h`` or ``--labels yes,no``: assignments, and lists of names."""

import csv
import io
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ..errors import UsageError

Assignments = Union[str, Mapping[str, str], None]
Names = Union[str, Mapping[str, str], Sequence[str], None]  #: assignments, or a list of names


def parsed(option: str, given: Assignments, example: str) -> Dict[str, str]:
    """What an option says.

    Parameters
    ----------
    option : str
        Its name, for messages.
    given : str, mapping or None
        As on the command line, where quotes as in CSV protect commas; or the same as a mapping.
    example : str
        How to write it.

    Returns
    -------
    dict of str to str

    Raises
    ------
    UsageError
        If it is not written so, or a name comes twice.
    """
    if given is None or isinstance(given, Mapping):
        return {str(name).strip(): str(value).strip() for name, value in (given or {}).items()}
    if not isinstance(given, str):
        raise UsageError(f"{option} is {given!r}; it must be a dict, or a text: {example}")
    found: Dict[str, str] = {}
    for part in _parts(option, given, example):
        name, equals, value = (_unquoted(text.strip()) for text in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"{option} has {part!r} where NAME=VALUE belongs; write {option} {example}")
        if name in found:
            raise UsageError(f"{option} names {name} twice")
        found[name] = value
    return found


def listed(option: str, given: Optional[str], example: str) -> Optional[Tuple[str, ...]]:
    """The names in an option that is a list of names, ``NAME,NAME,...``.

    Parameters
    ----------
    option : str
        Its name, for messages.
    given : str or None
        As on the command line, where quotes as in CSV protect commas.
    example : str
        How to write it.

    Returns
    -------
    tuple of str, or None
        None if the option is not given, or holds assignments ``NAME=VALUE`` only.

    Raises
    ------
    UsageError
        If it holds both, or an empty name.
    """
    parts = [part.strip() for part in _parts(option, given or "", example)]
    assignments = [part for part in parts if "=" in part]
    if len(assignments) == len(parts):
        return None
    if assignments:
        name = next(part for part in parts if "=" not in part)
        raise UsageError(
            f"{option} mixes names ({name!r}) and assignments ({assignments[0]!r}); write {option} {example}"
        )
    if "" in parts:
        raise UsageError(f"{option} {given}: a name is empty; write {option} {example}")
    return tuple(parts)


def _unquoted(text: str) -> str:
    """Without quotes around the name or the value alone, as in ``2="not enough info"``."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def in_words(labels: Iterable[str]) -> str:
    """Classes in a message: separated by commas, and in quotes where a name has a space or a comma itself."""
    return ", ".join(repr(label) if " " in label or "," in label else label for label in labels)


def _parts(option: str, given: str, example: str) -> List[str]:
    """What commas separate."""
    try:
        return next(csv.reader([given], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise UsageError(f"{option} {given}: {error}; write {option} {example}") from None


def written(given: Names) -> Optional[str]:
    """Assignments, or a list of names, as on the command line; None if nothing is given.

    Raises
    ------
    UsageError
        If a name is not a str.
    """
    if isinstance(given, Mapping) and not given:
        return None
    if given is None or isinstance(given, str):
        return given
    parts = [f"{name}={value}" for name, value in given.items()] if isinstance(given, Mapping) else list(given)
    other = [name for name in parts if not isinstance(name, str)]
    if other:
        raise UsageError(f"{other[0]!r} among {', '.join(map(repr, parts))} is not a name: names are texts, in quotes")
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(parts)
    return line.getvalue()
