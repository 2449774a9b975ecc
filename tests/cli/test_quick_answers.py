"""Help, the version and usage errors import nothing that takes long; all else activates the plugin first."""

import argparse
import subprocess
import sys

import pytest

from gluonnlp_snli_plugin.cli import COMMANDS, make_parser, options
from gluonnlp_snli_plugin.cli.commands import export, train_vocab

SLOW = {
    *("mxnet", "gluonnlp", "numpy", "matplotlib", "jinja2", "requests", "sentencepiece", "safetensors", "tqdm"),
    *("starlette", "uvicorn", "onnx", "onnxruntime", "huggingface_hub"),
}
# As the script that pip makes of the entry point, and what it has imported in the end.
COMMAND = """import sys
from gluonnlp_snli_plugin.cli import main
try:
    status = main()
finally:
    print("imported:", *{name.partition(".")[0] for name in sys.modules})
sys.exit(status)
"""


@pytest.fixture
def command(tmp_path):
    """Runs the command in a process of its own: its exit status, its messages, and the packages that it imported."""
    script = tmp_path / "gluonnlp-snli"
    script.write_text(COMMAND)

    def run(*arguments):
        done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=600)
        output, _, imported = done.stdout.rpartition("imported: ")
        return done.returncode, output + done.stderr, set(imported.split())

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_and_version_import_nothing_that_takes_long(command, arguments):
    status, said, imported = command(*arguments)
    assert status == 0 and said.startswith(("usage: gluonnlp-snli", "gluonnlp-snli "))
    assert not imported & SLOW


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["evaluate"],
        ["finetune", "--epochs", "many"],
        ["list", "\udcff"],
        # Options that contradict each other, or need others.
        ["finetune", "--train-file", "train.jsonl"],
        ["finetune", "--output-dir", "out", "--epochs", "0"],
        ["finetune", "--output-dir", "out", "--resume-anyway"],
        ["pretrain", "--name", "mine_uncased"],
        ["predict", "out", "--premise", "A dog runs."],
        ["serve", "out", "--max-pairs", "0"],
        ["import-bert", "DIR"],
        ["run", "--train-file", "train.jsonl", "script.py"],
    ],
    ids=str,
)
def test_usage_errors_import_nothing_that_takes_long(command, arguments):
    status, said, imported = command(*arguments)
    assert status == 2 and said.startswith("gluonnlp-snli: error: ") and said.count("\n") == 1
    assert not imported & SLOW


def test_a_command_that_runs_imports_only_what_it_uses(command):
    status, said, imported = command("list", "tasks")
    assert status == 0 and "SNLI" in said.splitlines()
    assert "mxnet" in imported
    assert not imported & {"scipy", "matplotlib", "jinja2", "starlette", "uvicorn", "onnxruntime", "huggingface_hub"}


def test_a_script_that_a_command_runs_finds_the_plugin_active_and_its_public_names(command, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import gluonnlp as nlp, gluonnlp_snli_plugin as snli\n"
        "print(type(nlp.data.get_task('SNLI')).__name__)\n"
        "print(callable(snli.evaluate), snli.Predictor.__name__)\n"
    )
    status, said, _ = command("run", str(script))
    assert status == 0, said
    assert said.startswith("SNLITask\nTrue Predictor\n")


def _program(tmp_path, name, text):
    program = tmp_path / name
    program.write_text(text)
    return subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=600)


def test_the_import_activates_at_once_in_any_other_program(tmp_path):
    lines = (
        "import gluonnlp_snli_plugin.errors\nimport gluonnlp\nprint(type(gluonnlp.data.get_task('SNLI')).__name__)\n"
    )
    assert _program(tmp_path, "program.py", lines).stdout == "SNLITask\n"


def test_processes_that_a_program_starts_activate_too(tmp_path):
    lines = """import multiprocessing

def task():
    import gluonnlp, gluonnlp_snli_plugin
    print(type(gluonnlp.data.get_task('SNLI')).__name__, flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=task)
    process.start()
    process.join()
"""
    assert _program(tmp_path, "program.py", lines).stdout == "SNLITask\n"


# Parsers are made without the packages that know these values ---------------------------------------------------------


def _help(command):
    (commands,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return " ".join(commands.choices[command].format_help().split())


def test_the_choices_that_are_written_down_are_those_that_there_are():
    from gluonnlp_snli_plugin.evaluate import predictor
    from gluonnlp_snli_plugin.model.initialization import INITIALIZATIONS
    from gluonnlp_snli_plugin.text.subwords import MODEL_TYPES
    from gluonnlp_snli_plugin.train.settings.pretrain_config import PretrainConfig

    assert options.DTYPES == predictor.DTYPES
    assert train_vocab.MODEL_TYPES == MODEL_TYPES
    assert PretrainConfig.__dataclass_fields__["init"].metadata["choices"] == INITIALIZATIONS


def test_the_help_of_export_names_every_format():
    from gluonnlp_snli_plugin.formats.format import format_named, format_names

    assert {name: format_named(name).description for name in format_names()} == export.FORMATS


def test_the_help_of_finetune_names_every_head():
    from gluonnlp_snli_plugin.model.heads import head_names

    for head in head_names():
        assert f" {head}: " in _help("finetune")
