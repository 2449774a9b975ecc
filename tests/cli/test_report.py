"""The commands that show what a run has come to."""

import json
import os
import re
import shutil

import pytest

from gluonnlp_snli_plugin import evaluate, finetune, write_report
from gluonnlp_snli_plugin.cli import main


@pytest.fixture(autouse=True)
def _empty_figures():
    """Figures are drawn here."""


@pytest.fixture(scope="module")
def runs(tiny_name, pairs_file, tmp_path_factory):
    """Two runs with test pairs, of different seeds."""
    folders = [tmp_path_factory.mktemp("runs") / name for name in ("one", "two")]
    files = dict.fromkeys(("train_file", "dev_file", "test_file"), str(pairs_file))
    for seed, folder in enumerate(folders):
        finetune(
            dataset_name=tiny_name,
            output_dir=str(folder),
            max_len=14,
            lr=3e-3,
            epochs=2,
            batch_size=16,
            seed=seed,
            **files,
        )
    return folders


@pytest.fixture
def out(runs, tmp_path):
    """A run of its own to write to."""
    shutil.copytree(str(runs[0]), str(tmp_path / "out"))
    return tmp_path / "out"


def table(text):
    return [re.split("  +", line.strip()) for line in text.splitlines()]


def test_finetune_leaves_answers_and_a_page(runs, pairs_file):
    gold = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    for folder in runs:
        summary = json.loads((folder / "summary.json").read_text())
        for name in ("dev", "test"):
            answers = [json.loads(line) for line in (folder / "predictions" / f"{name}.jsonl").read_text().splitlines()]
            assert [(a["sentence1"], a["gold_label"]) for a in answers] == [
                (g["sentence1"], g["gold_label"]) for g in gold
            ]
            hits = sum(answer["label"] == answer["gold_label"] for answer in answers)
            assert hits / 120 == pytest.approx(summary[f"{name}_accuracy"])
            assert (
                sum(answer["truncated"] for answer in answers) == sum(answer["tokens"] > 14 for answer in answers) > 0
            )
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "Answers: <bdi>dev</bdi>" in page and "Answers: <bdi>test</bdi>" in page
        assert f"{summary['dev_accuracy']:.4f}" in page and "gluonnlp-snli finetune" in page


def test_evaluate_adds_its_answers_to_the_page(out, pairs_file, capsys, tmp_path):
    others = tmp_path / "others.tsv"
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()][:50]
    names = ["index", "sentence1", "sentence2", "label1", "gold_label"]
    lines = [["0", row["sentence1"], row["sentence2"], row["gold_label"], row["gold_label"]] for row in rows]
    others.write_text("\n".join(map("\t".join, [names, *lines])))
    assert main(["evaluate", str(out), "--file", str(others)]) == 0
    printed = capsys.readouterr().out
    assert "(50 pairs)" in printed and "precision" in printed
    assert len((out / "predictions" / "others.jsonl").read_text().splitlines()) == 50
    assert "Answers: <bdi>others</bdi>" in (out / "report.html").read_text(encoding="utf-8")


def test_several_files_make_one_table(out, pairs_file, capsys, tmp_path):
    some = tmp_path / "some.jsonl"
    some.write_text("".join(pairs_file.read_text().splitlines(True)[:40]))
    arguments = [
        "evaluate",
        str(out),
        "--file",
        str(pairs_file),
        "--file",
        str(some),
        "--predictions",
        str(tmp_path / "p"),
    ]
    assert main(arguments) == 0
    heading, first, second, all_pairs, _, [notes] = table(capsys.readouterr().out)
    assert heading[:2] == ["pairs", "accuracy"] and heading[-1] == "truncated"
    accuracies = [evaluate(out, file).accuracy for file in (pairs_file, some)]
    assert first[:3] == [str(pairs_file), "120", f"{accuracies[0]:.4f}"]
    assert second[:3] == [str(some), "40", f"{accuracies[1]:.4f}"]
    assert notes == f"{all_pairs[-1]} pairs truncated"
    assert all_pairs[:3] == ["all", "160", f"{(120 * accuracies[0] + 40 * accuracies[1]) / 160:.4f}"]
    answers = [json.loads(line) for line in (tmp_path / "p").read_text().splitlines()]
    assert len(answers) == 160 and set(answers[0]["probabilities"]) == {"entailment", "contradiction", "neutral"}
    assert main([*arguments[:-2], "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [one["accuracy"] for one in figures["files"]] == accuracies and figures["all"]["pairs"] == 160


def test_several_models_are_averaged_and_leave_their_folders_alone(runs, pairs_file, capsys):
    before = [sorted(path for path in folder.rglob("*")) for folder in runs]
    models = [str(folder) for folder in runs]
    assert main(["evaluate", *models, "--file", str(pairs_file)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"accuracy {evaluate(models, pairs_file).accuracy:.4f} (120 pairs)")
    for model in models:
        assert f"accuracy {evaluate(model, pairs_file).accuracy:.4f} of {model} alone" in printed
    assert main(["evaluate", *models, "--file", str(pairs_file), str(pairs_file)]) == 0
    assert [row[0] for row in table(capsys.readouterr().out)[1:4]] == [str(pairs_file), *(f"{m} alone" for m in models)]
    assert main(["evaluate", *models, "--json", "--file", str(pairs_file)]) == 0
    assert [one["model"] for one in json.loads(capsys.readouterr().out)["models"]] == models
    assert before == [sorted(path for path in folder.rglob("*")) for folder in runs]


def test_an_evaluation_is_printed_where_nothing_can_be_kept(out, pairs_file, capsys):
    shutil.rmtree(str(out / "predictions"))
    (out / "predictions").write_text("in the way")
    assert main(["evaluate", str(out), "--file", str(pairs_file)]) == 0
    printed = capsys.readouterr()
    assert "(120 pairs)" in printed.out
    cut, said = printed.err.splitlines()
    assert cut.endswith("are cut") and (said.startswith("no report: cannot write to") or "predictions" in said)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_cannot_be_written_is_one_line(out, pairs_file, capsys):
    for folder in (out, out / "predictions"):
        folder.chmod(0o555)
    assert main(["evaluate", str(out), "--file", str(pairs_file)]) == 0
    printed = capsys.readouterr()
    assert "(120 pairs)" in printed.out and printed.err.count("\n") == 1 and "Permission denied" in printed.err


def test_a_model_folder_alone_stays_as_it_is(out, pairs_file, capsys, tmp_path):
    (out / "model").rename(tmp_path / "moved")
    before = sorted(path.name for path in (tmp_path / "moved").iterdir())
    assert main(["evaluate", str(tmp_path / "moved"), "--file", str(pairs_file)]) == 0
    assert before == sorted(path.name for path in (tmp_path / "moved").iterdir())


def test_report_makes_the_page_again_or_somewhere_else(out, capsys, tmp_path):
    page = write_report(out).read_bytes()
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/report.html\n" and (out / "report.html").read_bytes() == page
    assert main(["report", str(out), "--to", str(tmp_path / "x.html")]) == 0
    assert (tmp_path / "x.html").read_bytes() == page


def test_report_compares_runs(runs, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *map(str, runs)]) == 0
    assert capsys.readouterr().out == "comparison.html\n"
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "2 runs compared" in page and "Settings that differ" in page
    assert write_report(runs, tmp_path / "python.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("arguments", [["nowhere"], ["nowhere", "--to", "x"]])
def test_a_folder_without_a_run_is_one_line(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    line = capsys.readouterr().err
    assert line == "gluonnlp-snli: error: nowhere holds no run: give the output folder of gluonnlp-snli finetune\n"


def test_a_report_that_fails_costs_no_model(tiny_name, pairs_file, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("gluonnlp_snli_plugin.report.page.replacing", _refuse)
    files = dict.fromkeys(("train_file", "dev_file"), str(pairs_file))
    summary = finetune(dataset_name=tiny_name, output_dir=str(tmp_path / "out"), max_len=32, epochs=1, **files)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert "no report: cannot write to" in caplog.text
    assert evaluate(tmp_path / "out", pairs_file).accuracy == summary["dev_accuracy"]


def _refuse(path):
    raise OSError(28, "No space left on device", str(path))
