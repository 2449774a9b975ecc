"""What HANS says about a real model: by heuristic, by subcase and by gold label, as in its paper."""

import json
import os

import pytest

HEURISTICS = ["lexical_overlap", "subsequence", "constituent"]


@pytest.fixture(scope="module")
def model(shared_data, minilm_name, tmp_path_factory):
    """A MiniLM that has seen each of the first 4,800 SNLI pairs once."""
    from gluonnlp_snli_plugin import finetune

    folder = tmp_path_factory.mktemp("hans")
    for name, number in (("train", 4800), ("dev", 300)):
        lines = (shared_data / "snli_mini" / f"snli_mini_{name}.jsonl").read_text(encoding="utf-8").splitlines(True)
        (folder / f"{name}.jsonl").write_text("".join(lines[:number]), encoding="utf-8")
    files = {f"{name}_file": str(folder / f"{name}.jsonl") for name in ("train", "dev")}
    out = folder / "out"
    finetune(dataset_name=minilm_name, output_dir=str(out), epochs=1, head="pooled", seed=1, max_len=64, **files)
    return out


@pytest.mark.long
def test_a_model_of_snli_is_scored_by_heuristic_and_subcase(model, command, hans_folder, tmp_path):
    options = ("--task", "HANS", "--corpus-root", hans_folder, "--by", "heuristic", "subcase")
    done = command("evaluate", model, *options, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "HANS-dev has two classes: answers that are not entailment count as non-entailment" in done.stderr
    overall, heuristics, subcases = done.stdout.split("\n\n")[0], *done.stdout.split("\n\n")[3:5]
    assert overall.endswith("(56 pairs)")
    heading, *rows = map(str.split, heuristics.splitlines())
    assert heading == "heuristic pairs accuracy macro F1 gold entailment gold non-entailment".split()
    assert [row[0] for row in rows] == HEURISTICS and [row[1] for row in rows] == ["24", "16", "16"]
    heading, *rows = map(str.split, subcases.splitlines())
    assert heading[0] == "subcase" and len(rows) == 7
    assert all((row[-2] == "–") == (row[0].split("_")[0][1] == "n") for row in rows)  # le_, se_, ce_: it follows

    done = command("evaluate", model, *options, "--json", env=os.environ)
    figures = json.loads(done.stdout)
    right = {name: figures["by"]["heuristic"][name]["accuracy_by_gold"] for name in HEURISTICS}
    # The paper's finding: a model that answers by the words that sentences share says entailment.
    assert sum(of["entailment"] for of in right.values()) > sum(of["non-entailment"] for of in right.values())
    page = (model / "report.html").read_text(encoding="utf-8")
    assert "Answers: <bdi>HANS-dev</bdi>" in page and "Scores by <bdi>subcase</bdi>" in page
