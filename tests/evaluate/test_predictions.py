"""Answers survive the way to the disk and back, and damage is named."""

import dataclasses
import json

import numpy as np
import pytest

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.errors import DataError, PluginError
from gluonnlp_snli_plugin.evaluate.predictions import (
    Pairs,
    Predictions,
    read_predictions,
    read_record,
    write_lines,
    write_predictions,
)
from gluonnlp_snli_plugin.tasks.snli import LABELS

ODD = [
    'A man <b>sleeps</b> & "dreams".',
    "\u202eabc\u0007 \x1b[31m",
    "عربي",
    "\U0001f415 \u2028",
    "' OR 1=1 --",
    "x" * 9000,
]


@pytest.fixture
def predictions():
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, len(ODD))
    tokens = random.integers(5, 60, len(ODD))
    pairs = Pairs(ODD, ODD[::-1], gold, tokens, tokens > 32, LABELS)
    return Predictions.of(pairs, random.dirichlet([1, 1, 1], len(ODD)), source="f.jsonl", bad_rows_left_out=2)


def test_what_is_written_is_read(predictions, tmp_path):
    write_predictions(tmp_path, "dev", predictions)
    found = read_predictions(tmp_path, "dev")
    assert (found.pairs.premises, found.pairs.hypotheses) == (ODD, ODD[::-1])
    np.testing.assert_allclose(found.probabilities, predictions.probabilities, atol=5.1e-7)
    for name in ("gold", "tokens", "truncated"):
        np.testing.assert_array_equal(getattr(found.pairs, name), getattr(predictions.pairs, name))
    np.testing.assert_array_equal(found.predicted, predictions.predicted)
    assert found.about == predictions.about == read_record(tmp_path, "dev")
    assert found.evaluation.to_dict() == predictions.evaluation.to_dict()
    assert found.evaluation.num_bad == 2


def test_values_of_columns_are_read_again(predictions, tmp_path):
    fields = {"genre": ["a", "b"] * 3, "label": ODD}
    pairs = dataclasses.replace(predictions.pairs, fields=fields)
    write_predictions(tmp_path, "dev", dataclasses.replace(predictions, pairs=pairs))
    found = read_predictions(tmp_path, "dev")
    assert found.pairs.fields == fields
    assert found.evaluation.by["genre"]["a"].num_pairs == 3 and len(found.evaluation.by["label"]) == len(ODD)


def test_a_line_is_a_labelled_pair_and_an_answer(predictions, tmp_path):
    write_lines(tmp_path / "all.jsonl", predictions, predictions)
    rows = list(PairReader(tmp_path / "all.jsonl"))
    assert len(rows) == 2 * len(ODD) and rows[0] == (ODD[0], ODD[-1], LABELS[predictions.pairs.gold[0]])
    row = json.loads((tmp_path / "all.jsonl").read_bytes().split(b"\n")[0])
    assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
    assert set(row["probabilities"]) == set(LABELS) and row["tokens"] == predictions.pairs.tokens[0]


def test_without_a_record_there_are_no_answers(tmp_path):
    assert read_record(tmp_path, "dev") == {}


@pytest.mark.parametrize(
    "field, value",
    [
        ("sentence1", None),
        ("sentence2", 3),
        ("gold_label", "-"),
        ("label", ["neutral"]),
        ("probabilities", {"entailment": 1.0}),
        ("probabilities", [1, 0, 0]),
        ("probabilities", {"entailment": 1.5, "contradiction": 0, "neutral": 0}),
        ("probabilities", {"entailment": "x", "contradiction": 0, "neutral": 0}),
        ("tokens", -1),
        ("tokens", 1.5),
        ("truncated", "yes"),
        ("fields", None),
        ("fields", {}),
        ("fields", {"genre": 1}),
    ],
)
def test_a_damaged_line_is_named(predictions, tmp_path, field, value):
    pairs = dataclasses.replace(predictions.pairs, fields={"genre": ["a"] * len(ODD)})
    write_predictions(tmp_path, "dev", dataclasses.replace(predictions, pairs=pairs))
    path = tmp_path / "predictions" / "dev.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[1] = json.dumps({**json.loads(lines[1]), field: value})
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="dev.jsonl, line 2 is damaged"):
        read_predictions(tmp_path, "dev")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"bad_rows_left_out": "no"}', "\0", "[" * 100_000])
def test_a_damaged_record_is_named(predictions, tmp_path, text):
    write_predictions(tmp_path, "dev", predictions)
    (tmp_path / "predictions" / "dev.json").write_text(text)
    with pytest.raises(DataError, match="dev.json is damaged"):
        read_predictions(tmp_path, "dev")


@pytest.mark.parametrize("content, complaint", [(b"", "is empty"), (b"\xff\n", "line 1 is damaged")])
def test_damaged_files_are_named(predictions, tmp_path, content, complaint):
    write_predictions(tmp_path, "dev", predictions)
    (tmp_path / "predictions" / "dev.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=f"dev.jsonl.* {complaint}"):
        read_predictions(tmp_path, "dev")


def test_where_nothing_can_be_written_is_named(predictions, tmp_path):
    (tmp_path / "predictions").write_text("a file")
    with pytest.raises(PluginError, match="cannot write to .*predictions"):
        write_predictions(tmp_path, "dev", predictions)
    with pytest.raises(PluginError, match="cannot write to .*nowhere"):
        write_lines(tmp_path / "nowhere" / "x", predictions)
