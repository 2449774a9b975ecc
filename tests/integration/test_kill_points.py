"""Commands are killed at their file-system operations, one after the other; the same command then goes on.

KILLS in the environment: at all of them, not at a few.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "kill_points.py"
POINTS = 0 if os.environ.get("KILLS") else 4

needs_kills = pytest.mark.skipif(POINTS > 0, reason="what all that writes a file does is tested: make test-faults")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Kills a command, and those given as `again` go on; gives the records of all that happened.

    All of it is in a folder, ``{}``, in which the model store is too.
    """
    folder = str(tmp_path_factory.mktemp("killed") / "all")
    environment = {**os.environ, "MXNET_HOME": f"{folder}/home", "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(PROGRAM)], env=environment, text=True, **pipes) as process:

        def run(command, *again, before=()):
            request = {"command": command, "again": again or [command], "before": before, "points": POINTS}
            process.stdin.write(json.dumps({**request, "folder": folder}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run


def require_same_end(records):
    """All ended well, and none left another file than the one that nothing happened to."""
    first, *others = records
    assert first["status"] == 0 and len(others) == (POINTS or first["operations"])
    for record in others:
        assert record["status"] == 0, record
        assert record["files"] == first["files"], record


@pytest.fixture(scope="module")
def finetune(tiny_bert, pairs_file):
    """The arguments of a run of two updates with a checkpoint after each."""
    files = {"train-file": pairs_file, "dev-file": pairs_file, "vocab": tiny_bert / "vocab.txt"}
    numbers = {"max-len": 24, "epochs": 1, "batch-size": 60, "checkpoint-steps": 1, "log-steps": 1}
    options = {"backbone": "bert_1_8_2", "output-dir": "{}/out", **files, **numbers}
    arguments = ["finetune", "--no-native"]
    return arguments + [part for name, value in options.items() for part in (f"--{name}", str(value))]


def test_a_run_goes_on_wherever_it_was_killed(killed, finetune):
    require_same_end(killed(finetune, [*finetune, "--resume"], [*finetune, "--overwrite"]))


def test_a_run_goes_on_wherever_the_one_before_was_being_replaced(killed, finetune):
    command = [*finetune, "--overwrite"]
    require_same_end(killed(command, before=[[*finetune, "--seed", "3"]]))


def test_the_store_holds_what_it_would_wherever_an_import_was_killed(killed, tiny_bert):
    command = ["import-bert", str(tiny_bert), "--name", "tiny_uncased"]
    require_same_end(killed(command))


def test_the_store_holds_what_it_would_wherever_a_vocabulary_was_being_replaced(killed, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("a man is sleeping\n\ntwo dogs are running outside\n" * 20)
    command = ["train-vocab", "--corpus", str(corpus), "--name", "tiny_uncased", "--overwrite", "--size"]
    require_same_end(killed([*command, "30"], before=[[*command, "25"]]))


@needs_kills
def test_an_export_is_made_wherever_it_was_killed(killed, tiny_run):
    command = ["export", str(tiny_run), "--format", "symbol", "--to", "{}/exported", "--overwrite"]
    require_same_end(killed(command, before=[command]))


@needs_kills
def test_a_page_is_written_wherever_it_was_killed(killed, tiny_run):
    require_same_end(killed(["report", str(tiny_run), "--to", "{}/page.html"]))
