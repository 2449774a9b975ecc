"""A run that was interrupted, wherever that was, ends as one that was not."""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import finetune
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import CheckpointError, PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.train.output import OutputFolder

pytestmark = pytest.mark.usefixtures("log")

AT_ONCE = 1e-9  # seconds: a run with this limit makes one update


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "gluonnlp_snli_plugin")


@pytest.fixture
def settings(tiny_name, pairs_file):
    """Of a run of 12 updates, in which everything happens that can be lost."""
    return {
        "dataset_name": tiny_name,
        "train_file": str(pairs_file),
        "dev_file": str(pairs_file),
        "max_len": 32,
        "epochs": 2,
        "batch_size": 20,
        "lr": 3e-3,
        "dropout": 0.2,
        "log_steps": 4,
        "eval_steps": 5,
    }


@pytest.fixture
def whole(settings, tmp_path):
    """Runs from the beginning to the end; returns the folder."""

    def run(**more):
        finetune(**{**settings, **more}, output_dir=str(tmp_path / "whole"))
        return tmp_path / "whole"

    return run


@pytest.fixture
def broken(settings, tmp_path):
    """Runs until the first update is done; returns the folder."""

    def run(**more):
        with pytest.raises(Stopped) as stopped:
            finetune(**{**settings, "max_seconds": AT_ONCE, **more}, output_dir=str(tmp_path / "broken"))
        assert stopped.value.status == 75 and "time limit reached after update 1; resume with" in str(stopped.value)
        return tmp_path / "broken"

    return run


def content(folder):
    """All that a run leaves but the time it took: metrics, the best model, its answers, the newest checkpoint."""
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in metrics:
        line.pop("pairs_per_second", None)
    newest = max((folder / "checkpoints").iterdir())
    (weights,) = (folder / "model").glob("*.params")
    summary = json.loads((folder / "summary.json").read_text())
    timeless = {name: summary[name] for name in ("dev_accuracy", "best_epoch", "best_update", "updates")}
    predictions = {path.name: path.read_bytes() for path in (folder / "predictions").iterdir()}
    assert set(predictions) == {"dev.jsonl", "dev.json"} and (folder / "report.html").exists()
    arrays = load_file(str(newest / "arrays.safetensors"))
    return metrics, weights.read_bytes(), predictions, newest.name, arrays, timeless


def assert_same(folder, other):
    (*rest, arrays, summary), (*other_rest, other_arrays, other_summary) = content(folder), content(other)
    assert rest == other_rest and summary == other_summary
    assert set(arrays) == set(other_arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"no_native": True},
        {"optimizer": "adam", "weight_decay": 0.0},
        {"optimizer": "adam", "no_native": True},
        {"accumulate": 4, "clip": 0.0},
        {"head": "pooled"},
        {"early_stop": 1, "lr": 1e-8},
        {"devices": "cpu:0,cpu:1"},
    ],
    ids=lambda more: ",".join(map("=".join, ((name, str(value)) for name, value in more.items()))) or "defaults",
)
def test_a_run_that_stops_after_every_update_ends_as_one_that_never_did(whole, broken, more, native_operators):
    expected, folder = whole(**more), broken(**more)
    for _ in range(20):
        try:
            summary = finetune(resume=str(folder))
        except Stopped:
            continue
        break
    assert summary == json.loads((folder / "summary.json").read_text())
    assert_same(folder, expected)


def _record_setting(folder, name, value=None):
    """As if an earlier version had begun the run with a setting that it had; None for one that it did not have."""
    newest = max((folder / "checkpoints").iterdir())
    for path in (folder / "config.json", newest / "state.json"):
        content = json.loads(path.read_text())
        settings = content.get("run", content)["settings"]
        settings[name] = value
        if value is None:
            del settings[name]
        path.write_text(json.dumps(content))
    manifest = json.loads((newest / "manifest.json").read_text())
    manifest["files"]["state.json"] = hashlib.sha256((newest / "state.json").read_bytes()).hexdigest()
    (newest / "manifest.json").write_text(json.dumps(manifest))


def test_a_run_that_an_earlier_version_began_is_resumed(whole, broken):
    folder = broken()
    _record_setting(folder, "lazy_embeddings", False)  # which no longer exists
    _record_setting(folder, "task")  # which did not exist yet
    finetune(resume=str(folder), max_seconds=0)
    assert_same(folder, whole())


def test_a_run_that_used_what_no_longer_exists_is_refused(broken):
    folder = broken()
    _record_setting(folder, "lazy_embeddings", True)
    with pytest.raises(UsageError, match="begun with --lazy-embeddings, which no longer exists"):
        finetune(resume=str(folder))


def test_a_resumed_run_that_is_not_stopped_again_goes_on_to_the_end(whole, broken):
    folder = broken(checkpoint_steps=0)
    finetune(resume=str(folder), max_seconds=0)
    assert_same(folder, whole())


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


@pytest.fixture
def twice_broken(broken):
    """A run with checkpoints after updates 1 and 2."""
    folder = broken()
    with pytest.raises(Stopped):
        finetune(resume=str(folder))
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == ["000000001", "000000002"]
    return folder


@pytest.mark.parametrize("how", ["missing", "cut short", "empty", "one bit"])
@pytest.mark.parametrize("name", ["arrays.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(twice_broken, name, how, caplog):
    damage(twice_broken / "checkpoints" / "000000002" / name, how)
    with pytest.raises(Stopped, match="after update 2;"):
        finetune(resume=str(twice_broken))
    assert "000000002" in caplog.text and "the checkpoint before it is used" in caplog.text
    assert "resumed after update 1" in caplog.text


def test_without_a_sound_checkpoint_the_run_begins_anew(twice_broken, whole, caplog):
    for path in (twice_broken / "checkpoints").iterdir():
        damage(path / "state.json", "one bit")
    finetune(resume=str(twice_broken), max_seconds=0)
    assert "no checkpoint yet: starting from the beginning" in caplog.text
    assert_same(twice_broken, whole())


def test_a_time_limit_that_still_applies_is_named(broken, caplog):
    folder = broken()
    with pytest.raises(Stopped):
        finetune(resume=str(folder))
    assert "resumed after update 1, for 1e-09 seconds at most (--max-seconds)" in caplog.text
    caplog.clear()
    finetune(resume=str(folder), max_seconds=0)
    assert "resumed after update 2" in caplog.text and "--max-seconds" not in caplog.text


def test_what_was_being_written_when_a_run_died_is_no_checkpoint(twice_broken):
    unfinished = twice_broken / "checkpoints" / "000000003.new"
    shutil.copytree(str(twice_broken / "checkpoints" / "000000002"), str(unfinished))
    with pytest.raises(Stopped, match="after update 3;"):
        finetune(resume=str(twice_broken))
    assert not unfinished.exists()


def test_only_the_newest_checkpoints_stay(settings, tmp_path):
    finetune(**settings, checkpoint_steps=1, keep=3, output_dir=str(tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out" / "checkpoints").iterdir())
    assert names == ["000000010", "000000011", "000000012"]


def test_other_pairs_are_refused_unless_told_otherwise(broken, pairs_file, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    shutil.copyfile(str(pairs_file), str(pairs))
    folder = broken(train_file=str(pairs))
    pairs.write_text(pairs.read_text() + pairs.read_text().splitlines()[0] + "\n")
    with pytest.raises(PluginError) as info:
        finetune(resume=str(folder))
    changed = f"the content of the train data ({pairs}) has changed"
    assert str(info.value) == f"changed since the run began: {changed} (--resume-anyway resumes regardless)"
    with pytest.raises(Stopped, match="after update 2;"):
        finetune(resume=str(folder), resume_anyway=True)


@pytest.mark.parametrize(
    "path, complaint",
    [
        (("versions", "mxnet"), "mxnet was other, is "),
        (("devices",), "devices was other, is cpu:0"),
        (("threads",), "threads was other, is "),
        (("operators",), "operators was other, is "),
        (("weights",), "weights was other, is "),
        (("data", "dev", "sha256"), "the content of the dev data .* has changed"),
    ],
)
def test_whatever_else_has_changed_is_named(broken, path, complaint):
    folder = broken()
    record = json.loads((folder / "config.json").read_text())
    place = record
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "other"
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(PluginError, match=complaint):
        finetune(resume=str(folder))


def test_a_complete_run_says_that_it_reads_no_other_file(whole, pairs_file, tmp_path, caplog):
    folder, other = whole(), tmp_path / "other.jsonl"
    finetune(resume=str(folder), dev_file=str(pairs_file))
    assert "is complete" not in caplog.text
    shutil.copy(str(pairs_file), str(other))
    before = (folder / "config.json").read_bytes()
    finetune(resume=str(folder), dev_file=str(other))
    told = f"the run in {folder} is complete: --dev-file is not read; to score a file: gluonnlp-snli evaluate {folder} "
    assert told in caplog.text and (folder / "config.json").read_bytes() == before


def test_a_run_that_began_without_a_model_takes_none(broken, tiny_run):
    with pytest.raises(UsageError, match="^the run was begun without --init-from: omit it$"):
        finetune(resume=str(broken()), init_from=str(tiny_run))


def test_a_run_goes_on_with_files_that_have_moved_and_knows_where_they_are(broken, whole, pairs_file, tmp_path):
    old, new, other = (tmp_path / name for name in ("old.jsonl", "new.jsonl", "other.jsonl"))
    shutil.copyfile(str(pairs_file), str(old))
    folder = broken(train_file=str(old), dev_file=str(old))
    old.rename(new)
    with pytest.raises(UsageError, match="old.jsonl is missing; if it has moved, give the new path: --train-file PATH"):
        finetune(resume=str(folder))
    other.write_text(new.read_text() + new.read_text().splitlines()[0])
    with pytest.raises(PluginError, match=r"the content of the train data \(.*other.jsonl\) has changed"):
        finetune(resume=str(folder), train_file=str(other), dev_file=str(new))
    with pytest.raises(Stopped):
        finetune(resume=str(folder), train_file=str(new), dev_file=new)
    settings = json.loads((folder / "config.json").read_text())["settings"]
    assert settings["train_file"] == [str(new)] and settings["dev_file"] == [str(new)]
    assert settings["max_seconds"] == AT_ONCE
    finetune(resume=str(folder), max_seconds=0)
    moved = [json.loads((path / "predictions" / "dev.json").read_text()) for path in (folder, whole())]
    assert moved[0].pop("source") == str(new) != moved[1].pop("source")
    (folder / "predictions" / "dev.json").write_text((tmp_path / "whole" / "predictions" / "dev.json").read_text())
    assert_same(folder, tmp_path / "whole")


def test_a_run_can_be_resumed_from_another_folder(settings, tmp_path, monkeypatch, whole):
    monkeypatch.chdir(Path(settings["train_file"]).parent)
    name = os.path.basename(settings["train_file"])
    with pytest.raises(Stopped):
        finetune(**{**settings, "train_file": name}, output_dir=str(tmp_path / "out"), max_seconds=AT_ONCE)
    monkeypatch.chdir("/")
    finetune(resume=str(tmp_path / "out"), max_seconds=0)
    assert_same(tmp_path / "out", whole())


def test_a_vocabulary_given_by_name_is_found_again(settings, tiny_name, tmp_path, monkeypatch):
    settings.update(dataset_name=None, vocab=tiny_name, backbone="bert_1_8_2")
    with pytest.raises(Stopped):
        finetune(**settings, output_dir=str(tmp_path / "out"), max_seconds=AT_ONCE)
    monkeypatch.chdir("/")
    assert finetune(resume=str(tmp_path / "out"), max_seconds=0)["updates"] == 12


def test_a_run_that_has_come_to_its_end_stays_as_it_is(whole):
    folder = whole()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert finetune(resume=str(folder)) == json.loads((folder / "summary.json").read_text())
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(UsageError, match="nowhere holds no run to resume"):
        finetune(resume=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"settings": {}}', '{"settings": {"lr": "high"}}', "\0\0"])
def test_a_damaged_record_of_a_run_is_named(broken, text):
    folder = broken()
    (folder / "config.json").write_text(text)
    with pytest.raises(UsageError, match="config.json is damaged, or another version's"):
        finetune(resume=str(folder))


def test_settings_are_those_of_the_run(broken):
    folder = broken()
    with pytest.raises(UsageError, match="omit --lr"):
        finetune(resume=str(folder), lr=1e-3)


def test_a_lost_model_is_told(broken, settings):
    folder = broken(eval_steps=1)
    for path in (folder / "model").glob("*.params"):
        path.unlink()
    with pytest.raises(CheckpointError, match="params is missing"):
        finetune(resume=str(folder))


def test_lost_metrics_are_told(broken):
    folder = broken(log_steps=1)
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(PluginError, match="metrics.jsonl was changed since the checkpoint was written"):
        finetune(resume=str(folder))


def test_a_folder_serves_one_run_at_a_time(broken, settings):
    folder = broken()
    with OutputFolder(folder, overwrite=False, resumes=True):
        for request in ({"resume": str(folder)}, {**settings, "output_dir": str(folder), "overwrite": True}):
            with pytest.raises(PluginError, match=f"broken is in use: process {os.getpid()} is writing to it"):
                finetune(**request)
    with pytest.raises(Stopped, match="after update 2;"):
        finetune(resume=str(folder))


def edit(folder, name, change):
    """Change a record of JSON as a user might."""
    path = folder / name
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_settings_that_were_edited_are_named(broken):
    folder = broken()
    edit(folder, "config.json", lambda record: record["settings"].update(epochs=6, lr=1e-4, keep=7))
    with pytest.raises(UsageError, match="checkpoint 1 was made: --epochs is 6, was 2; --lr is 0.0001, was 0.003 "):
        finetune(resume=str(folder))
    with pytest.raises(Stopped, match="after update 2;"):
        finetune(resume=str(folder), resume_anyway=True)


def test_a_run_cannot_be_made_shorter_than_it_is(settings, tmp_path):
    folder = tmp_path / "out"
    finetune(**settings, output_dir=str(folder))
    (folder / "summary.json").unlink()
    edit(folder, "config.json", lambda record: record["settings"].update(epochs=1))
    with pytest.raises(PluginError, match="checkpoint 12 is of a longer run: this one has 6 updates"):
        finetune(resume=str(folder), resume_anyway=True)


def test_a_run_that_has_come_to_its_end_is_compared_with_its_settings_too(whole):
    folder = whole()
    edit(folder, "config.json", lambda record: record["settings"].update(epochs=6))
    with pytest.raises(UsageError, match="--epochs is 6, was 2"):
        finetune(resume=str(folder))


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"ranks": 2, "comm": "dist_sync"}, "ranks is 2, was 1"),
        ({"ranks": 0}, "config.json is damaged: it says 0 ranks"),
        ({"ranks": 2}, "config.json is damaged: it says 2 ranks and comm 'None'"),
        ({"ranks": 2, "comm": "pigeons"}, "config.json is damaged: it says 2 ranks and comm 'pigeons'"),
    ],
)
def test_ranks_that_were_edited_are_named_before_any_is_started(broken, change, complaint, capsys):
    folder = broken()
    edit(folder, "config.json", lambda record: record.update(change))
    assert main(["finetune", "--resume", str(folder)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_run_that_was_killed_before_it_wrote_its_report_writes_it(whole):
    folder = whole()
    (folder / "report.html").unlink()
    assert finetune(resume=str(folder)) == json.loads((folder / "summary.json").read_text())
    assert (folder / "report.html").exists()
    for text in ("", "[]", "{}", '{"updates": 3}', '{"updates": "12"}', '{"updates": 12, "dev_accuracy": NaN}'):
        (folder / "summary.json").write_text(text)
        with pytest.raises(PluginError, match="summary.json is damaged, or another run's: remove it"):
            finetune(resume=str(folder))


def test_metrics_that_were_edited_are_told(broken):
    folder = broken(log_steps=1)
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"update": 1', '"update": 7'))
    with pytest.raises(PluginError, match="metrics.jsonl was changed since the checkpoint was written: restore it"):
        finetune(resume=str(folder))


def test_what_a_killed_process_left_in_the_folder_is_removed(broken):
    folder = broken(eval_steps=1)
    expected = {path.relative_to(folder) for path in folder.rglob("*")}
    shutil.copytree(str(folder / "checkpoints" / "000000001"), str(folder / "checkpoints" / "000000002.new"))
    for name in ("", "model", "predictions"):
        (folder / name / ".gluonnlp-snli-01234567").write_text("half a file")
    (folder / "model" / "weights-01234567.params").write_text("of a model that never was")
    with pytest.raises(Stopped, match="after update 2;"):
        finetune(resume=str(folder))
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    assert {path for path in found - expected if "checkpoints" not in path.parts and path.suffix != ".params"} == set()
    assert len(list((folder / "model").glob("*.params"))) == 1
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["000000001", "000000002"]
