"""Answers come in order, whatever the batches."""

import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.tasks.snli import SNLI


@pytest.fixture(scope="module")
def pairs(pairs_file):
    dataset = SNLI(file=pairs_file)
    return list(zip(dataset.premises, dataset.hypotheses))


def test_probabilities_add_up_and_the_label_is_the_likeliest(tiny_run, pairs):
    for label, probabilities in Predictor.load(tiny_run)(pairs):
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert label == max(probabilities, key=probabilities.get)
        assert list(probabilities) == ["entailment", "contradiction", "neutral"]


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_order_and_values_do_not_depend_on_the_batches(tiny_run, pairs, batch_size):
    one_by_one = [Predictor.load(tiny_run)([pair])[0] for pair in pairs[:20]]
    together = Predictor.load(tiny_run, batch_size=batch_size)(pairs)[:20]
    for alone, batched in zip(one_by_one, together):
        np.testing.assert_allclose(list(alone.probabilities.values()), list(batched.probabilities.values()), atol=1e-5)


def test_no_pairs_no_answers(tiny_run):
    assert Predictor.load(tiny_run)([]) == []


def test_a_stream_answers_before_it_is_at_its_end(tiny_run, pairs):
    def endless():
        while True:
            yield pairs[0]

    answers = Predictor.load(tiny_run).stream(endless())
    assert next(answers).label == next(answers).label


def test_a_stream_that_waits_is_answered_at_once(tiny_run, pairs):
    given = []

    def ask():
        for pair in pairs[:3]:
            given.append(pair)
            yield pair

    for i, _ in enumerate(Predictor.load(tiny_run).stream(ask(), waits=lambda: True)):
        assert len(given) == i + 1


def test_strange_text_gets_an_answer(tiny_run):
    strange = ["\x00", " ", "", "\u202e", "x" * 10_000, "a " * 10_000, "!?", "\ud800", "é\u0301", "日本語"]
    answers = Predictor.load(tiny_run)([(text, other) for text in strange for other in strange])
    assert len(answers) == 100 and all(np.isfinite(list(answer.probabilities.values())).all() for answer in answers)


def test_a_predictor_that_reads_its_model_keeps_no_memory_for_gradients(tiny_run):
    parameters = Predictor.load(tiny_run)._model.net.collect_params().values()
    assert all(parameter._grad is None for parameter in parameters)
