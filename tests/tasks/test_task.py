"""The SNLI task, as GluonNLP's fine-tuning scripts use it."""

import json

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from gluonnlp.data.classification import GlueTask

from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI, SNLITask


@pytest.fixture
def files(tmp_path):
    """A file for each segment, with one pair that names the segment."""
    paths = {}
    for segment, label in zip(("train", "dev", "test"), LABELS):
        paths[segment] = tmp_path / f"{segment}.jsonl"
        row = {"sentence1": f"A {segment} premise.", "sentence2": "A hypothesis.", "gold_label": label}
        paths[segment].write_text(json.dumps(row))
    return paths


@pytest.mark.parametrize("name", ["SNLI", "snli", "Snli"])
@pytest.mark.parametrize("get_task", ["data.get_task", "data.classification.get_task"])
def test_gluonnlp_finds_the_task_by_name(name, get_task):
    module = nlp.data if get_task == "data.get_task" else nlp.data.classification
    task = module.get_task(name)
    assert isinstance(task, SNLITask) and isinstance(task, GlueTask)


def test_gluonnlps_own_tasks_are_still_found():
    assert type(nlp.data.get_task("MRPC")).__name__ == "MRPCTask"
    assert type(nlp.data.get_task("mnli")).__name__ == "MNLITask"


def test_an_unknown_task_is_an_error_that_lists_snli_and_gluonnlps_own():
    with pytest.raises(ValueError) as info:
        nlp.data.get_task("SNLJ")
    names = str(info.value).lower().split()
    assert "snli" in names and "mnli" in names


def test_each_look_up_gives_a_task_of_its_own():
    assert nlp.data.get_task("SNLI") is not nlp.data.get_task("SNLI")
    assert nlp.data.get_task("SNLI").metrics is not nlp.data.get_task("SNLI").metrics


def test_the_labels_are_in_their_order_everywhere():
    task = nlp.data.get_task("SNLI")
    assert task.class_labels == ["entailment", "contradiction", "neutral"] == list(LABELS)
    assert task.is_pair
    assert task.label_alias["contradictory"] == "contradiction" and set(task.label_alias.values()) == set(LABELS)


def test_the_metric_is_accuracy():
    metric = nlp.data.get_task("SNLI").metrics
    scores = mx.nd.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]])
    metric.update([mx.nd.array([0, 2, 1, 2])], [scores])
    assert metric.get() == ("accuracy", 0.75)


def test_every_segment_is_a_name_and_a_dataset(files):
    task = SNLITask(files=files)
    for segment, get in (("train", task.dataset_train), ("dev", task.dataset_dev)):
        name, dataset = get()
        assert name == segment
        assert isinstance(dataset, SNLI)
        assert dataset[0][0] == f"A {segment} premise."


def test_the_rows_of_the_test_segment_have_no_label(files):
    name, dataset = SNLITask(files=files).dataset_test()
    assert name == "test"
    assert list(dataset) == [["A test premise.", "A hypothesis."]]


def test_the_test_segment_keeps_its_labels_for_those_who_ask(files):
    assert SNLITask(files=files).get_dataset("test")[0][2] == LABELS[2]


def test_segments_without_a_file_of_their_own_come_from_the_folder(files, tmp_path):
    (tmp_path / "snli_1.0_dev.jsonl").write_bytes(files["train"].read_bytes())
    task = SNLITask(root=tmp_path, files={"train": files["test"]})
    assert task.dataset_dev()[1][0][0] == "A train premise."
    assert task.dataset_train()[1][0][0] == "A test premise."


def test_the_official_rows_come_through_the_task(shared_data):
    task = SNLITask(root=shared_data / "snli_format")
    assert len(task.dataset_dev()[1]) == 10
    assert all(len(row) == 2 for row in task.dataset_test()[1])


def test_gluonnlps_own_transform_takes_the_rows(files):
    """The lines of GluonNLP's fine-tuning script that turn a task's rows into batches."""
    task = SNLITask(files=files)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), "."]
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens(tokens))
    transform = nlp.data.BERTSentenceTransform(nlp.data.BERTTokenizer(vocab), 32, vocab, pad=False, pair=True)
    label_of = {label: i for i, label in enumerate(task.class_labels)}
    _, dataset = task.dataset_train()
    rows = list(dataset.transform(lambda row: (*transform(row[:2]), label_of[row[2]])))
    assert len(rows) == 1
    assert rows[0][3] == 0 and np.all(rows[0][0] >= 0)
