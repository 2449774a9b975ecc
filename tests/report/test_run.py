"""What a folder records is read, and what is damaged is named."""

import json

import pytest

from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.report.run import read_run


def test_all_that_is_there_is_read(make_run):
    run = read_run(make_run(sets=["zoo", "test_b", "test", "dev_mismatched", "dev", "apple"]))
    assert (run.name, run.settings["seed"], run.summary["updates"]) == ("out", 0, 300)
    assert list(run.predictions) == ["dev", "dev_mismatched", "test", "test_b", "apple", "zoo"]
    assert len(run.predictions["zoo"]) == 300
    assert run.curve("dev", "loss")[0] == [100, 200, 300]
    assert run.curve("train", "lr") == ([50, 100, 150, 200, 250, 300], [1e-5] * 6)
    assert run.curve("dev", "lr") == ([], [])


def test_a_run_that_is_still_going_on_is_read_as_far_as_it_goes(make_run):
    folder = make_run(sets=[])
    (folder / "summary.json").unlink()
    with open(folder / "metrics.jsonl", "a") as metrics:
        metrics.write('{"kind": "train", "epo')
    run = read_run(folder)
    assert run.summary == {} and run.predictions == {} and len(run.metrics) == 9


def test_answers_of_a_model_that_was_replaced_are_left_out(make_run):
    folder = make_run(sets=["dev", "test"])
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps({"files": {"weights": {"sha256": "00"}}}))
    about = folder / "predictions" / "test.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "weights": "00"}))
    assert list(read_run(folder).predictions) == ["test"]


def test_answers_without_a_run_are_enough(make_run):
    folder = make_run()
    for name in ("config.json", "metrics.jsonl", "summary.json"):
        (folder / name).unlink()
    assert read_run(folder).settings == {} and len(read_run(folder).predictions) == 1


def test_a_folder_without_anything_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match=f"{folder} holds no run: give the output folder"):
            read_run(folder)


def test_a_run_of_pretraining_is_told_apart(make_run):
    folder = make_run()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "kind": "pretrain"}))
    with pytest.raises(UsageError, match="holds a run of another command"):
        read_run(folder)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl"])
@pytest.mark.parametrize(
    "text", ["[]\n", "{\n", "\0\n", '{"settings": [], "kind": "train"}\n', "[" * 100_000 + "\n", "\xff\n"]
)
def test_damage_is_named(make_run, name, text):
    folder = make_run()
    (folder / name).write_text(text, encoding="latin-1")
    if name == "summary.json" and text.startswith('{"'):
        return  # an object like any other
    with pytest.raises(DataError, match=f"{name} is damaged"):
        read_run(folder)


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "other", "epoch": 1, "update": 1},
        {"kind": "dev", "update": 1},
        {"kind": "dev", "epoch": 1, "update": 1.5},
        {"kind": "dev", "epoch": 1, "update": 1, "loss": "high"},
        {"kind": "dev", "epoch": 1, "update": 1, "loss": float("nan")},
        {"kind": "dev", "epoch": 1, "update": 1, "loss": [1]},
        {"kind": "dev", "epoch": 1, "update": 1, "loss": 10**400},
        {"kind": "dev", "epoch": 1, "update": 1, "loss": 1e308},
        {"kind": "dev", "epoch": 1, "update": 10**30},
        {"kind": "dev", "epoch": -1, "update": 1},
    ],
)
def test_metrics_that_are_none_are_named(make_run, line):
    folder = make_run()
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match="metrics.jsonl is damaged"):
        read_run(folder)
