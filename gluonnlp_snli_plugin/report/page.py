"""Renders the pages: one self-contained HTML file each, from figures and recorded settings."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from ..errors import UsageError, counted
from ..system.files import replacing, writing
from .comparison import comparison
from .run import read_run
from .run_page import run_page
from .text import plain

_PAGE = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
_LONGEST_TEXT = 700  # characters; what is longer is cut

PathLike = Union[str, "os.PathLike[str]"]


def write(folder: Union[PathLike, List[PathLike]], to: Optional[PathLike] = None) -> Path:
    """As :func:`gluonnlp_snli_plugin.report.write_report`."""
    if isinstance(folder, (list, tuple)) and len(folder) > 1:
        if to is None:
            raise UsageError("a comparison of several runs needs --to FILE")
        page = render("comparison.html", comparison([read_run(path) for path in folder], list(map(str, folder))))
    else:
        folder = folder[0] if isinstance(folder, (list, tuple)) else folder
        page = render("run.html", run_page(read_run(folder)))
        to = Path(folder) / _PAGE if to is None else to
    with writing(to), replacing(to) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(to)


def render(template: str, content: Dict[str, Any]) -> str:
    """Fill in a template.

    Parameters
    ----------
    template : str
        Its file name.
    content : dict

    Returns
    -------
    str
        A page whose security policy allows its own styles only.
    """
    loader = FileSystemLoader(str(_TEMPLATES))
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_visible)
    environment.filters.update(brief=_brief, counted=counted)
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(content, style=Markup(style), style_hash=style_hash)


def _visible(value: Any) -> Markup:
    """Whatever a template is given, escaped."""
    return value if isinstance(value, Markup) else escape(plain(value))


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} … ({len(text)} characters)"
