"""Importing on the command line: a BERT that GluonNLP saved, and what a tokenizer needs."""

import importlib.util
import shutil
import sys
from pathlib import Path

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin.cli import main

GOLDEN = Path(__file__).parents[1] / "formats" / "golden"


@pytest.fixture
def file(tiny_name, tmp_path):
    bert, _ = nlp.model.get_model(
        "bert_2_16_2", dataset_name=tiny_name, use_decoder=False, use_classifier=False, pretrained=True
    )
    nlp.utils.save_parameters(bert, str(tmp_path / "0000020.params"))
    return tmp_path / "0000020.params"


def test_a_file_of_gluonnlp(capsys, file, tiny_name, tmp_path):
    store = tmp_path / "models"
    given = ["--vocab", tiny_name, "--backbone", "bert_2_16_2", "--name", "mine_uncased"]
    assert main(["import-bert", str(file), *given]) == 0
    assert capsys.readouterr().out.startswith("bert_2_16_2 as mine_uncased (encoder, pooler) in ")
    assert main(["import-bert", str(file), *given, "--root", str(store)]) == 2
    assert capsys.readouterr().err == (
        f"gluonnlp-snli: error: --vocab {tiny_name} is not a file, and there is no vocabulary under the name "
        f"'{tiny_name}' in {store} (there: none)\n"
    )


@pytest.mark.parametrize(
    "arguments, status, complaint",
    [
        (["--vocab", "tiny_uncased"], 2, "--backbone is missing: {file} does not say the number of heads; which"),
        (["--backbone", "bert_2_16_2"], 2, "--vocab is missing: {file} does not say which 77 tokens"),
        (["--backbone", "bert_2_16_2", "--vocab", "{file}"], 1, "{file} is a parameter file of MXNet"),
    ],
)
def test_what_is_missing_is_one_line(capsys, file, arguments, status, complaint):
    filled = [argument.format(file=file) for argument in arguments]
    assert main(["import-bert", str(file), "--name", "mine_uncased", *filled]) == status
    line = capsys.readouterr().err
    assert line.startswith(f"gluonnlp-snli: error: {complaint.format(file=file)}") and line.count("\n") == 1


@pytest.mark.parametrize(
    "folder, options",
    [("roberta", ["--name", "bytes_cased", "--root", "models"]), ("roberta_classifier", ["--output-dir", "out"])],
)
def test_a_package_that_the_tokenizer_needs_is_named_at_once(capsys, monkeypatch, tmp_path, folder, options):
    monkeypatch.chdir(tmp_path)
    for source in (GOLDEN / "roberta", GOLDEN / folder):  # the classifier's vocabulary is the other's
        shutil.copytree(str(source), "source", dirs_exist_ok=True)
    words = ["import-bert", "source", *options, "--overwrite"]
    if importlib.util.find_spec("tokenizers"):
        assert main(words) == 0 and not capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert main(words) == 0
    told = "a byte-level BPE vocabulary needs the package tokenizers: pip install 'gluonnlp-snli-plugin[roberta]'\n"
    assert capsys.readouterr().err == told


def test_a_folder_brings_its_own(capsys, tiny_bert):
    assert main(["import-bert", str(tiny_bert), "--name", "mine_uncased", "--vocab", "tiny_uncased"]) == 2
    assert "--vocab goes with a .params file" in capsys.readouterr().err
