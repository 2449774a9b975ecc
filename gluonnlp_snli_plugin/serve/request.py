"""Parses and checks the JSON body of a request."""

import dataclasses
from typing import Any, Dict, List, NamedTuple, Tuple

import orjson

_NAMES = {"premise": "sentence1", "hypothesis": "sentence2"}  # ours, and SNLI's
_KINDS = {dict: "an object", list: "an array", int: "a number", float: "a number", bool: "a boolean"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a service.

    Attributes
    ----------
    connections : int
        Open at a time.
    waiting : int
        Pairs in the queue, of all clients together.
    seconds : float
        For a request.
    pairs : int
        In a request.
    explained_pairs : int
        In a request for explanations.
    characters : int
        In a sentence.
    body_bytes : int
        In the body of a request.
    """

    connections: int
    waiting: int
    seconds: float
    pairs: int
    explained_pairs: int
    characters: int
    body_bytes: int


class Refusal(Exception):
    """A request that is refused.

    Attributes
    ----------
    status : int
        Of HTTP.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Request(NamedTuple):
    """The pairs of a request."""

    pairs: List[Tuple[str, str]]
    is_list: bool  #: whether the pairs, and so the answers, are a list
    explains: bool


def parse(body: bytes, limits: Limits) -> Request:
    """Read the body of a request.

    Parameters
    ----------
    body : bytes
    limits : Limits

    Returns
    -------
    Request

    Raises
    ------
    Refusal
        400 if it is not valid JSON, 422 if it has another form.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise Refusal(422, f"the body is {_kind(content)}; it must be an object with premise and hypothesis, or pairs")
    explains = content.get("explain", False)
    if not isinstance(explains, bool):
        raise Refusal(422, f"explain is {_kind(explains)}; it must be true or false")
    if "pairs" not in content:
        return Request([_pair(content, "", limits)], False, explains)
    if any(name in content for names in _NAMES.items() for name in names):
        raise Refusal(422, "there are both pairs and a single pair; give one or the other")
    rows = content["pairs"]
    if not isinstance(rows, list):
        raise Refusal(422, f"pairs is {_kind(rows)}; it must be an array")
    most = limits.explained_pairs if explains else limits.pairs
    if len(rows) > most:
        raise Refusal(422, f"{len(rows)} pairs; a request may have at most {most}{' with explain' if explains else ''}")
    return Request([_pair(row, f"pairs[{i}]: ", limits) for i, row in enumerate(rows)], True, explains)


def _pair(row: Any, where: str, limits: Limits) -> Tuple[str, str]:
    if not isinstance(row, dict):
        raise Refusal(422, f"{where}{_kind(row)}; it must be an object with premise and hypothesis")
    premise, hypothesis = (_sentence(row, name, other, where, limits) for name, other in _NAMES.items())
    return premise, hypothesis


def _sentence(row: Dict[str, Any], name: str, other: str, where: str, limits: Limits) -> str:
    if name in row and other in row:
        raise Refusal(422, f"{where}{name} and {other} mean the same; give only one")
    name = other if other in row else name
    if name not in row:
        raise Refusal(422, f"{where}{name} is missing")
    text = row[name]
    if not isinstance(text, str):
        raise Refusal(422, f"{where}{name} is {_kind(text)}; it must be text")
    if not text.strip():
        raise Refusal(422, f"{where}{name} is empty")
    if len(text) > limits.characters:
        raise Refusal(422, f"{where}{name} has {len(text)} characters; at most {limits.characters} are allowed")
    return text


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), "text")
