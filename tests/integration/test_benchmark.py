"""The benchmark: contenders take turns on the same pairs, and the table goes into a page."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "scripts" / "benchmark"
CHECKOUT = os.environ.get("GLUONNLP_SCRIPTS")
CONTENDERS = ["ours", "gluonnlp", "chapter"]


@pytest.fixture
def benchmark(tiny_bert, pairs_file, tmp_path):
    """Runs a program of the benchmark on the tiny BERT; returns what ``subprocess.run`` returns."""

    def run(program, *arguments, scripts=None):
        command = [sys.executable, BENCHMARK / program, "--checkpoint", tiny_bert, "--threads", 1, "--max-len", 32]
        command += ["--train-file", pairs_file, "--dev-file", pairs_file, "--batch-size", 8]
        environment = {name: value for name, value in os.environ.items() if name != "GLUONNLP_SCRIPTS"}
        if scripts:
            environment["GLUONNLP_SCRIPTS"] = str(scripts)
        return subprocess.run(
            [*map(str, command), *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path, env=environment
        )

    return run


@pytest.fixture
def compare(benchmark, tmp_path):
    """Runs compare.py for two short rounds; returns the measurements, the page and what ``subprocess.run`` returns."""

    def run(contenders, *arguments, **settings):
        short = ["--rounds", 2, "--steps", 2, "--warmup", 1, "--output", tmp_path / "page.md"]
        short += ["--json", tmp_path / "all.json", "--contenders", ",".join(contenders)]
        done = benchmark("compare.py", *short, *arguments, **settings)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "all.json").read_text()), (tmp_path / "page.md").read_text(), done

    return run


def rows_of(page):
    """The table of a page: a dict of heading to text for each row."""
    headings, _, *rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    return [dict(zip(headings, row)) for row in rows]


def check(measured, page, contenders):
    rows = rows_of(page)
    assert len(rows) == len(contenders) == len(measured["answers"])
    for row in rows:
        assert row.pop("contender")
        for heading, text in row.items():
            numbers = [float(number) for number in re.findall(r"[\d.]+", text)]
            assert numbers and all(0 <= number < 1e9 for number in numbers), (heading, text)
        assert float(row["train, pairs/s"].split()[0]) > 0
    assert len({hello["pairs"] for hello in measured["hellos"].values()}) == 1
    for name in contenders:
        assert [turn["train"]["steps"] for turn in measured["answers"][name]] == [2, 2]
        assert {turn["evaluate"]["pairs"] for turn in measured["answers"][name]} == {120}
        assert {turn["encode"]["pairs"] for turn in measured["answers"][name]} == {120}


def tokens_of(measured, name):
    return measured["answers"][name][0]["encode"]["tokens"]


@pytest.mark.slow
def test_contenders_take_turns_on_the_same_pairs(compare, tmp_path):
    (tmp_path / "page.md").write_text(
        "Before.\n<!-- here: begin -->\nold\n<!-- here: end -->\nAfter.\n", encoding="utf-8"
    )
    measured, page, done = compare(CONTENDERS, "--section", "here")
    check(measured, page, CONTENDERS)
    assert tokens_of(measured, "ours") == tokens_of(measured, "gluonnlp")
    assert rows_of(page)[0]["this project trains faster by"] == "1.00"
    assert rows_of(page)[0]["this project evaluates faster by"] == "1.00"
    assert page.startswith("Before.\n<!-- here: begin -->\n")
    assert page.endswith("<!-- here: end -->\nAfter.\n")
    assert "old" not in page
    assert "mxnet 1.9.1" in page
    assert rows_of(done.stdout) == rows_of(page)


@pytest.mark.whole_benchmarks
def test_onnx_runtime_scores_the_dev_pairs_with_the_same_weights(compare):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    contenders = ["ours", "onnx", "onnx-int8"]
    measured, page, _ = compare(contenders)
    check(measured, page, contenders)
    accuracies = {name: [turn["evaluate"]["accuracy"] for turn in measured["answers"][name]] for name in contenders}
    assert accuracies["onnx"] == accuracies["ours"]
    assert accuracies["onnx-int8"] == pytest.approx(accuracies["ours"], abs=0.1)


@pytest.mark.whole_benchmarks
def test_services_are_asked_in_turn_by_each_number_of_clients(tiny_run, pairs_file):
    for package in ("onnxruntime", "onnx", "uvicorn"):
        pytest.importorskip(package)
    command = [sys.executable, BENCHMARK / "serve_load.py", tiny_run, "--file", pairs_file, "--clients", "1,2"]
    command += ["--seconds", 0.3, "--rounds", 1, "--compare"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert [row["clients"] for row in rows] == ["1"] * 4 + ["2"] * 4
    assert len({row["computed by"] for row in rows}) == 4
    assert all(float(row["requests/s"]) > 0 for row in rows)


@pytest.mark.parametrize(
    "more, code, message",
    [
        (["--compare", "--explain"], 2, "error: --explain cannot be combined with --compare"),
        (["--compare"], 1, "^error: .*nowhere"),
    ],
)
def test_what_services_cannot_do_is_said_in_one_line(more, code, message, pairs_file, tmp_path):
    pytest.importorskip("onnx")
    command = [sys.executable, BENCHMARK / "serve_load.py", tmp_path / "nowhere", "--file", pairs_file, *more]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == code and re.search(message, done.stderr) and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.reference
def test_hugging_face_reads_the_same_pairs_and_tokens(compare, reference_python):
    contenders = ["ours", "hugging-face", "hugging-face-bf16", "hugging-face-padded"]
    measured, page, _ = compare(contenders, "--reference-env", reference_python.parents[1])
    check(measured, page, contenders)
    assert {tokens_of(measured, name) for name in contenders} == {tokens_of(measured, "ours")}


@pytest.mark.slow
@pytest.mark.whole_benchmarks
def test_a_contender_that_fails_is_left_out_with_its_last_words(compare, tmp_path):
    script = tmp_path / "scripts" / "bert" / "finetune_classifier.py"
    script.parent.mkdir(parents=True)
    script.write_text("raise RuntimeError('out of luck')\n")
    no_environment = ["--reference-env", tmp_path / "reference", "--reference-python", tmp_path / "nothing"]
    measured, page, done = compare(["gluonnlp", "hugging-face", "ours"], *no_environment, scripts=tmp_path)
    assert list(measured["answers"]) == ["ours"]
    assert re.search("Left out: gluonnlp, gluonnlp failed .*RuntimeError: out of luck", page)
    assert re.search("Left out: hugging-face, .*No such file", page)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.gluonnlp_scripts
def test_the_script_itself_takes_part_where_there_is_a_checkout(compare):
    measured, page, _ = compare(["ours", "gluonnlp"], scripts=CHECKOUT)
    check(measured, page, ["ours", "gluonnlp"])
    assert tokens_of(measured, "ours") == tokens_of(measured, "gluonnlp")


@pytest.mark.slow
@pytest.mark.whole_benchmarks
def test_accuracy_is_that_of_whole_epochs_for_each_seed(benchmark, tmp_path):
    page, runs = tmp_path / "page.md", tmp_path / "runs.json"
    who = ["--contenders", "ours,gluonnlp", "--epochs", 2, "--output", page, "--json", runs]
    for seeds in ("3", "3,4"):
        done = benchmark("accuracy.py", *who, "--seeds", seeds)
        assert done.returncode == 0, done.stderr
    assert "seed 3" not in done.stderr and "ours, seed 4" in done.stderr
    runs = json.loads(runs.read_text())
    assert [(run["contender"], run["seed"], run["pairs"]) for run in runs] == [
        (name, seed, 240) for seed in (3, 4) for name in ("ours", "gluonnlp")
    ]
    first = rows_of(page.read_text())[0]
    assert first["contender"] == "this project"
    assert [float(first["seed 3"]), float(first["seed 4"])] == pytest.approx(
        [run["accuracy"] for run in runs if run["contender"] == "ours"], abs=1e-4
    )
    assert float(first["median"]) == pytest.approx((float(first["seed 3"]) + float(first["seed 4"])) / 2, abs=1e-4)


@pytest.mark.slow
@pytest.mark.whole_benchmarks
def test_growth_is_written_beside_the_comparison(benchmark, tmp_path):
    page = tmp_path / "page.md"
    short = ["--pair-counts", "100,1000", "--lengths", "8,32", "--batch-sizes", "2,16", "--steps", 2, "--output", page]
    done = benchmark("growth.py", *short)
    assert done.returncode == 0, done.stderr
    assert "<!-- growth: begin -->" in page.read_text()
    tables = page.read_text().split("\n\n")[4:-1]
    firsts = [[line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:]] for table in tables]
    assert firsts == [["100", "1,000"], ["8", "32"], ["2", "16"]]


@pytest.mark.slow
@pytest.mark.whole_benchmarks
def test_a_profile_accounts_for_a_whole_step(benchmark, tmp_path):
    page = tmp_path / "page.md"
    done = benchmark("step_profile.py", "--rounds", 1, "--steps", 3, "--warmup", 2, "--output", page)
    assert done.returncode == 0, done.stderr
    shares = [float(row["share"].rstrip("%")) for row in rows_of(page.read_text().split("| product |")[0])]
    assert sum(shares) == pytest.approx(100, abs=1) and all(0 <= share < 100 for share in shares)
    assert not (tmp_path / "profile.json").exists()


def unheaded_rows_of(page):
    """The rows of a table whose first column has no heading, as lists."""
    lines = page.read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if re.match(r"\| \w", line)]


@pytest.mark.slow
@pytest.mark.whole_benchmarks
def test_memory_is_read_all_along_three_long_runs(benchmark, copying_compiler, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", copying_compiler)  # its cache is empty
    page = tmp_path / "page.md"
    short = ["--corpus-pairs", 100, "--corpus-steps", 4, "--steps", 8, "--lines", 40, "--small", "bert_1_16_2"]
    done = benchmark("endurance.py", *short, "--output", page)
    assert done.returncode == 0, done.stderr
    assert "<!-- endurance: begin -->" in page.read_text() and "bert_2_16_2, batches of 8." in page.read_text()
    corpus, steps, lines = unheaded_rows_of(page)
    for (what, memory), name, times in (
        (corpus, "100 pairs encoded, and 4 steps over them", ["at most"]),
        (steps, "8 steps", ["after 2", "after 4", "after 6", "after 8"]),
        (lines, "40 lines on standard input of `predict`, bert_1_16_2", [f"after {n}" for n in (10, 20, 30, 40)]),
    ):
        readings = re.findall(r"(\d+) (at most|after \d+)", memory)
        assert what == name and [when for _, when in readings] == times
        assert all(50 < int(mebibytes) < 5000 for mebibytes, _ in readings)
    assert done.stdout.strip() in page.read_text()


@pytest.mark.slow
def test_what_a_checkpoint_costs_is_a_difference_of_windows(benchmark, tmp_path):
    page = tmp_path / "page.md"
    short = ["--backbone", "bert_2_16_2", "--window", 8, "--windows", 4, "--output", page]
    done = benchmark("checkpoint_cost.py", *short)
    assert done.returncode == 0, done.stderr
    assert "<!-- checkpoint cost: begin -->" in page.read_text() and "bert_2_16_2, batches of 8." in page.read_text()
    rows = dict(unheaded_rows_of(page))
    assert float(rows["8 updates without, seconds"].split()[0]) >= 0
    assert float(rows["8 updates while one is written, seconds"].split()[0]) >= 0
    assert {"a checkpoint, MiB", "the difference, seconds", "of a minute"} < set(rows)


@pytest.mark.parametrize(
    "program, arguments, reason",
    [
        ("compare.py", ["--contenders", "ours,nobody"], "no contender 'nobody'; there are ours, "),
        ("compare.py", ["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        ("compare.py", ["--checkpoint", "nowhere"], "nowhere"),
        ("accuracy.py", ["--epochs", "0"], "--epochs is 0; it must be at least 1"),
        ("accuracy.py", ["--seeds", "x"], "--seeds x is no list of numbers"),
        ("endurance.py", ["--steps", "3"], "--steps is 3; it must be at least 4"),
        ("checkpoint_cost.py", ["--windows", "1"], "--windows is 1; it must be at least 2"),
    ],
)
def test_a_mistake_is_told_in_one_line(program, arguments, reason, pairs_file, monkeypatch, capsys):
    """In this process: MXNet has been imported here."""
    files = ["--checkpoint", ".", "--train-file", str(pairs_file), "--dev-file", str(pairs_file)]
    monkeypatch.setattr(sys, "argv", [program, *files, *arguments])
    monkeypatch.syspath_prepend(BENCHMARK)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARK / program), run_name="__main__")
    assert ended.value.code not in (0, None)
    assert reason in capsys.readouterr().err.splitlines()[-1]
