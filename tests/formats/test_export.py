"""What all formats have in common: a whole folder or none, and one line for what cannot be."""

import json
import os
import shutil

import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, registry
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import CheckpointError, DataError, UsageError
from gluonnlp_snli_plugin.formats import export, format_names, mxnet_symbol
from gluonnlp_snli_plugin.formats.format import Format
from gluonnlp_snli_plugin.formats.importing import import_classifier
from gluonnlp_snli_plugin.formats.mxnet_symbol import MXNetSymbol
from gluonnlp_snli_plugin.formats.reading import load_finetuned


@pytest.fixture(scope="module")
def model(make_model):
    return make_model("pooled")


def refused(capsys, *arguments, status=2):
    """The one line with which the command refuses."""
    assert main(["export", *map(str, arguments)]) == status
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_the_command_says_how_near_it_is(capsys, model, pairs_file, tmp_path):
    to = tmp_path / "new" / "folder"
    assert main(["export", str(model), "--format", "symbol", "--to", str(to), "--file", str(pairs_file)]) == 0
    assert capsys.readouterr().out == f"checked       120 pairs: logits differ by at most 0\nsymbol        {to}\n"
    record = json.loads((to / "export.json").read_text())
    assert (record["format"], record["pairs"], record["largest_difference"]) == ("symbol", 120, 0)
    assert [path.name for path in to.parent.iterdir()] == ["folder"]


def test_the_default_pairs_are_those_of_the_sample(model, tmp_path):
    assert export(model, "symbol", tmp_path / "to").num_pairs == 600


def test_an_export_is_replaced_only_where_one_says_so(capsys, model, tmp_path):
    given = [model, "--format", "symbol", "--to", tmp_path / "to"]
    assert main(["export", *map(str, given)]) == 0
    (tmp_path / "to" / "old").touch()
    assert "exists already: give another folder, or --overwrite" in refused(capsys, *given)
    assert main(["export", *map(str, given), "--overwrite"]) == 0
    assert not (tmp_path / "to" / "old").exists() and len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_else_is_ever_replaced(capsys, model, tmp_path, overwrite):
    (tmp_path / "thesis.tex").touch()
    given = [model, "--format", "symbol", "--overwrite"][: 4 if overwrite else 3]
    assert "holds other files, and no export.json" in refused(capsys, *given, "--to", tmp_path)
    assert "exists and is not a folder" in refused(capsys, *given, "--to", tmp_path / "thesis.tex")
    assert "holds other files" in refused(capsys, *given, "--to", model)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_other_logits_leave_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(MXNetSymbol, "check", lambda self, job, folder: (job.logits + 1e-3, {}))
    with pytest.raises(CheckpointError, match="the logits differ by up to 0.001 on .*: nothing was written"):
        export(model, "symbol", tmp_path / "to")
    monkeypatch.setattr(MXNetSymbol, "check", lambda self, job, folder: (job.logits * float("nan"), {}))
    with pytest.raises(CheckpointError, match="differ by up to nan"):
        export(model, "symbol", tmp_path / "to")
    assert os.listdir(tmp_path) == []


def test_what_is_no_model_is_one_line(capsys, model, pairs_file, tmp_path):
    to = ["--to", tmp_path / "to"]
    assert "holds no model: give the output folder" in refused(
        capsys, tmp_path / "none", "--format", "symbol", *to, status=1
    )
    half = tmp_path / "half"
    shutil.copytree(str(model), str(half))
    next((half / "model").glob("weights-*")).unlink()
    assert "is missing" in refused(capsys, half, "--format", "symbol", *to, status=1)
    assert "no.jsonl: No such file" in refused(capsys, model, "--format", "symbol", *to, "--file", "no.jsonl", status=1)
    assert "no format 'tflite'; there are: gluonnlp," in refused(capsys, model, "--format", "tflite", *to)
    assert sorted(os.listdir(tmp_path)) == ["half"]


def test_an_unknown_format_and_a_file_without_pairs(model, tmp_path):
    with pytest.raises(UsageError, match="no format 'tflite'; there are: gluonnlp, huggingface, model, onnx, symbol"):
        export(model, "tflite", tmp_path / "to")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match="empty.jsonl has no pairs"):
        export(model, "symbol", tmp_path / "to", tmp_path / "empty.jsonl")


@pytest.mark.parametrize("format", format_names())
def test_a_folder_that_cannot_be_written_is_one_line(capsys, model, format, pairs_file, tmp_path):
    (tmp_path / "file").touch()
    line = refused(capsys, model, "--format", format, "--to", tmp_path / "file" / "to", "--file", pairs_file, status=1)
    assert f"cannot write to {tmp_path / 'file'}" in line


def test_a_full_disk_is_one_line(capsys, model, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")

    def write(self, job, folder):
        (folder / mxnet_symbol.PARAMETERS).symlink_to("/dev/full")
        write_symbol(self, job, folder)

    write_symbol = MXNetSymbol.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MXNetSymbol, "write", write)
        line = refused(capsys, model, "--format", "symbol", "--to", tmp_path / "to", status=1)
    assert "cannot write to" in line and os.listdir(tmp_path) == []


def test_a_model_of_any_format_becomes_a_folder_of_ours(model, pairs_file, tmp_path):
    assert export(model, "model", tmp_path / "to", pairs_file).difference < 1e-6
    pair = [("The dog is running.", "a dog is not running")]
    assert Predictor.load(tmp_path / "to")(pair) == Predictor.load(model)(pair)


@pytest.mark.parametrize("format", ["symbol", "gluonnlp"])
def test_an_export_that_is_not_read_back_names_the_model(model, pairs_file, tmp_path, format):
    export(model, format, tmp_path / "to", pairs_file)
    with pytest.raises(CheckpointError, match=f"format '{format}', which cannot be read back.*{model}"):
        Predictor.load(tmp_path / "to")


@pytest.fixture
def numpy_format():
    """A format as a user would add it: one class."""

    @registry.format("npz")
    class Npz(Format):
        description = "the parameters as NumPy's arrays"

        def can_read(self, path):
            return (path / "model.npz").is_file()

        def read(self, path, ctx=None, dataset_name=None, backbone=None, root=None):
            raise CheckpointError("it has been recognized")

        def write(self, job, folder):
            np.savez(str(folder / "model.npz"), **job.parameters())

        def check(self, job, folder):
            return job.logits, {"bytes": str((folder / "model.npz").stat().st_size)}

    yield "npz"
    del registry.format._entries["npz"]


def test_a_registered_class_is_a_format_like_any_other(capsys, numpy_format, model, pairs_file, tmp_path):
    to = tmp_path / "to"
    assert main(["export", str(model), "--format", "npz", "--to", str(to), "--file", str(pairs_file)]) == 0
    assert capsys.readouterr().out.startswith("bytes  ")
    with pytest.raises(CheckpointError, match="it has been recognized"):
        load_finetuned(to)


@pytest.mark.parametrize("labels", [("yes", "no"), ("neutral", "entailment", "contradiction"), ("a", "b", "c", "d")])
@pytest.mark.parametrize("format", format_names())
def test_the_classes_are_those_of_the_model(make_model, pairs_file, tmp_path, format, labels):
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    model = make_model("pooled", labels=labels)
    assert export(model, format, tmp_path / "to", pairs_file).difference < 1e-5
    if format in ("model", "onnx"):
        assert Predictor.load(tmp_path / "to").settings.labels == labels
    if format == "huggingface":
        import_classifier(tmp_path / "to", tmp_path / "back", labels)
        answers = [Predictor.load(folder)([("a dog", "the dog")])[0] for folder in (model, tmp_path / "back")]
        assert answers[0].probabilities == pytest.approx(answers[1].probabilities, abs=1e-6)
