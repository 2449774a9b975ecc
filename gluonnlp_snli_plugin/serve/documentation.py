"""The documentation of the service: an OpenAPI document, and a page made of it that needs no external script."""

import html
import json
from typing import Any, Dict, Sequence

from ..version import __version__
from .request import Limits

_PAIR = {"premise": "Two dogs run through the snow.", "hypothesis": "The dogs are asleep."}
_LABEL = "contradiction"  # of that pair, where the model has the label
_TITLE = "Natural language inference"


def openapi(limits: Limits, labels: Sequence[str]) -> Dict[str, Any]:
    """The OpenAPI document of a service.

    Parameters
    ----------
    limits : Limits
    labels : sequence of str
        The names of the model's classes.

    Returns
    -------
    dict
    """
    label = _LABEL if _LABEL in labels else labels[0]
    probabilities = {name: 0.98 if name == label else round(0.02 / (len(labels) - 1), 4) for name in labels}
    text = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    sentences: Dict[str, Any] = {name: text for name in _PAIR}
    pair = {"type": "object", "required": list(_PAIR), "properties": sentences, "example": _PAIR}
    explain = {
        "type": "boolean",
        "default": False,
        "description": f"also say what each word contributes; for at most {limits.explained_pairs} pairs a request",
    }
    one = {**pair, "properties": {**sentences, "explain": explain}, "title": "One pair"}
    many = {
        "type": "object",
        "title": "Several pairs",
        "required": ["pairs"],
        "properties": {"pairs": {"type": "array", "maxItems": limits.pairs, "items": pair}, "explain": explain},
    }
    part = {
        "type": "object",
        "description": "A piece of a sentence as it was written; the contribution is a difference of log-odds, "
        "null for what the model does not see.",
        "properties": {"text": {"type": "string"}, "contribution": {"type": "number", "nullable": True}},
    }
    parts = {"type": "array", "items": part}
    explanation = {
        "type": "object",
        "properties": {
            "label": {"type": "string"},
            "premise": parts,
            "hypothesis": parts,
            "tokens": {"type": "array", "items": {"type": "object"}},
            "log_odds": {"type": "number"},
            "log_odds_masked": {"type": "number"},
        },
    }
    prediction = {
        "type": "object",
        "title": "Answer for one pair",
        "properties": {
            "label": {"type": "string", "enum": list(labels)},
            "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
            "explanation": explanation,
        },
        "example": {"label": label, "probabilities": probabilities},
    }
    predictions = {
        "type": "object",
        "title": "Answer for several, in their order",
        "properties": {"predictions": {"type": "array", "items": prediction}},
    }
    refusals = {
        "400": "the body is not valid JSON",
        "408": f"the body did not arrive within {limits.seconds:g} s",
        "413": f"more than {limits.body_bytes} bytes",
        "415": "the header Content-Type is not application/json",
        "421": "the name in the header Host is not allowed; --allow-host NAME allows it",
        "422": "JSON of another form; error says where",
        "503": "too many pairs are waiting; try again after the seconds in Retry-After",
    }
    error = {"type": "object", "properties": {"error": {"type": "string"}}}
    answers = {
        "200": {"description": "the answer", "content": _json({"oneOf": [prediction, predictions]})},
        **{status: {"description": why, "content": _json(error)} for status, why in refusals.items()},
    }
    return {
        "openapi": "3.0.3",
        "info": {
            "title": _TITLE,
            "version": __version__,
            "description": "Does a hypothesis follow from a premise, contradict it, or neither?",
        },
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Label one pair, or several",
                    "description": "Premise and hypothesis may be called sentence1 and sentence2, as in SNLI; "
                    "other fields are ignored",
                    "requestBody": {"required": True, "content": _json({"oneOf": [one, many]})},
                    "responses": answers,
                }
            },
            "/healthz": {
                "get": {
                    "summary": "Whether the service is ready, and of what model, labels and versions",
                    "responses": {"200": {"description": "ready", "content": _json({"type": "object"})}},
                }
            },
        },
    }


def _json(schema: Dict[str, Any]) -> Dict[str, Any]:
    return {"application/json": {"schema": schema}}


def as_page(document: Dict[str, Any]) -> str:
    """An OpenAPI document of this module as HTML."""
    info = document["info"]
    sections = [_operation(path, *item) for path, methods in document["paths"].items() for item in methods.items()]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f'<title>{_TITLE}: the service</title>\n<link rel="stylesheet" href="page.css">\n<main>\n<h1>{_TITLE}</h1>\n'
        f"<p>{html.escape(info['description'])} Version {html.escape(info['version'])}.\n"
        '<a href="./">Try it</a>; <a href="openapi.json">this page for programs</a>.</p>\n'
        f"{''.join(sections)}</main>\n</html>\n"
    )


def _operation(path: str, method: str, operation: Dict[str, Any]) -> str:
    about = ". ".join(operation[key] for key in ("summary", "description") if key in operation)
    shown = [f"<section>\n<h2><code>{method.upper()} {path}</code></h2>\n<p>{html.escape(about)}.</p>\n"]
    if "requestBody" in operation:
        command = f"curl -H 'Content-Type: application/json' -d '{json.dumps(_PAIR)}' http://127.0.0.1:8000{path}"
        shown.append(f'<pre tabindex="0"><code>{html.escape(command, quote=False)}</code></pre>\n')
        shown += map(_fields, _schema(operation["requestBody"])["oneOf"])
    for answer in operation["responses"].values():
        shown += map(_fields, _schema(answer).get("oneOf", []))
    rows = "".join(
        f'<tr><th scope="row">{status}<td>{html.escape(answer["description"])}'
        for status, answer in operation["responses"].items()
    )
    return "".join([*shown, f'<table class="fields"><caption>Status</caption>{rows}</table>\n</section>\n'])


def _schema(message: Dict[str, Any]) -> Dict[str, Any]:
    return message["content"]["application/json"]["schema"]


def _fields(schema: Dict[str, Any]) -> str:
    """The properties of an object as a table."""
    rows = []
    for name, field in schema["properties"].items():
        inner = field.get("items", field)
        about = [field["type"] + (f" of {inner['type']}s" if inner is not field else "")]
        about += ["required"] if name in schema.get("required", ()) else []
        units = {"maxLength": "characters", "maxItems": "of them"}
        about += [f"at most {field[key]} {unit}" for key, unit in units.items() if key in field]
        about += [", ".join(inner["properties"])] if inner.get("properties") else []
        about += [" or ".join(field["enum"])] if "enum" in field else []
        about += [field["description"]] if "description" in field else []
        rows.append(f'<tr><th scope="row"><code>{name}</code><td>{html.escape("; ".join(about))}')
    return f'<table class="fields"><caption>{schema["title"]}</caption>{"".join(rows)}</table>\n'
