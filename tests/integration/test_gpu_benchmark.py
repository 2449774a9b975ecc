"""The GPU benchmark as a whole, at its tiny size, on CPU devices."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "scripts" / "benchmark" / "gpu.py"


def tiny(folder, *options):
    """The figures of a tiny run, what it printed, and its exit status."""
    command = [sys.executable, str(BENCHMARK), "--tiny", "--json", str(folder / "all.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert (folder / "all.json").exists(), done.stderr
    return {**json.loads((folder / "all.json").read_text()), "text": done.stdout, "status": done.returncode}


@pytest.mark.slow
@pytest.mark.jax
@pytest.mark.whole_benchmarks
def test_what_is_computed_through_xla_is_checked_first(tmp_path):
    found = tiny(tmp_path, "--parts", "checks")
    what_is_computed_through_xla_is_what_mxnet_computes_and_can_be_repeated(found)


@pytest.mark.slow
@pytest.mark.jax
@pytest.mark.whole_benchmarks
def test_all_parts_are_measured_on_one_page(tmp_path):
    found = tiny(tmp_path)
    what_is_computed_through_xla_is_what_mxnet_computes_and_can_be_repeated(found)
    the_speed_of_this_project_is_measured(found)
    the_speed_of_a_script_is_measured_and_where_its_time_goes(found)
    whole_runs_and_variants_are_measured(found)
    trainer_is_measured_too_or_said_not_to_be_installed(found)
    one_page_has_them_all_and_says_that_nothing_was_measured(found)


def what_is_computed_through_xla_is_what_mxnet_computes_and_can_be_repeated(found):
    assert [(row["check"], row["result"], row["reason"]) for row in found["checks"]] == [
        *(
            (f"{what} in {dtype} against MXNet in float32", "passed", "")
            for dtype in ("float32", "tfloat32", "bfloat16")
            for what in ("logits", "gradients")
        ),
        ("logits of the script in float32 against MXNet", "passed", ""),
        ("parameters after 6 updates of the script in float32 against MXNet", "passed", ""),
        ("two runs give the same weights", "passed", ""),
        ("a run that is stopped and resumed gives the same weights", "passed", ""),
    ]
    assert all(0 < found["checks"][number]["difference"] < 1e-5 for number in (0, 6, 7))
    assert found["status"] == 0


def the_speed_of_this_project_is_measured(found):
    ours = [row for row in found["speed"] if row["program"].startswith("this project")]
    assert [(row["net"], row["batch_size"], row["program"]) for row in ours] == [
        ("MiniLM", 4, "this project, bfloat16"),
        ("MiniLM", 4, "this project, float32"),
        ("BERT-base", 8, "this project, bfloat16"),
    ]
    for row in ours:
        assert not row.get("reason"), row
        assert row["train"] > 0 and row["evaluate"] > 0


def the_speed_of_a_script_is_measured_and_where_its_time_goes(found):
    rows = [row for row in found["scripts"] if "Trainer" not in row["program"]]
    name = "GluonNLP's finetune_classifier.py" if os.environ.get("GLUONNLP_SCRIPTS") else "a script like GluonNLP's"
    assert [(row["net"], row["program"]) for row in rows] == [
        (net, f"{name}, {dtype}") for net in ("MiniLM", "BERT-base") for dtype in ("float32", "bfloat16")
    ]
    for row in rows:
        assert not row["reason"], row
        parts = [row[part] for part in ("loader", "forward", "loss", "backward", "clipping", "update", "rest")]
        assert min(parts) > 0
        assert sum(parts) == pytest.approx(row["whole"])
        assert row["train"] == pytest.approx(1000 * 4 / row["whole"], rel=0.5)  # some batches are not full


def whole_runs_and_variants_are_measured(found):
    runs = [row for row in found["runs"] if row["run"].startswith("this project")]
    for row in [*runs, *found["variants"]]:
        assert not row.get("reason"), row
    assert all(row["train"] > 0 and row["evaluate"] > 0 for row in found["variants"])
    cold, warm = runs
    assert cold["seconds"] > cold["seconds_to_first_update"] > 0
    assert warm["compile_seconds"] < cold["compile_seconds"]
    assert [row["variant"] for row in found["variants"]][-1] == "two devices"


def trainer_is_measured_too_or_said_not_to_be_installed(found):
    is_there = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "accelerate"))
    rows = [row for part in ("speed", "scripts", "runs") for row in found[part]]
    rows = [row for row in rows if "Trainer" in row.get("program", row.get("run"))]
    assert len(rows) == 7
    for row in rows:
        assert bool(row.get("reason")) != is_there
        assert is_there or "not installed" in row["reason"]
    assert ("not installed" in found["text"].partition("| check |")[2]) != is_there


def one_page_has_them_all_and_says_that_nothing_was_measured(found):
    assert found["text"].startswith("No GPU: a tiny run, which measures nothing; ")
    headings = {"checks": "| check |", "speed": "| BERT | batch | program |", "scripts": "| an update of | ms |"}
    headings.update(runs="| run | from start to end, s |", variants="| variant |", seconds="The parts took: `checks` ")
    assert [part for part, heading in headings.items() if heading in found["text"]] == list(headings)
