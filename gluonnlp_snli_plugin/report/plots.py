"""The figures of a page, drawn with matplotlib."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from . import svg
from .figures import Calibration, Group

_MOST_POINTS = 400  # of a line: more than can be told apart
_LONGEST_LABEL = 28
_DASHES = ("-", "--", ":", "-.")


class Line(NamedTuple):
    """A line of :func:`curves`."""

    label: str
    updates: List[int]
    values: List[float]
    is_dotted: bool = False  #: whether each value has a dot: there are few


def curves(
    name: str,
    description: str,
    lines: Sequence[Line],
    y_label: str,
    best: Optional[Tuple[float, float]] = None,
    is_rate: bool = False,
) -> Markup:
    """Lines over the updates of a run.

    Parameters
    ----------
    name, description : str
        As in :func:`.svg.plot`.
    lines : list of Line
    y_label : str
    best : (float, float) or None
        A point to mark.
    is_rate : bool, default False
        Whether the values start from 0, as a learning rate does.

    Returns
    -------
    Markup
    """

    def draw(axes: Axes) -> None:
        for i, line in enumerate(lines):
            style: Dict[str, Any] = {
                "color": svg.SERIES[i % len(svg.SERIES)],
                "linestyle": _DASHES[i // len(svg.SERIES) % len(_DASHES)],
                "marker": "o" if line.is_dotted and len(line.updates) <= 40 else "",
            }
            axes.plot(*_thinned(line.updates, line.values), label=_entry(line.label), markersize=4.5, **style)
        if best:
            axes.plot(*best, "o", markersize=11, markerfacecolor="none", markeredgecolor=svg.INK, label="best")
        axes.set(xlabel="update", ylabel=y_label, xlim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if is_rate:
            axes.set_ylim(0, None)
            axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=False)
        if len(lines) > 1 or best:
            axes.legend(handlelength=1.4, borderpad=0.1, labelspacing=0.25)

    return svg.plot(name, description, draw)


def shares_and_accuracy(name: str, description: str, groups: Sequence[Group], x_label: str, overall: float) -> Markup:
    """For groups of pairs, their share (bars) and their accuracy (dots with intervals).

    Parameters
    ----------
    name, description : str
        As in :func:`.svg.plot`.
    groups : list of Group
    x_label : str
    overall : float
        Accuracy on all pairs.

    Returns
    -------
    Markup
    """

    def draw(axes: Axes) -> None:
        _draw_groups(axes, groups, range(len(groups)), range(len(groups)), 0.9)
        axes.axhline(overall, color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), label="on all pairs")
        is_tight = sum(len(group.name) for group in groups) > 34
        slant: Dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if is_tight else {}
        axes.set_xticks(range(len(groups)))
        axes.set_xticklabels([group.name for group in groups], **slant)
        _finish(axes, x_label)

    return svg.plot(name, description, draw)


def reliability(name: str, description: str, calibration: Calibration) -> Markup:
    """Reliability diagram: accuracy over confidence, with the share of pairs in each group.

    Parameters
    ----------
    name, description : str
        As in :func:`.svg.plot`.
    calibration : Calibration

    Returns
    -------
    Markup
    """

    def draw(axes: Axes) -> None:
        width = 1 / len(calibration.groups)
        middles = [(i + 0.5) * width for i in range(len(calibration.groups))]
        _draw_groups(axes, calibration.groups, middles, calibration.confidence, 0.9 * width)
        axes.plot([0, 1], [0, 1], color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), label="ideal")
        axes.set_xlim(0, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        _finish(axes, "confidence")

    return svg.plot(name, description, draw)


def _draw_groups(
    axes: Axes, groups: Sequence[Group], bars: Sequence[float], dots: Sequence[float], width: float
) -> None:
    """Bars and dots at these places; no dots for groups without pairs."""
    total = sum(group.pairs for group in groups)
    axes.bar(bars, [group.pairs / total for group in groups], width, color=svg.FILL, label="share of pairs")
    there = [(x, group) for x, group in zip(dots, groups) if group.pairs]
    reach = [[group.accuracy - group.low for _, group in there], [group.high - group.accuracy for _, group in there]]
    axes.errorbar(
        [x for x, _ in there],
        [group.accuracy for _, group in there],
        np.maximum(reach, 0),
        color=svg.SERIES[0],
        linestyle="none",
        marker="o",
        markersize=5,
        elinewidth=1.4,
        label="accuracy",
    )


def _finish(axes: Axes, x_label: str) -> None:
    axes.set(xlabel=x_label, ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="x", visible=False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, handlelength=1.4, columnspacing=1.2)


def _entry(label: str) -> str:
    """A label as an entry of a legend, which leaves out those that begin with _."""
    label = label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"
    return f" {label}" if label.startswith("_") else label


def _thinned(x: Sequence[float], y: Sequence[float]) -> Tuple[Any, Any]:
    """Few enough points: means of as many neighbours as it takes."""
    size = -(-len(x) // _MOST_POINTS)
    if size <= 1:
        return x, y
    starts = np.arange(0, len(x), size)
    counts = np.diff([*starts, len(x)])
    return np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
