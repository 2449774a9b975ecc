"""The command line as a user meets it: real processes, one-line errors, exit statuses."""

import io
import json
import os
import shutil
import subprocess
import sys

import pytest

from gluonnlp_snli_plugin.cli import main


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory):
    """A run to which ``evaluate`` adds its answers."""
    return shutil.copytree(str(tiny_run), str(tmp_path_factory.mktemp("cli") / "out"))


@pytest.fixture
def complaint_of(capsys):
    """Runs a command that must fail with `status`; returns the one line it says."""

    def run(arguments, status):
        assert main(arguments) == status
        line = capsys.readouterr().err
        assert line.startswith("gluonnlp-snli: error: ") and line.count("\n") == 1
        return line

    return run


def test_import_finetune_evaluate_predict(command, tiny_bert, pairs_file, tmp_path, capsys):
    environment = {**os.environ, "MXNET_HOME": str(tmp_path / "home")}
    done = command("import-bert", tiny_bert, "--name", "mine_uncased", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bert_2_16_2 as mine_uncased (encoder, pooler)")
    out = tmp_path / "out"
    done = command(
        *("finetune", "--backbone", "bert_2_16_2", "--dataset-name", "mine_uncased", "--train-file", pairs_file),
        *(
            "--dev-file",
            pairs_file,
            "--output-dir",
            out,
            "--epochs",
            2,
            "--batch-size",
            16,
            "--lr",
            5e-3,
            "--max-len",
            32,
        ),
        *("--truncation", "ratio", "--head", "pooled", "--seed", 1, "--log-steps", 4),
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "dev accuracy" in done.stdout and f"{out}/model" in done.stdout and f"{out}/report.html" in done.stdout
    assert "epoch 1, update 4/16: loss " in done.stderr
    assert main(["evaluate", str(out), "--file", str(pairs_file), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["accuracy"] == pytest.approx(json.loads((out / "summary.json").read_text())["dev_accuracy"])
    assert main(["predict", str(out), "--premise=The dog is running.", "--hypothesis=a dog is not running"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["label"] in answer["probabilities"] and answer["sentence1"] == "The dog is running."


def test_evaluate_prints_a_table(trained, pairs_file, capsys):
    assert main(["evaluate", trained, "--file", str(pairs_file)]) == 0
    output = capsys.readouterr().out
    assert "precision" in output and "(120 pairs)" in output


def test_predict_keeps_the_order_of_a_file_and_of_standard_input(trained, pairs_file, capsys, monkeypatch):
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    for file in (str(pairs_file), "-"):
        with open(pairs_file) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert main(["predict", trained, "--file", file]) == 0
        answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(row["sentence1"], row["sentence2"]) for row in answers] == [
            (row["sentence1"], row["sentence2"]) for row in rows
        ]
        assert sum(answer["label"] == row["gold_label"] for answer, row in zip(answers, rows)) > 100


def test_predict_answers_each_line_while_standard_input_is_open(trained):
    process = subprocess.Popen(
        [sys.executable, "-m", "gluonnlp_snli_plugin", "predict", str(trained), "--file", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        for hypothesis in ("a dog is running", "a dog is sleeping"):
            process.stdin.write(
                json.dumps({"sentence1": "The dog is running.", "sentence2": hypothesis}).encode() + b"\n"
            )
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["sentence2"] == hypothesis
        process.stdin.close()
        assert process.wait(600) == 0


def test_a_reader_that_has_had_enough_is_no_error(trained, pairs_file):
    program = f"{sys.executable} -m gluonnlp_snli_plugin predict {trained} --file {pairs_file} | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {program}"], capture_output=True)
    assert done.returncode in (0, 141) and b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_list(capsys, tiny_name):
    assert main(["list"]) == 0
    everything = capsys.readouterr().out
    assert "SNLI" in everything and "longest_first" in everything and f"bert_2_16_2 {tiny_name}" in everything
    assert main(["list", "truncations"]) == 0
    assert capsys.readouterr().out.split() == "equal longest_first only_first only_second ratio".split()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["finetune"], "--output-dir is missing"),
        (["finetune", "--epochs", "many"], "--epochs"),
        (["finetune", "--output-dir", "out", "--epochs", "0"], "--epochs is 0"),
        (["finetune", "--output-dir", "out", "--unknown"], "--unknown"),
        (
            ["finetune", "--output-dir", "{tmp}/o", "--gpus", "7", "--no-native"],
            "--no-native is about MXNet's operators",
        ),
        (["predict", "{trained}"], "give --premise and --hypothesis, or --file"),
        (["predict", "{trained}", "--premise", "a"], "give --premise and --hypothesis, or --file"),
        (["predict", "{trained}", "--premise", "a", "--hypothesis", "b", "--file", "-"], "or --file"),
        (["predict", "{trained}", "--premise", " ", "--hypothesis", "b"], "--premise is empty"),
        (["evaluate", "{trained}"], "--file"),
        (["evaluate", "{trained}", "--file", "{pairs}", "--batch-size", "0"], "--batch-size is 0"),
        (["import-bert", "{tmp}", "--name", "mine"], "_cased or _uncased"),
        (["list", "planets"], "planets"),
        (["list", "pla\nnets \u202e"], r"'pla\nnets \u202e'"),
        (
            ["predict", "{trained}", "--premise", "caf\udce9", "--hypothesis", "b"],
            r"--premise is not valid UTF-8: caf\udce9",
        ),
        (["evaluate", "{trained}", "--file", "a\0b"], "an argument holds a NUL character"),
        (["evaluate", "{trained}", "--file", "{pairs}", "--devices", "cpu:" + "9" * 5000], "no device 'cpu:9999"),
        (
            [
                "finetune",
                "--output-dir",
                "{tmp}/o",
                "--dataset-name",
                "tiny_uncased",
                "--backbone",
                "bert_" + "9" * 5000 + "_1_1",
            ],
            "bert_999",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line_and_status_2(
    complaint_of, trained, pairs_file, tmp_path, arguments, complaint
):
    filled = [argument.format(trained=trained, tmp=tmp_path, pairs=pairs_file) for argument in arguments]
    assert complaint in complaint_of(filled, 2)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["evaluate", "{tmp}", "--file", "{pairs}"], "holds no model"),
        (["evaluate", "{trained}", "--file", "{tmp}/nowhere.jsonl"], "nowhere.jsonl: No such file"),
        (["evaluate", "{trained}", "--file", "{bad}"], "bad.jsonl, line 2: unknown gold_label 'maybe'"),
        (["predict", "{trained}", "--file", "{bad}.not"], "No such file"),
        (["evaluate", "{trained}", "--file", "no\nwhere"], r"no\nwhere: No such file"),
        (["evaluate", "n" * 5000, "--file", "{pairs}"], "File name too long"),
        (["import-bert", "n" * 5000, "--name", "mine_uncased"], "not a folder"),
        (["import-bert", "{trained}/model/x.params", "--name", "mine_uncased", "--root", "~nobody"], "No such file"),
        (["import-bert", "{tmp}", "--name", "mine_uncased"], "config.json is missing"),
    ],
)
def test_a_run_that_fails_is_one_line_and_status_1(complaint_of, trained, pairs_file, tmp_path, arguments, complaint):
    good = {"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(good) + "\n" + json.dumps({**good, "gold_label": "maybe"}) + "\n")
    filled = [argument.format(trained=trained, tmp=tmp_path, pairs=pairs_file, bad=bad) for argument in arguments]
    assert complaint in complaint_of(filled, 1)


def test_a_process_ends_with_that_line_and_that_status(command):
    done = command("finetune", "--output-dir", "out", "--epochs", "0")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "gluonnlp-snli: error: --epochs is 0; it must be at least 1\n"


def test_skipping_bad_rows(trained, pairs_file, tmp_path, capsys):
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("no json\n" + pairs_file.read_text())
    assert main(["evaluate", trained, "--file", str(mixed), "--on-bad-row", "skip", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["pairs"] == 120 and figures["bad_rows_left_out"] == 1


@pytest.mark.parametrize(
    "arguments, shown",
    [([], "finetune"), (["finetune"], "--truncation"), (["evaluate"], "--json"), (["predict"], "--premise")],
)
def test_help_shows_the_options(capsys, arguments, shown):
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0 and shown in capsys.readouterr().out


def test_without_mxnet_there_is_one_clear_line(program, tmp_path):
    (tmp_path / "mxnet.py").write_text("raise ModuleNotFoundError(\"No module named 'mxnet'\", name='mxnet')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([*program, "list"], stderr=subprocess.PIPE, env=environment)
    line = done.stderr.decode()
    assert done.returncode == 1 and len(line.splitlines()) == 1 and "pip install --no-deps mxnet==1.9.1" in line
    done = subprocess.run(
        [sys.executable, "-c", "import gluonnlp_snli_plugin"],
        stderr=subprocess.PIPE,
        env=environment,
        cwd=str(tmp_path),
    )
    assert done.stderr.decode().splitlines()[-1].startswith("ImportError: gluonnlp_snli_plugin needs MXNet 1.9.1")


def test_answers_are_json_whatever_standard_output_can_show(trained, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["predict", trained, "--premise", "caf\u00e9 \U0001f600", "--hypothesis", "b"]) == 0
    assert json.loads(sys.stdout.buffer.getvalue())["sentence1"] == "caf\u00e9 \U0001f600"


def test_what_no_memory_holds_is_one_line(complaint_of, tiny_name, pairs_file, tmp_path):
    files = [f"--train-file={pairs_file}", f"--dev-file={pairs_file}", f"--output-dir={tmp_path / 'out'}"]
    line = complaint_of(
        ["finetune", f"--dataset-name={tiny_name}", *files, "--hidden-units=2147483647", "--max-len=32"], 1
    )
    assert "not enough memory" in line
