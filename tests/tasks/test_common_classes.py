"""Answers and labels of different numbers of classes: what is counted as what."""

import numpy as np
import pytest

from gluonnlp_snli_plugin.data.reader.labels import Labels
from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.model.inference import probabilities
from gluonnlp_snli_plugin.tasks.common_classes import common_classes, schema_for_files
from gluonnlp_snli_plugin.tasks.task import PairTask, classes_of, find_task

SNLI, HANS, RTE, WNLI = (find_task(name).classes for name in ("SNLI", "HANS", "RTE", "WNLI"))
E, C, N = "entailment", "contradiction", "neutral"


def read(model, *spellings):
    """The labels of a file as a model's files are read, and the classes to compare in."""
    labels = Labels(schema_for_files(model), None)
    present = [labels.of(spelling, "label") for spelling in spellings]
    return present, common_classes(model.schema.labels, model, present, "F")


def counted(model, *spellings):
    """What a model's classes, and the labels of a file, are counted as."""
    present, common = read(model, *spellings)
    gold = common.gold(np.array([schema_for_files(model).labels.index(label) for label in present]))
    return [common.labels[i] for i in common.of_answers], [common.labels[i] for i in gold], common.remark


def test_a_file_of_the_models_own_classes_is_compared_in_these():
    assert counted(SNLI, "e", "neutral", "Contradicts") == ([E, C, N], [E, N, C], None)
    assert counted(HANS, "entailment", "non-entailment") == ([E, "non-entailment"], [E, "non-entailment"], None)


@pytest.mark.parametrize("other", ["not_entailment", "non-entailment", "Not-Entailment", "NON_ENTAILMENT"])
def test_a_model_of_three_classes_is_compared_in_two_where_the_file_has_two(other):
    two = "not_entailment"
    told = "F has two classes: answers that are not entailment count as not_entailment"
    assert counted(SNLI, "entails", other) == ([E, two, two], [E, two], told)
    assert counted(SNLI, other)[2] == told


def test_a_model_of_two_classes_is_compared_in_them_where_the_file_has_three():
    two = "not_entailment"
    told = "the model has two classes: labels of F that are not entailment count as not_entailment"
    assert counted(RTE, "n", "c", "e") == ([two, E], [two, two, E], told)
    assert counted(RTE, "contradiction") == ([two, E], [two], told)
    assert counted(WNLI, "neutral", "entailment")[:2] == (["0", "1"], ["0", "1"])
    scitail = find_task("SciTail").classes
    assert counted(scitail, "non-entailment", "entails")[:2] == ([E, N], [N, E])
    assert counted(scitail, "neutral", "entails") == ([E, N], [N, E], None)


def test_names_of_the_same_two_classes_need_no_remark():
    assert counted(RTE, "non-entailment", "entailment") == (["not_entailment", E], ["not_entailment", E], None)


@pytest.mark.parametrize("model", [SNLI, RTE, find_task("SciTail").classes, HANS])
def test_labels_of_two_classes_and_of_three_in_one_file_are_refused(model):
    other = "non-entailment" if model is HANS else "not_entailment"
    with pytest.raises(DataError, match=f"F has the labels neutral and {other}: .* --labels neutral={other}$"):
        read(model, "entailment", "neutral", "not_entailment")
    meaning = f"contradiction={other},neutral={other}"
    both = f"{meaning}|neutral={other},contradiction={other}"
    with pytest.raises(DataError, match=f"(contradiction, neutral|neutral, contradiction) and {other}: .* ({both})$"):
        read(model, "neutral", "not_entailment", "contradiction")
    labels = Labels(schema_for_files(model), meaning)  # as the message says
    present = [labels.of(spelling, "label") for spelling in ("neutral", "not_entailment", "contradiction")]
    assert set(present) == {other} and common_classes(model.schema.labels, model, present, "F")


def test_upper_and_lower_case_are_the_same_in_classes_that_are_refused_together():
    with pytest.raises(DataError, match="F has the labels Neutral and not_entailment"):
        read(classes_of(("Entailment", "Contradiction", "Neutral"), ""), "neutral", "not_entailment")


@pytest.mark.parametrize("labels", [("supports", "refutes", "not enough info"), (E, "paraphrase"), (E, C, N, "other")])
def test_classes_that_are_not_those_of_inference_stay_alone(labels):
    own = classes_of(labels, "")
    assert own.entailment is None and schema_for_files(own) == own.schema
    with pytest.raises(UsageError, match="T has the classes entailment, non-entailment, the model .* cannot be compar"):
        common_classes(labels, own, (), "T", HANS)


def test_the_classes_of_a_file_may_be_known_from_its_task():
    common = common_classes((C, E, N), SNLI, (), "T", HANS)
    assert common.labels == (E, "non-entailment") and common.of_answers == (1, 0, 1) and common.of_labels == (0, 1)
    assert common.remark == "T has two classes: answers that are not entailment count as non-entailment"
    assert common_classes((E, C, N), SNLI, (), "T", find_task("MNLI").classes).remark is None
    backwards = common_classes(("not_entailment", E), RTE, (), "T", find_task("MNLI").classes)
    assert backwards.labels == RTE.schema.labels and backwards.of_labels == (0, 1, 0)
    assert common_classes(("0", "1"), WNLI, (), "T", HANS).of_answers == (1, 0)
    assert common_classes(("0", "1"), WNLI, (), "T", HANS).remark is None


def test_the_probability_of_merged_classes_is_the_sum_of_theirs():
    logits = np.random.default_rng(0).normal(0, 3, (50, 3)).astype(np.float32)
    common = common_classes((C, E, N), SNLI, (), "T", HANS)
    three, two = probabilities(logits), probabilities(common.logits(logits))
    np.testing.assert_allclose(two, np.stack([three[:, 1], three[:, 0] + three[:, 2]], axis=1), atol=1e-6)
    assert common.logits(logits).dtype == np.float32


def test_logits_of_classes_that_are_the_same_are_only_put_in_order():
    logits = np.array([[1.5, -2, 0.25]], np.float32)
    assert common_classes((C, E, N), SNLI, (), "T", SNLI).logits(logits).tolist() == [[-2, 1.5, 0.25]]


def test_a_task_says_which_class_means_entailment():
    assert [find_task(name).classes.entailment for name in ("SNLI", "HANS", "SciTail", "QNLI", "WNLI", "MRPC")] == [
        *(E, E, E, E, "1"),
        None,
    ]
    with pytest.raises(UsageError, match="entailment is 'yes', which is not a class"):
        type("T", (PairTask,), {"name": "T", "class_labels": ("a", "b"), "entailment": "yes"})
