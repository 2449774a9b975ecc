"""A matplotlib figure as SVG in a page: in the page's colours and fonts, with a description."""

import io
import re
import warnings
from typing import Any, Callable, Dict
from xml.etree import ElementTree

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_SIZE = (4.9, 3.4)  # inches of 72 units; on a page, a unit is about a pixel
_FONT_SIZE = 11.5

# Colours to draw with, each of which becomes one of the page's.
INK, MUTED, GRID, FILL = "#fe0001", "#fe0002", "#fe0003", "#fe0004"
SERIES = [f"#fe001{i}" for i in range(6)]
_PAGE_COLOURS = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--line)", FILL: "var(--fill)"}
_PAGE_COLOURS.update((colour, f"var(--series-{i})") for i, colour in enumerate(SERIES, 1))

_STYLE: Dict[str, Any] = {
    "font.size": _FONT_SIZE,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": _FONT_SIZE,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": _FONT_SIZE,
    "figure.facecolor": "none",
    "text.parse_math": False,
    "svg.fonttype": "none",
}


def plot(name: str, description: str, draw: Callable[[Axes], None]) -> Markup:
    """Draw a figure.

    Parameters
    ----------
    name : str
        Different from that of every other figure of the page.
    description : str
        The content in words, for screen readers.
    draw : callable
        Draws on the ``Axes`` that it is given.

    Returns
    -------
    Markup
        An ``svg`` element without styles, scripts and references to anything outside.
    """
    # "default": whatever the user's own settings of matplotlib are.
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # missing in its font, which the page does not use
        figure = Figure(figsize=_SIZE, constrained_layout=True)
        draw(figure.add_subplot())
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return Markup(_cleaned(content.getvalue(), name, description))


def _cleaned(content: bytes, name: str, description: str) -> str:
    drawing = ElementTree.fromstring(content)
    elements = [_without_namespace(element) for element in drawing.iter()]
    for parent in elements:
        for child in list(parent):
            # Its author and date; and styles, which would apply to the whole page.
            if child.tag in ("{http://www.w3.org/2000/svg}metadata", "metadata", "style"):
                parent.remove(child)
    used = set()
    for element in elements:
        _use_attributes(element)
        for attribute, value in element.attrib.items():
            reference = re.fullmatch(r"#(.+)" if attribute == "href" else r"url\(#(.+)\)", value)
            if reference:
                used.add(reference.group(1))
                element.set(attribute, value.replace("#", f"#{name}-"))
    for element in elements:
        number = element.attrib.pop("id", None)
        if number in used:
            element.set("id", f"{name}-{number}")
    for attribute in ("width", "height", "version"):
        drawing.attrib.pop(attribute, None)
    drawing.set("role", "img")
    drawing.set("aria-label", description)
    return ElementTree.tostring(drawing, encoding="unicode")


def _without_namespace(element: ElementTree.Element) -> ElementTree.Element:
    """HTML knows SVG without them."""
    element.tag = element.tag.split("}")[-1]
    for attribute in list(element.attrib):
        if "}" in attribute:
            element.set(attribute.split("}")[-1], element.attrib.pop(attribute))
    return element


def _use_attributes(element: ElementTree.Element) -> None:
    """Say in attributes what the element's style says, which the page's security policy forbids."""
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        attribute, value = map(str.strip, declaration.split(":", 1))
        if attribute == "font":  # the family is the page's
            attribute, value = "font-size", "".join(re.findall(r"[\d.]+(?=px)", value))
        if attribute != "font-family":
            element.set(attribute, _PAGE_COLOURS.get(value, value))
