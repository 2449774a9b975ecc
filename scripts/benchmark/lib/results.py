"""From the answers of the contenders to figures, and to the table of them."""

import statistics

from . import machine
from .entries import REFERENCE
from .report import table

# Key of a figure: its heading, and the digits it is shown with.
COLUMNS = {
    "train": ("train, pairs/s", 1),
    "ratio": ("this project trains faster by", 2),
    "limit": ("of the limit", 2),
    "tokens": ("train, tokens/s", 0),
    "padding": ("padding", 2),
    "evaluate": ("evaluate, pairs/s", 1),
    "evaluate_ratio": ("this project evaluates faster by", 2),
    "encode": ("text to ids, pairs/s", 0),
    "memory": ("peak memory, MiB", 0),
}


class Limit:
    """What the machine could do if nothing but the encoder's matrix products took time, and no token were padding.

    Parameters
    ----------
    workspace : Workspace
    rates : dict of str to dict of str to float
        GFLOP/s by library and data type.
    """

    def __init__(self, workspace, rates):
        shape = workspace.shape
        flops = machine.flops_of_pair(workspace.lengths, shape["layers"], shape["units"], shape["hidden"])
        self.gigaflops = float(flops.mean()) / 1e9
        self._rates = rates

    def pairs_per_second(self, is_low_precision):
        """Training pairs at the fastest rate measured; None if there is none."""
        rates = [
            rate
            for by_kind in self._rates.values()
            for kind, rate in by_kind.items()
            if kind == "float32" or is_low_precision
        ]
        return max(rates) / (3 * self.gigaflops) if rates else None

    def __str__(self):
        rates = [f"{name} {kind} {rate:.0f}" for name, kinds in self._rates.items() for kind, rate in kinds.items()]
        return (
            f"The limit is {self.gigaflops:.3f} GFLOP a pair forward, and twice that backward, at the fastest rate "
            "measured for the step's matrix products in the contender's precision or a higher one "
            f"(GFLOP/s: {', '.join(rates) or 'none measured'}); it counts no padding."
        )


def pairs_per_second(turns):
    """Training rates by round: tokens a second over the mean length, as batches are long or short by chance."""
    rates = []
    for turn in turns:
        mean_length = turn["encode"]["tokens"] / turn["encode"]["pairs"]
        rates.append(turn["train"]["tokens"] / turn["train"]["seconds"] / mean_length)
    return rates


def evaluated_per_second(turns):
    """Pairs scored a second by round."""
    return [turn["evaluate"]["pairs"] / turn["evaluate"]["seconds"] for turn in turns]


def figures(answers, entries, limit):
    """The figures of all contenders.

    Parameters
    ----------
    answers : dict of str to list
        What :func:`race.race` gives.
    entries : dict of str to Entry
    limit : Limit

    Returns
    -------
    dict of str to dict of str to list of float
        By contender and by key of ``COLUMNS``: a number each round, or one for all.
    """
    reference = pairs_per_second(answers.get(REFERENCE, []))
    reference_evaluated = evaluated_per_second(answers.get(REFERENCE, []))
    found = {}
    for name, turns in answers.items():
        trained = [turn["train"] for turn in turns]
        rates, evaluated = pairs_per_second(turns), evaluated_per_second(turns)
        best = limit.pairs_per_second(entries[name].is_low_precision)
        found[name] = {
            "train": rates,
            "ratio": [ours / theirs for ours, theirs in zip(reference, rates)],
            "limit": [statistics.median(rates) / best] if best else [],
            "tokens": [answer["tokens"] / answer["seconds"] for answer in trained],
            "padding": [1 - sum(answer["tokens"] for answer in trained) / sum(answer["padded"] for answer in trained)],
            "evaluate": evaluated,
            "evaluate_ratio": [ours / theirs for ours, theirs in zip(reference_evaluated, evaluated)],
            "encode": [turn["encode"]["pairs"] / turn["encode"]["seconds"] for turn in turns],
            "memory": [max(answer["peak_mb"] for turn in turns for answer in turn.values())],
        }
    return found


def largest_difference(found, *keys):
    """By how much of its median a figure of one contender differs between rounds, at most."""
    series = [mine[key] for mine in found.values() for key in keys if mine[key]]
    return max((max(values) - min(values)) / statistics.median(values) for values in series)


def results_table(found, entries):
    """The medians of the figures as a Markdown table; columns that nobody has a figure for are left out."""
    keys = [key for key in COLUMNS if any(mine[key] for mine in found.values())]
    rows = [
        [entries[name].title, *(_median(mine[key], COLUMNS[key][1]) for key in keys)] for name, mine in found.items()
    ]
    return table(["contender", *(COLUMNS[key][0] for key in keys)], rows)


def _median(values, digits):
    return f"{statistics.median(values):.{digits}f}" if values else "-"
