"""A run's folder never swallows what is not its own."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.errors import PluginError, UsageError
from gluonnlp_snli_plugin.train.output import OutputFolder, versions
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig


def _leave_a_run(path):
    with OutputFolder(path, overwrite=False) as output:
        output.write_metrics("train", 1, 1, loss=1.0)
        output.write_config(FinetuneConfig.of(output_dir=str(path)), versions=versions())


def test_metrics_are_one_object_a_line(tmp_path):
    with OutputFolder(tmp_path / "a" / "b", overwrite=False) as output:
        output.write_metrics("train", epoch=1, update=3, loss=1.5)
        output.write_metrics("dev", epoch=1, update=4, accuracy=0.5)
        lines = (tmp_path / "a" / "b" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "train", "epoch": 1, "update": 3, "loss": 1.5},
        {"kind": "dev", "epoch": 1, "update": 4, "accuracy": 0.5},
    ]


def test_another_run_is_kept_unless_it_may_be_overwritten(tmp_path):
    _leave_a_run(tmp_path)
    with pytest.raises(UsageError, match="holds another run.*--overwrite"):
        OutputFolder(tmp_path, overwrite=False)
    OutputFolder(tmp_path, overwrite=True)  # not entered: nothing is lost yet
    assert (tmp_path / "metrics.jsonl").read_text()
    with OutputFolder(tmp_path, overwrite=True):
        assert not (tmp_path / "metrics.jsonl").read_text() and not (tmp_path / "config.json").exists()


def test_overwriting_spares_files_of_other_people(tmp_path):
    _leave_a_run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with OutputFolder(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name, content", [("thesis.tex", "..."), ("config.json", '{"model_type": "bert"}')])
def test_a_folder_of_something_else_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    (tmp_path / "model").mkdir()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=f"{name}, which is not part of a run"):
            OutputFolder(tmp_path, overwrite)
    assert (tmp_path / name).read_text() == content


def test_a_run_that_is_not_entered_leaves_no_folder(tmp_path):
    OutputFolder(tmp_path / "out", overwrite=False)
    assert not (tmp_path / "out").exists()


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    output = OutputFolder(tmp_path / "file" / "out", overwrite=False)
    with pytest.raises(PluginError, match="cannot write to .*file") as refused:
        output.__enter__()
    assert "\n" not in str(refused.value)


def test_a_folder_whose_run_was_killed_before_it_recorded_anything_is_taken(tmp_path):
    with OutputFolder(tmp_path, overwrite=False):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "metrics.jsonl"]
    (tmp_path / ".gluonnlp-snli-abcd0123").write_text("half a config.json")
    with OutputFolder(tmp_path, overwrite=False):
        assert not (tmp_path / ".gluonnlp-snli-abcd0123").exists()


@pytest.mark.parametrize("left", [["model", "checkpoints"], ["model"], ["report.html"]])
def test_what_is_left_of_a_run_that_was_being_replaced_is_no_run(tmp_path, left):
    for name in left:
        (tmp_path / name).mkdir()
    (tmp_path / ".lock").write_text("gluonnlp-snli 1 runs\ngluonnlp-snli 2 replaces\n")
    with OutputFolder(tmp_path, overwrite=False):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "metrics.jsonl"]


def test_a_run_whose_settings_are_lost_is_not_replaced_unless_told_to(tmp_path):
    _leave_a_run(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "config.json").unlink()
    with pytest.raises(UsageError, match="holds another run"):
        OutputFolder(tmp_path, overwrite=False)
    with OutputFolder(tmp_path, overwrite=True):
        assert not (tmp_path / "model").exists()


def test_a_lock_of_another_program_does_not_make_a_run(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match="holds model, which is not part of a run"):
        OutputFolder(tmp_path, overwrite=True)


def test_a_run_that_comes_and_goes_while_another_prepares_is_not_lost(tmp_path):
    slow = OutputFolder(tmp_path, overwrite=False)
    _leave_a_run(tmp_path)
    with pytest.raises(UsageError, match="holds another run"):
        slow.__enter__()
    assert (tmp_path / "metrics.jsonl").read_text()


def test_a_run_that_is_being_replaced_while_another_looks_is_no_run(tmp_path, monkeypatch):
    with OutputFolder(tmp_path, overwrite=False) as output:
        output.write_metrics("train", 1, 1, loss=1.0)
    found = list(tmp_path.iterdir())
    (tmp_path / "metrics.jsonl").unlink()
    monkeypatch.setattr(Path, "iterdir", lambda _: found)  # as they were just before
    OutputFolder(tmp_path, overwrite=False)


@pytest.mark.parametrize("writes_more", [True, False])
@pytest.mark.parametrize("what", ["folder", "folder, made again", "metrics.jsonl"])
def test_what_is_removed_under_a_run_is_missed(tmp_path, what, writes_more):
    folder = tmp_path / "out"
    missed = pytest.raises(PluginError, match=f"^{folder}.* was removed or replaced while the run was writing to it$")
    with missed, OutputFolder(folder, overwrite=False) as output:
        output.write_metrics("train", 1, 1, loss=1.0)
        if what == "metrics.jsonl":
            (folder / what).unlink()
        else:
            shutil.rmtree(folder)
        if "again" in what:
            folder.mkdir()
        if writes_more:
            output.write_summary({})
    assert not (folder / "summary.json").exists()


def test_a_model_that_is_removed_under_a_run_is_missed(tmp_path, tiny_run):
    shutil.copytree(str(tiny_run), str(tmp_path / "out"))
    with pytest.raises(PluginError, match="model was removed while the run"), OutputFolder(
        tmp_path / "out", overwrite=False, resumes=True
    ) as output:
        output.require_model()
        shutil.rmtree(tmp_path / "out" / "model")
        output.write_summary({})


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))

    output = OutputFolder(tmp_path / "out", overwrite=False)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PluginError, match=f"^cannot write to {tmp_path / 'out'}: Permission denied$"):
        output.__enter__()
