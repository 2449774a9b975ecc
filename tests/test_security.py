"""Nothing from outside is executed or unpickled, nothing is read outside its folder, and the user's umask holds."""

import ast
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import gluonnlp_snli_plugin
from gluonnlp_snli_plugin import finetune, import_bert
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import CheckpointError
from gluonnlp_snli_plugin.formats.model_folder import load_model

PACKAGE = Path(gluonnlp_snli_plugin.__file__).parent
# What runs or unpickles what it is given, MXNet's own functions included.
FORBIDDEN_NAMES = {"eval", "exec", "__import__"}
FORBIDDEN_ATTRIBUTES = {"load_states", "save_states", "system", "popen", "set_states", "get_states"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "torch", "yaml"}


class _Harm:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self._mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self._mark),)


@pytest.fixture
def malicious(tiny_bert, tmp_path):
    """A checkpoint with files that do harm if anybody runs them, and the folder that is there then."""
    folder, mark = tmp_path / "checkpoint", tmp_path / "harm was done"
    shutil.copytree(str(tiny_bert), str(folder))
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Model", "AutoTokenizer": ["tokenization.Tokenizer", None]}
    config["custom_pipelines"] = {"nli": {"impl": "modeling.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    for name in (
        "modeling",
        "tokenization",
        "config",
        "vocab",
        "setup",
        "sitecustomize",
        "__init__",
        "mxnet",
        "conftest",
    ):
        (folder / f"{name}.py").write_text(f"import os; os.mkdir({str(mark)!r})\n")
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "weights.npy", "model.pkl"):
        (folder / name).write_bytes(pickle.dumps(_Harm(mark)))
    return folder, mark


def test_no_module_runs_or_unpickles_what_it_is_given():
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                names = [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
            elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
                names = [node.id]
            elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
                names = [node.attr]
            elif isinstance(node, ast.keyword) and node.arg in ("shell", "allow_pickle"):
                names = [node.arg]
            found += [(str(path.relative_to(PACKAGE)), name) for name in names]
    assert sorted(found) == [
        ("compat.py", "__import__"),  # gives MXNet's modules what they import
        ("host/script.py", "exec"),  # the script that the user has named
    ]


def test_what_lies_beside_a_checkpoint_is_left_alone(malicious, tmp_path):
    folder, mark = malicious
    # As the installed command does, without the current folder among those that modules come from.
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); from gluonnlp_snli_plugin.cli import main; "
    command = [sys.executable, "-I", "-c", code + "sys.exit(main(sys.argv[1:]))", "import-bert"]
    for target in (".", str(folder)):
        done = subprocess.run(
            [*command, target, "--name", "some_uncased", "--overwrite"],
            cwd=folder,
            env={**os.environ, "MXNET_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert not mark.exists()
    pickle.loads((folder / "model.pkl").read_bytes())
    assert mark.exists()  # it would have


def test_what_lies_beside_a_model_is_left_alone(tiny_run, malicious, tmp_path):
    folder, mark = malicious
    model = tmp_path / "model"
    shutil.copytree(str(folder), str(model), ignore=shutil.ignore_patterns("config.json", "vocab.txt", "*.safetensors"))
    for path in (tiny_run / "model").iterdir():
        shutil.copy(str(path), str(model))
    assert load_model(model).settings.labels
    assert not mark.exists()


@pytest.mark.parametrize("use", ["weights", "vocab"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_model_names_files_of_its_own_folder_only(tiny_run, tmp_path, use, absolute):
    folder, outside = tmp_path / "model", tmp_path / "outside"
    shutil.copytree(str(tiny_run / "model"), str(folder))
    config = json.loads((folder / "config.json").read_text())
    name = config["files"][use]["name"]
    outside.mkdir()
    (folder / name).rename(outside / name)
    config["files"][use]["name"] = str(outside / name) if absolute else f"../outside/{name}"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"{folder / name} is missing"):
        load_model(folder)


@pytest.mark.usefixtures("empty_figures")
@pytest.mark.parametrize("umask", [0o077, 0o027])
def test_what_is_written_has_the_permissions_that_the_umask_leaves(tiny_bert, pairs_file, tmp_path, umask):
    before = os.umask(umask)
    try:
        import_bert(tiny_bert, "private_uncased", root=tmp_path / "store")
        settings = {"vocab": str(tiny_bert / "vocab.txt"), "backbone": "bert_1_16_2", "max_len": 32, "epochs": 1}
        finetune(train_file=str(pairs_file), dev_file=str(pairs_file), output_dir=str(tmp_path / "out"), **settings)
    finally:
        os.umask(before)
    written = [path for root in ("store", "out") for path in [tmp_path / root, *(tmp_path / root).rglob("*")]]
    assert len(written) > 10
    for path in written:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, path


def _replace(path, kind):
    """Put something that is not a file of a sensible size in a file's place."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with open(path, "wb") as sparse:
            sparse.truncate(60 * 10**9)


@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_not_a_file_is_one_line_wherever_a_file_is_expected(
    tiny_run, tiny_bert, pairs_file, tmp_path, monkeypatch, capsys, kind
):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))  # whatever other tests have in the store
    (weights,) = (tiny_run / "model").glob("weights-*")
    folder, pairs = tmp_path / "out", tmp_path / "pairs.jsonl"
    predict, report = ["predict", folder, "--premise=a", "--hypothesis=b"], ["report", folder]
    expected = [
        *((tiny_run, f"model/{name}", predict) for name in ("config.json", "vocab.json", weights.name)),
        *((tiny_run, name, report) for name in ("summary.json", "metrics.jsonl")),
        *((tiny_run, f"predictions/{name}", report) for name in ("dev.json", "dev.jsonl")),
        (tiny_run, "config.json", ["finetune", "--resume", folder]),
        *(
            (tiny_bert, name, ["import-bert", folder, "--name=a_uncased"])
            for name in ("config.json", "vocab.txt", "model.safetensors")
        ),
    ]
    for source, name, command in expected:
        shutil.copytree(str(source), str(folder))
        _replace(folder / name, kind)
        _check_one_line(command, name if name != "vocab.txt" or kind == "sparse" else "no vocabulary", capsys)
        shutil.rmtree(str(folder))
    if kind == "pipe":  # one that the user names is read
        return
    shutil.copy(str(pairs_file), str(pairs))
    _replace(pairs, kind)
    for command in (
        ["evaluate", tiny_run, "--file", pairs],
        ["predict", tiny_run, "--file", pairs],
        ["train-vocab", "--corpus", pairs, "--name=a_uncased", "--size=100"],
    ):
        _check_one_line(command, pairs.name, capsys)


def _check_one_line(command, what, capsys):
    assert main(list(map(str, command))) == 1, command
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("gluonnlp-snli: error: ") and what in line
