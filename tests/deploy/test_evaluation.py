"""Scores against a count by hand."""

import json

import numpy as np
import pytest

from gluonnlp_snli_plugin.data.snli import LABELS
from gluonnlp_snli_plugin.deploy.evaluation import Evaluation, evaluate
from gluonnlp_snli_plugin.deploy.predictor import Predictor

GOLD = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 2, 2]


@pytest.fixture
def evaluation():
    return Evaluation.of(GOLD, PREDICTED)


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
    per_class = Evaluation.of([0, 1], [0, 0]).per_class
    assert per_class["neutral"] == {"precision": 0, "recall": 0, "f1": 0, "pairs": 0}
    assert per_class["contradiction"]["f1"] == 0


def test_the_table_and_the_json_show_the_same(evaluation):
    table = str(evaluation)
    assert "accuracy 0.6667 (6 pairs)" in table
    assert [line for line in table.splitlines() if line.startswith("entailment")][1].split()[1:] == ["2", "1", "0"]
    figures = json.loads(json.dumps(evaluation.to_dict()))
    assert figures["confusion"] == np.asarray(evaluation.confusion).tolist()


def test_a_model_may_have_its_labels_in_another_order(tiny_name, pairs_file):
    import gluonnlp as nlp

    from gluonnlp_snli_plugin.model.folder import Model, ModelSettings

    net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    settings = ModelSettings("bert_2_16_2", {}, "mlp", 256, 0.1, True, 32, "ratio")
    predictor = Predictor(Model(net, vocab, settings), native=False)
    expected = evaluate(predictor, pairs_file).confusion
    predictor.labels = LABELS[::-1]
    np.testing.assert_array_equal(evaluate(predictor, pairs_file).confusion, expected[:, ::-1])
