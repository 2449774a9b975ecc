"""Names of files and folders are printed in one line, and control neither the terminal nor what stands beside them."""

import json
import logging
import shutil

from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.system.files import json_text

HOSTILE = "pairs\n\x1b[31mall  9999  1.0000 \u202e\x9b2J"
SHOWN = r"pairs\n\x1b[31mall  9999  1.0000 \u202e\x9b2J"


def test_tables_and_paths_show_names_escaped(tiny_run, pairs_file, tmp_path, capsys, monkeypatch):
    folder, pairs = tmp_path / HOSTILE, tmp_path / f"{HOSTILE}.jsonl"
    shutil.copytree(str(tiny_run), str(folder))
    shutil.copy(str(pairs_file), str(pairs))
    monkeypatch.chdir(tmp_path)
    for arguments, where in (
        (["evaluate", folder, "--file", pairs, pairs], f"{SHOWN}.jsonl"),
        (["evaluate", folder, folder, "--file", pairs, pairs], f"{SHOWN}.jsonl"),
        (["evaluate", folder, folder, "--file", pairs], f"of {tmp_path}/{SHOWN} alone"),
        (["report", folder, "--to", f"{HOSTILE}.html"], f"{SHOWN}.html"),
        (["export", folder, "--format", "symbol", "--to", f"{HOSTILE}.out"], f"{SHOWN}.out"),
    ):
        assert main(list(map(str, arguments))) == 0
        output = capsys.readouterr().out
        assert where in output and all(line.isprintable() for line in output.split("\n"))
    assert len([line for line in output.split("\n") if "all" in line]) == 1


def test_what_is_logged_is_one_line(capsys, monkeypatch):
    from gluonnlp_snli_plugin.cli.commands import list as command

    monkeypatch.setattr(
        command, "run", lambda _: logging.getLogger("gluonnlp_snli_plugin.x").warning("%s is odd", HOSTILE)
    )
    assert main(["list"]) == 0
    assert capsys.readouterr().err == f"{SHOWN} is odd\n"


def test_json_for_a_terminal_holds_the_same_and_controls_nothing():
    content = {"text": f"{HOSTILE} caf\u00e9 \U000e0001", "é": [1]}
    shown = json_text(content, "utf-8")
    assert shown.isprintable() and json.loads(shown) == content and "caf\u00e9" in shown and '"é"' in shown
    assert json.loads(json_text(content, "utf-8", indent=2)) == content
