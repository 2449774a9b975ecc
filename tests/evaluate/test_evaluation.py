"""Models that are asked about labelled pairs, alone and together."""

import json

import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.evaluate.evaluation import evaluate, predict_files, save_answers
from gluonnlp_snli_plugin.evaluate.predictions import read_predictions
from gluonnlp_snli_plugin.evaluate.predictor import Predictor
from gluonnlp_snli_plugin.tasks.snli import LABELS
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

UNCASED = TokenizerSettings.gluonnlp(lower=True)


@pytest.fixture
def make_predictor(tiny_name):
    """Makes a predictor with a random head, of its own seed."""
    import gluonnlp as nlp
    import mxnet as mx

    from gluonnlp_snli_plugin.formats.model_folder import Model
    from gluonnlp_snli_plugin.formats.model_settings import ModelSettings

    def make(seed=0, max_len=32, labels=LABELS):
        mx.random.seed(seed)
        net, vocab = nlp.model.get_model(
            "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, num_classes=len(labels)
        )
        net.classifier.initialize(mx.init.Normal(2), force_reinit=True)
        settings = ModelSettings("bert_2_16_2", {}, "mlp", 256, 0.1, UNCASED, max_len, "ratio", labels)
        return Predictor(Model(net, vocab, settings), native=False)

    return make


def test_a_model_may_have_its_labels_in_another_order(make_predictor, pairs_file):
    predictor = make_predictor()
    expected = evaluate(predictor, pairs_file).confusion
    predictor.labels = LABELS[::-1]
    np.testing.assert_array_equal(evaluate(predictor, pairs_file).confusion, expected[:, ::-1])


def test_several_models_answer_with_the_mean_of_their_probabilities(make_predictor, pairs_file):
    one, two = make_predictor(1), make_predictor(2, labels=LABELS[::-1])
    (alone,), (other,), (together,) = (predict_files(models, [pairs_file]) for models in ([one], [two], [one, two]))
    mean = (alone.predictions.probabilities + other.predictions.probabilities) / 2
    np.testing.assert_allclose(together.predictions.probabilities, mean, atol=1e-12)
    np.testing.assert_array_equal(together.predictions.predicted, mean.argmax(axis=1))
    assert not np.array_equal(alone.predictions.predicted, other.predictions.predicted)
    assert [member.accuracy for member in together.members] == [alone.evaluation.accuracy, other.evaluation.accuracy]
    assert evaluate([one, two], pairs_file).accuracy == together.evaluation.accuracy


def test_a_model_of_two_classes_is_scored_on_a_file_of_three(make_predictor, pairs_file, caplog):
    predictor = make_predictor(labels=("not_entailment", "entailment"))
    (answers,) = predict_files([predictor], [pairs_file])
    told = f"the model has two classes: labels of {pairs_file} that are not entailment count as not_entailment"
    assert caplog.messages == [told] and answers.predictions.about["remark"] == told
    assert answers.evaluation.labels == predictor.labels
    assert answers.evaluation.confusion.sum(axis=1).tolist() == [80, 40]
    texts = [(row["sentence1"], row["sentence2"]) for row in map(json.loads, pairs_file.read_text().splitlines())]
    assert [answer.label for answer in predictor(texts)] == [predictor.labels[i] for i in answers.predictions.predicted]


def test_a_pair_is_truncated_if_any_model_cuts_it(make_predictor, pairs_file):
    (long,), (both,) = (
        predict_files([make_predictor()], [pairs_file]),
        predict_files([make_predictor(), make_predictor(1, 12)], [pairs_file]),
    )
    assert long.evaluation.num_truncated == 0 < both.evaluation.num_truncated
    assert both.evaluation.num_truncated == (both.predictions.pairs.tokens > 12).sum()


def test_every_file_is_read_before_any_pair_is_scored(make_predictor, pairs_file, tmp_path):
    predictor = make_predictor()
    predictor.logits = lambda encoded: pytest.fail("scored")
    with pytest.raises(DataError, match="missing"):
        predict_files([predictor], [pairs_file, tmp_path / "missing"])


def test_without_a_model_there_is_an_error():
    with pytest.raises(UsageError, match="no model is given"):
        evaluate([], "pairs.jsonl")


def test_answers_are_kept_under_the_name_of_their_file(make_predictor, pairs_file, tmp_path):
    others = tmp_path / "pairs.jsonl"
    others.write_text("".join(pairs_file.read_text().splitlines(True)[:60]))
    first, second = predict_files([make_predictor()], [pairs_file, others])
    for answers in (first, second, first, second):
        save_answers(tmp_path, answers)
    save_answers(tmp_path, first, "int8")
    names = sorted(path.stem for path in (tmp_path / "predictions").glob("*.jsonl"))
    assert len(names) == 3 and names[0] == "pairs"
    kept = [read_predictions(tmp_path, name) for name in names]
    assert [len(predictions) for predictions in kept] == [120, 60, 120]
    assert [predictions.about["dtype"] for predictions in kept] == ["float32", "float32", "int8"]
    gold = [json.loads(line)["gold_label"] for line in pairs_file.read_text().splitlines()]
    assert [LABELS[i] for i in kept[0].pairs.gold] == gold
