"""A vocabulary trained on the command line, and all that can be done with its name."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.cli import main


@pytest.fixture
def corpus(pairs_file, tmp_path):
    path = tmp_path / "text.txt"
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    path.write_text("".join(f"{row['sentence1']}\n{row['sentence2']}\n\n" for row in rows))
    return path


def test_from_text_to_a_classifier(capsys, corpus, pairs_file, tmp_path):
    arguments = ["train-vocab", "--corpus", corpus, corpus, "--name", "way_uncased", "--size", "50"]
    assert main([*map(str, arguments), "--model-type", "bpe"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("50 pieces (bpe) as way_uncased in ") and "pretrain --vocab way_uncased" in second
    assert main(["list", "vocabularies"]) == 0
    assert "way_uncased" in capsys.readouterr().out.split()
    out, pairs = str(tmp_path / "out"), str(pairs_file)
    files = ["--train-file", pairs, "--dev-file", pairs, "--output-dir", out]
    sizes = ["--backbone", "bert_1_16_2", "--max-len", "40", "--epochs", "1"]
    assert main(["finetune", "--vocab", "way_uncased", *files, *sizes]) == 0
    assert main(["evaluate", out, "--file", pairs]) == 0
    assert main(["predict", out, "--premise", "A DOG is running.", "--hypothesis", "a dog is not running"]) == 0
    assert main(["export", out, "--format", "onnx", "--to", str(tmp_path / "onnx"), "--file", pairs]) == 0
    (weights,) = Path(out, "model").glob("*.params")
    name = ["--name", "way_uncased", "--vocab", "way_uncased", "--backbone", "bert_1_16_2"]
    capsys.readouterr()
    assert main(["import-bert", str(weights), *name]) == 0
    assert capsys.readouterr().out.startswith("bert_1_16_2 as way_uncased (encoder, pooler) in ")
    assert main(["finetune", "--dataset-name", "way_uncased", *files, "--overwrite", "--max-len", "40"]) == 0
    assert main(["train-vocab", "--corpus", str(corpus), "--name", "way_uncased", "--overwrite"]) == 2
    assert "bert_1_16_2_way_uncased in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, status, complaint",
    [
        ([], 2, "the following arguments are required: --corpus, --name"),
        (["--corpus", "{text}", "--name", "mine"], 2, "--name 'mine' must end in _cased or _uncased"),
        (["--corpus", "{text}", "--name", "m_cased", "--size", "many"], 2, "argument --size: invalid int value"),
        (["--corpus", "{text}", "--name", "m_cased", "--size", "0"], 2, "--size is 0; it must be from 6 to"),
        (
            ["--corpus", "{text}", "--name", "m_cased", "--model-type", "char"],
            2,
            "argument --model-type: invalid choice",
        ),
        (["--corpus", "{text}", "--name", "m_cased"], 2, "--size is 8000: the text makes "),
        (["--corpus", "{text}", "{tmp}/none.txt", "--name", "m_cased"], 1, "{tmp}/none.txt: No such file or directory"),
        (["--corpus", "{tmp}", "--name", "m_cased"], 1, "{tmp}: Is a directory"),
        (["--corpus", "{text}", "--name", "m_cased", "--root", "{text}/d"], 1, "cannot write to {text}/d: Not a direc"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, corpus, tmp_path, arguments, status, complaint):
    arguments = [argument.format(text=corpus, tmp=tmp_path) for argument in arguments]
    assert main(["train-vocab", *arguments]) == status
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"gluonnlp-snli: error: {complaint.format(text=corpus, tmp=tmp_path)}")


def content(path):
    try:
        return path.read_bytes()
    except OSError:  # the process is gone
        return b""


def test_ctrl_c_ends_it_in_the_middle_of_training(tmp_path):
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefghijklmnop", k=generator.randint(3, 12))) for _ in range(400_000)]
    (tmp_path / "text.txt").write_text("\n".join(words))
    arguments = ["--corpus", tmp_path / "text.txt", "--name", "mine_cased", "--root", tmp_path / "models"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gluonnlp_snli_plugin", "train-vocab", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    trainer = None
    while trainer is None:  # it is still starting, or reading
        assert process.poll() is None
        time.sleep(0.05)
        commands = [Path(f"/proc/{child}/cmdline") for child in children.read_text().split()]
        trainer = next((path for path in commands if b"SentencePiece" in content(path)), None)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and said.splitlines()[-1] == "gluonnlp-snli: interrupted"
    assert "Traceback" not in said
    while content(trainer):  # it has been killed, but the kernel may take its time
        time.sleep(0.05)
    assert [path.name for path in (tmp_path / "models").iterdir()] == []
