"""A run's folder never swallows what is not its own."""

import json

import pytest

from gluonnlp_snli_plugin.errors import PluginError, UsageError
from gluonnlp_snli_plugin.train.finetune_config import FinetuneConfig
from gluonnlp_snli_plugin.train.output import OutputFolder, versions


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
        with pytest.raises(UsageError, match=f"{name}, which is no run's"):
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
