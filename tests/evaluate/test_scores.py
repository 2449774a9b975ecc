"""Scores against a count by hand."""

import json

import numpy as np
import pytest

from gluonnlp_snli_plugin.evaluate.scores import Evaluation
from gluonnlp_snli_plugin.tasks.snli import LABELS

GOLD = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 2, 2]


@pytest.fixture
def evaluation():
    return Evaluation.of(GOLD, PREDICTED, LABELS)


def test_confusion_has_gold_in_rows(evaluation):
    assert evaluation.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert evaluation.num_pairs == 6 and evaluation.accuracy == pytest.approx(4 / 6)


def test_precision_recall_and_f1(evaluation):
    contradiction = evaluation.per_class["contradiction"]
    assert (contradiction["precision"], contradiction["recall"], contradiction["pairs"]) == (0.5, 0.5, 2)
    entailment = evaluation.per_class["entailment"]
    assert entailment["precision"] == 1 and entailment["recall"] == pytest.approx(2 / 3)
    assert entailment["f1"] == pytest.approx(0.8)


def test_a_class_nobody_predicts_scores_zero():
    per_class = Evaluation.of([0, 1], [0, 0], LABELS).per_class
    assert per_class["neutral"] == {"precision": 0, "recall": 0, "f1": 0, "pairs": 0}
    assert per_class["contradiction"]["f1"] == 0


def test_the_table_and_the_json_show_the_same(evaluation):
    table = str(evaluation)
    assert "accuracy 0.6667 (6 pairs)" in table
    assert [line for line in table.splitlines() if line.startswith("entailment")][1].split()[1:] == ["2", "1", "0"]
    figures = json.loads(json.dumps(evaluation.to_dict()))
    assert figures["confusion"] == np.asarray(evaluation.confusion).tolist()


def test_macro_f1_is_the_mean_of_the_classes(evaluation):
    f1 = [figures["f1"] for figures in evaluation.per_class.values()]
    assert evaluation.macro_f1 == pytest.approx(sum(f1) / 3)


def test_scores_add_up(evaluation):
    more = Evaluation.of([2, 2], [2, 0], LABELS, num_unlabelled=1, num_bad=2, num_truncated=3)
    both = Evaluation.of(GOLD + [2, 2], PREDICTED + [2, 0], LABELS, num_unlabelled=1, num_bad=2, num_truncated=3)
    assert (evaluation + more).to_dict() == both.to_dict()
    assert both.notes == "1 row without gold label left out, 2 bad rows left out, 3 pairs truncated"


def test_scores_by_column_add_up_value_by_value():
    one = Evaluation.of([0, 1], [0, 0], LABELS, by={"genre": {"a": Evaluation.of([0, 1], [0, 0], LABELS)}})
    two = Evaluation.of(
        *([2, 1], [2, 1], LABELS),
        by={"genre": {"a": Evaluation.of([2], [2], LABELS), "b": Evaluation.of([1], [1], LABELS)}},
    )
    both = one + two
    assert {value: group.num_pairs for value, group in both.by["genre"].items()} == {"a": 3, "b": 1}
    heading, a, b = both.table_by("genre")
    assert heading.split()[:4] == ["genre", "pairs", "accuracy", "macro"]
    assert a.split() == ["a", "3", "0.6667", "0.5556", "1.0000", "0.0000", "1.0000"]
    assert b.split()[-4:] == ["–", "–", "1.0000", "–"] and str(both).endswith("\n".join(["", heading, a, b]))
    assert both.to_dict()["by"]["genre"]["b"]["accuracy_by_gold"] == {
        "entailment": None,
        "contradiction": 1.0,
        "neutral": None,
    }
