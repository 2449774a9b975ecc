"""Standard output or standard error that is full or closed: one line, and status 1, and never a traceback."""

import shlex
import shutil
import subprocess
import sys

import pytest

from gluonnlp_snli_plugin.cli import main

COMMANDS = {
    "list": ["list"],
    "predict": ["predict", "{out}", "--file", "{pairs}"],
    "predict one": ["predict", "{out}", "--premise=a", "--hypothesis=b", "--explain"],
    "evaluate": ["evaluate", "{out}", "--file", "{pairs}"],
    "evaluate json": ["evaluate", "{out}", "--file", "{pairs}", "--json"],
    "import": ["import-bert", "{bert}", "--name=a_uncased", "--root={tmp}/store", "--overwrite"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_what_cannot_be_printed_is_one_line_and_status_1(
    tiny_run, tiny_bert, pairs_file, tmp_path, capsys, monkeypatch, arguments
):
    out = shutil.copytree(str(tiny_run), str(tmp_path / "out"))
    arguments = [part.format(out=out, pairs=pairs_file, tmp=tmp_path, bert=tiny_bert) for part in arguments]
    with open("/dev/full", "w") as full:
        for output, why in ((full, "No space left on device"), (None, "it is closed")):
            monkeypatch.setattr(sys, "stdout", output)
            assert main(arguments) == 1
            assert capsys.readouterr().err.splitlines()[-1] == (
                f"gluonnlp-snli: error: cannot write to standard output: {why}"
            )
            assert sys.stdout is output


def test_help_cannot_be_printed_either(capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list", "--help"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "rest, said",
    [
        ("list >/dev/full", "cannot write to standard output: No space left on device"),
        ("--version >/dev/full", "cannot write to standard output: No space left on device"),
        ("--version >&-", "cannot write to standard output: it is closed"),
        ("--version >/dev/full 2>/dev/full", ""),
        ("list <&- >&- 2>&-", ""),
    ],
)
def test_a_process_ends_with_that_line_and_status(program, rest, said):
    done = subprocess.run(["sh", "-c", f"exec {shlex.join(program)} {rest}"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"gluonnlp-snli: error: {said}\n" if said else "")
