"""Real SNLI pairs through a real pretrained BERT, with the commands of the README."""

import json
import os

import pytest


@pytest.fixture(scope="module")
def pairs(shared_data, tmp_path_factory):
    """The first 2,400 training pairs and 400 dev pairs of the real data, in files."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, number in (("train", 2400), ("dev", 400)):
        lines = (shared_data / "snli_mini" / f"snli_mini_{name}.jsonl").read_text(encoding="utf-8").splitlines(True)
        (folder / f"{name}.jsonl").write_text("".join(lines[:number]), encoding="utf-8")
    return folder / "train.jsonl", folder / "dev.jsonl"


def test_minilm_learns_real_inference_in_one_epoch(command, minilm_name, pairs, tmp_path):
    train, dev = pairs
    out = tmp_path / "out"
    done = command(
        *("finetune", "--backbone", "bert_6_384_12", "--dataset-name", minilm_name, "--train-file", train),
        *("--dev-file", dev, "--output-dir", out, "--epochs", 1, "--batch-size", 32, "--lr", "5e-5", "--max-len", 128),
        *("--truncation", "longest_first", "--head", "pooled", "--seed", 1),
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["dev_accuracy"] > 0.5  # guessing gives 0.34
    done = command("evaluate", out, "--file", dev, "--json")
    assert json.loads(done.stdout)["accuracy"] == pytest.approx(summary["dev_accuracy"], abs=1e-3)
