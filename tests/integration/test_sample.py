"""The embedded sample: a small BERT from scratch learns it, from one command."""

import json


def test_a_small_bert_from_scratch_learns_the_sample(command, tmp_path):
    out = tmp_path / "out"
    done = command("finetune", "--sample", "--output-dir", out)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["dev_accuracy"] >= 0.9
    config = json.loads((out / "config.json").read_text())
    assert "synthetic" in config["data"]["train"]["source"]
    done = command("predict", out, "--premise", "A dog is sleeping.", "--hypothesis", "An animal is asleep.")
    assert json.loads(done.stdout)["label"] in ("entailment", "contradiction", "neutral")
