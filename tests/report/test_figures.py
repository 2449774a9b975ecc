"""Figures against a count by hand, and laws that hold for all answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonnlp_snli_plugin.evaluate.predictions import Pairs, Predictions
from gluonnlp_snli_plugin.report import figures
from gluonnlp_snli_plugin.tasks.snli import LABELS


def make(probabilities, gold, tokens=None, premises=None, hypotheses=None):
    n = len(gold)
    tokens = np.full(n, 10) if tokens is None else np.array(tokens)
    pairs = Pairs(premises or ["a"] * n, hypotheses or ["a"] * n, np.array(gold), tokens, tokens > 1000, LABELS)
    return Predictions.of(pairs, np.array(probabilities))


def test_expected_calibration_error_by_hand():
    # 0.95 and right, 0.95 and wrong, 0.65 and right: groups of 2 and 1 pairs.
    found = figures.calibration(make([[0.95, 0.05, 0], [0.95, 0, 0.05], [0.2, 0.65, 0.15]], [0, 1, 1]))
    assert [group.pairs for group in found.groups] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 2]
    assert found.error == pytest.approx((2 * abs(0.5 - 0.95) + 1 * abs(1 - 0.65)) / 3)
    assert found.confidence[9] == pytest.approx(0.95) and found.groups[9].accuracy == 0.5


def test_a_confidence_on_the_border_belongs_to_the_group_below():
    found = figures.calibration(make([[0.5, 0.3, 0.2], [1, 0, 0]], [0, 0]))
    assert [group.name for group in found.groups if group.pairs] == ["0.4–0.5", "0.9–1.0"]


def test_wilson_against_published_figures():
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    for hits, pairs, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert figures.wilson(hits, pairs) == pytest.approx((low, high), abs=5e-5)
    assert figures.wilson(0, 0) == (0, 1)


def test_groups_of_length_have_round_borders_and_one_for_the_longest():
    tokens = [*range(8, 60), 900]
    found = figures.by_length(make([[1, 0, 0]] * 53, [0] * 53, tokens))
    assert [group.name for group in found] == ["0–9", "10–19", "20–29", "30–39", "40–49", "≥ 50"]
    assert [group.pairs for group in found] == [2, 10, 10, 10, 10, 11]


def test_short_lengths_are_named_one_by_one():
    found = figures.by_length(make([[1, 0, 0]] * 5, [0, 1, 0, 0, 0], [5, 6, 6, 8, 8]))
    assert [(group.name, group.pairs, group.accuracy) for group in found] == [
        ("5", 1, 1.0),
        ("6", 2, 0.5),
        ("7", 0, 0.0),
        ("≥ 8", 2, 1.0),
    ]


@pytest.mark.parametrize(
    "premise, hypothesis, share",
    [
        ("A man sleeps.", "a MAN sleeps", 1.0),
        ("A man sleeps.", "a man is awake", 0.5),
        ("A man sleeps.", "nobody", 0.0),
        ("A man sleeps.", "...", 0.0),
        ("Straße", "STRASSE", 1.0),
        ("man man", "man man man dog", 0.5),
    ],
)
def test_overlap(premise, hypothesis, share):
    assert figures.overlap(premise, hypothesis) == share


def test_a_whole_overlap_is_in_the_last_group():
    found = figures.by_overlap(
        make([[1, 0, 0]] * 3, [0, 0, 1], None, ["a b c d e"] * 3, ["a b c d e", "x", "a b c d x"])
    )
    assert [group.pairs for group in found] == [1, 0, 0, 0, 2]


def test_wrong_ones_come_by_confidence():
    found = make([[0.9, 0.1, 0], [0.5, 0.3, 0.2], [0.99, 0.01, 0], [0.9, 0, 0.1]], [1, 2, 0, 2])
    assert figures.confidently_wrong(found, 2) == [0, 3]
    assert figures.confidently_wrong(found, 9) == [0, 3, 1]


@given(
    st.lists(
        st.tuples(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(0, 2), st.integers(5, 1 << 20)),
        min_size=1,
        max_size=60,
    )
)
def test_every_pair_is_in_one_group(answers):
    weights = np.array([weights for weights, _, _ in answers])
    found = make(
        weights / weights.sum(axis=1, keepdims=True), [gold for _, gold, _ in answers], [n for _, _, n in answers]
    )
    for groups in (figures.calibration(found).groups, figures.by_length(found), figures.by_overlap(found)):
        assert sum(group.pairs for group in groups) == len(answers) and len(groups) <= 10
        assert sum(group.accuracy * group.pairs for group in groups) == pytest.approx(found.hits.sum())
        assert all(0 <= group.low <= group.accuracy + 1e-9 and group.accuracy <= group.high + 1e-9 for group in groups)
    assert 0 <= figures.calibration(found).error <= 1
