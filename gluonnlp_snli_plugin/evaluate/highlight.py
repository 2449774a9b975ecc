"""Shows an explanation: coloured words in a terminal, a page of HTML."""

import contextlib
import html
import math
import os
from pathlib import Path
from typing import IO, Any, Callable, Iterator, List, Optional, Sequence, Tuple, Union

from ..errors import printable
from ..system.files import replacing, writing
from .explanation import Explanation, Part

LEVELS = 5  # of colour for, and as many against, the answer
_FAINTEST = 0.05  # of the largest contribution; below, a word has no colour
# From faint to strong, of xterm's 256: blue speaks for the answer, orange against it; told apart by colour-blind eyes.
_FOR = (153, 117, 75, 33, 26)
_AGAINST = (223, 216, 215, 208, 166)
_BLACK, _WHITE = 16, 231
_ZERO = "0.00"
_STYLE = Path(__file__).with_name("explanation.css")


def strengths(explanation: Explanation) -> Tuple[List[Tuple[Part, int]], List[Tuple[Part, int]]]:
    """How strongly to colour each part of both sentences.

    Parameters
    ----------
    explanation : Explanation

    Returns
    -------
    premise, hypothesis : list of (Part, int)
        The number is 1 to 5 for the answer, -1 to -5 against it, 0 for neither.
    """
    both = explanation.premise, explanation.hypothesis
    largest = max((abs(part.contribution or 0) for parts in both for part in parts), default=0)
    premise, hypothesis = ([(part, _strength(part.contribution or 0, largest)) for part in parts] for parts in both)
    return premise, hypothesis


def _strength(value: float, largest: float) -> int:
    share = abs(value) / largest if largest else 0
    return 0 if share < _FAINTEST else int(math.copysign(math.ceil(share * LEVELS), value))


def has_colours(output: Optional[IO[str]]) -> bool:
    """Whether text on this stream may be coloured (see https://no-color.org)."""
    is_terminal = output is not None and output.isatty() and os.environ.get("TERM") != "dumb"
    return is_terminal and not os.environ.get("NO_COLOR")


def text(prediction: Any, explanation: Optional[Explanation] = None, colours: bool = False) -> str:
    """A prediction and its explanation as lines for a terminal.

    Parameters
    ----------
    prediction : Prediction
    explanation : Explanation or None
    colours : bool, default False
        Colours for a terminal; without them, the contribution of each important word follows it.

    Returns
    -------
    str
        Contains no control characters except the colours.
    """
    shares = "  ".join(f"{label} {value:.3f}" for label, value in prediction.probabilities.items())
    lines = [f"{prediction.label}  ({shares})"]
    for parts in strengths(explanation) if explanation else ():
        lines.append("  " + "".join(_coloured(*part) if colours else _signed(*part) for part in parts))
    return "\n".join(lines)


def _coloured(part: Part, strength: int) -> str:
    if not strength:
        return _in_line(part.text)
    background = (_FOR if strength > 0 else _AGAINST)[abs(strength) - 1]
    foreground = _WHITE if background == _FOR[-1] else _BLACK
    return f"\033[38;5;{foreground};48;5;{background}m{_in_line(part.text)}\033[0m"


def _in_line(text: str) -> str:
    """A part of a sentence, its line ends and tabs as spaces."""
    return printable("".join(" " if c.isspace() else c for c in text))


def _signed(part: Part, strength: int) -> str:
    number = _number(part.contribution) if strength else _ZERO
    return _in_line(part.text) + (f"[{number}]" if number != _ZERO else "")


def _number(contribution: Optional[float]) -> str:
    """With a sign, unless it is rounded to nothing."""
    number = f"{contribution or 0:+.2f}"
    return number if float(number) else _ZERO


def style() -> str:
    """The style sheet of a page that shows explanations; str."""
    return _STYLE.read_text(encoding="utf-8")


@contextlib.contextmanager
def page(path: Union[str, "os.PathLike[str]"]) -> Iterator[Callable[[Any, Explanation], Any]]:
    """Write a page of HTML with predictions and their explanations, atomically; without scripts, for any browser.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    callable
        Called with a Prediction and its Explanation, adds them to the page.

    Raises
    ------
    PluginError
        If the file cannot be written.
    """
    with writing(path), replacing(path) as temporary, open(
        temporary, "w", encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(_HEAD.format(style=style(), legend=LEGEND))
        yield lambda *answer: file.write(_section(*answer))
        file.write("</main>\n</html>\n")


LEGEND = (
    'Words on <mark class="for4">blue</mark> speak for the answer, those on <mark class="against4">orange</mark> '
    "against it; words that are <s>struck through</s> were cut off before the model read them."
)


_HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Answers explained</title>
<style>
{style}</style>
<main>
<h1>Answers explained</h1>
<p>{legend}</p>
"""


def _section(prediction: Any, explanation: Explanation) -> str:
    """An answer as HTML."""
    premise, hypothesis = strengths(explanation)
    bars = "".join(
        f'<tr><th scope="row">{html.escape(label)}<td>'
        f'<meter min="0" max="1" value="{value:.4f}"></meter><td>{value:.3f}'
        for label, value in prediction.probabilities.items()
    )
    return (
        f"<section>\n<h2>{html.escape(prediction.label)}</h2>\n"
        f'<p class="sentence"><b>Premise</b>{"".join(_marked(*part) for part in premise)}</p>\n'
        f'<p class="sentence"><b>Hypothesis</b>{"".join(_marked(*part) for part in hypothesis)}</p>\n'
        f"<table><caption>Probabilities</caption>{bars}</table>\n"
        f"{_numbers(premise + hypothesis)}</section>\n"
    )


def _marked(part: Part, strength: int) -> str:
    """A part as HTML; those that count are marked, those that were cut off struck through."""
    shown = html.escape(_in_line(part.text))
    if strength:
        name = f"{'for' if strength > 0 else 'against'}{abs(strength)}"
        return f'<mark class="{name}" title="{_number(part.contribution)}">{shown}</mark>'
    return shown if part.contribution is not None or not part.text.strip() else f"<s>{shown}</s>"


def _numbers(parts: Sequence[Tuple[Part, int]]) -> str:
    """The contributions as a table, for those who cannot see colours."""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(_in_line(part.text))}<td>{_number(part.contribution)}'
        for part, _ in parts
        if part.contribution is not None
    )
    return (
        "<details><summary>Contribution of each word</summary>\n<table><caption>Differences of log-odds</caption>"
        f"{rows}</table></details>\n"
    )
