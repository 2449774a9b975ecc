"""Results as Markdown tables, between two comments of a page that somebody else writes."""

import re
import statistics
import sys
import tempfile
from pathlib import Path

from gluonnlp_snli_plugin import PluginError


def table(columns, rows):
    """A Markdown table of lists of str."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values, digits=2):
    """The median of some numbers, with the smallest and the largest."""
    if not values:
        return "-"
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def require_at_least(parser, options, least=1, *names):
    """Complain, as the parser does, about the first of these options that is too small."""
    for name in names:
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least {least}")


def measure_into_page(parser, page, name, measure):
    """Measure in an empty folder, print what comes of it, and put it into a section of a page.

    Parameters
    ----------
    parser : ArgumentParser
        Of the program.
    page : str or None
        As in :func:`write_section`; None to print only.
    name : str
    measure : callable
        Takes the folder, a Path; gives the text, Markdown.

    Returns
    -------
    int
        The program's exit status.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            text = measure(Path(folder))
        print(text)
        if page is not None:
            write_section(page, name, text)
    except (PluginError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def write_section(path, name, text):
    """Put `text` between the comments ``<!-- name: begin -->`` and ``<!-- name: end -->`` of a page.

    Parameters
    ----------
    path : str or Path
        The page; one that is not there, or has no such comments, gets them at its end under a heading.
    name : str
    text : str

    Raises
    ------
    PluginError
        If the page cannot be read or written, or has one of the comments without the other.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    path = Path(path)
    try:
        page = path.read_text(encoding="utf-8") if path.exists() else "# Performance\n"
        if begin not in page and end not in page:
            page = f"{page.rstrip()}\n\n## {name.capitalize()}\n\n{begin}\n{end}\n"
        section = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not section.search(page):
            raise PluginError(f"{path} has only one of {begin} and {end}, or has them in the wrong order")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(section.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", page), encoding="utf-8")
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from None
