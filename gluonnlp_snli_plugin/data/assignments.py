"""Options such as ``--columns premise=p,hypothesis=h``: names and what they stand for."""

import csv
import io
from typing import Dict, Mapping, Optional, Union

from ..errors import UsageError

Assignments = Union[str, Mapping[str, str], None]


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
    try:
        parts = next(csv.reader([given], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise UsageError(f"{option} {given}: {error}; write {option} {example}") from None
    found: Dict[str, str] = {}
    for part in parts:
        name, equals, value = (text.strip() for text in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"{option} has {part!r} where NAME=VALUE belongs; write {option} {example}")
        if name in found:
            raise UsageError(f"{option} names {name} twice")
        found[name] = value
    return found


def written(given: Assignments) -> Optional[str]:
    """The same as on the command line; None if nothing is given."""
    if given is None or isinstance(given, str):
        return given
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(f"{name}={value}" for name, value in given.items())
    return line.getvalue()
