"""Ranks that are started by hand, as the recipes and the page on ranks say."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.tasks.snli import LABELS

SCRIPT = Path(__file__).parent / "finetune_script.py"
RECIPES = Path(__file__).parents[2] / "scripts" / "distributed"
# Each rank gets its share of the cores where nobody has said how many threads there are.
UNCHOSEN = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def test_machines_that_share_no_disk(write_pairs, tiny_name, tmp_path, port):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 33)
    command = [RECIPES / "parameter_server", "run", "--train-file", pairs, "--dev-file", pairs, SCRIPT]
    command += ["--task_name", "SNLI", "--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--epochs", "2"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MACHINES": "2", "ROOT": "localhost", "PORT": str(port)}
    machines = []
    for name in ("localhost", "other"):
        (tmp_path / name).mkdir()
        variables = {**environment, "LOCAL": name, "FINGERPRINTS": str(tmp_path / name), "OMP_NUM_THREADS": "1"}
        machines.append(subprocess.Popen(list(map(str, command)), cwd=tmp_path / name, env=variables))
    assert [machine.wait(timeout=600) for machine in machines] == [0, 0]
    found = {name: {path.name for path in (tmp_path / name).glob("output/*")} for name in ("localhost", "other")}
    assert sorted(map(len, found.values())) == [0, 3]
    reports = [path.read_text() for path in tmp_path.glob("*/[0-9]*")]
    assert len(reports) == 2 and reports[0] == reports[1]


@pytest.mark.horovod
def test_the_recipe_for_horovod(write_pairs, tiny_name, tmp_path):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 33, LABELS)
    settings = ["--dataset-name", tiny_name, "--train-file", pairs, "--dev-file", pairs, "--max-len", 48, "--epochs", 1]
    done = subprocess.run(
        list(map(str, [RECIPES / "horovod", "finetune", *settings, "--output-dir", tmp_path / "out"])),
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOSTS": "localhost:2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "config.json").read_text())["ranks"] == 2


@pytest.mark.jax
@pytest.mark.long
def test_the_page_on_ranks_says_how_to_start_them_through_jax_and_resume(write_pairs, tiny_name, tmp_path, port):
    page = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text(encoding="utf-8")
    export, *ranks = re.search("```sh\n(export JAX_.*?)```", page, re.DOTALL)[1].splitlines()
    assert len(ranks) == 2 and export.count("alpha:9000") == 1
    export = export.replace("alpha:9000", f"localhost:{port}")
    pairs, out = write_pairs(tmp_path / "pairs.jsonl", 160, LABELS), tmp_path / "out"
    settings = (
        f"--engine xla --dataset-name {tiny_name} --train-file {pairs} --dev-file {pairs} --max-len 24 --epochs 300"
    )
    environment = {**UNCHOSEN, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "JAX_PLATFORMS": "cpu"}

    def start(options):
        commands = [export + "\nexec env " + rank.replace("...", options) for rank in ranks]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
        return [subprocess.Popen(["sh", "-c", command], env=environment, **streams) for command in commands]

    started = start(f"{settings} --output-dir {out} --batch-size 16 --checkpoint-steps 1")
    while not any(rank.poll() for rank in started) and not list(out.glob("checkpoints/*")):
        time.sleep(0.01)
    started[1].send_signal(signal.SIGTERM)
    errors = [rank.communicate(timeout=600)[1] for rank in started]
    assert [rank.returncode for rank in started] == [128 + signal.SIGTERM] * 2, errors
    assert all(re.search("stopped by SIGTERM after update", said) for said in errors)
    update = max(int(path.name.rpartition("-")[2].partition(".")[0]) for path in out.glob("checkpoints/*"))

    resumed = start(f"--resume {out} --max-seconds 1")
    outputs = [rank.communicate(timeout=600) for rank in resumed]
    assert [rank.returncode for rank in resumed] == [75] * 2, outputs
    assert f"resumed after update {update}" in outputs[0][1] and "resumed" not in outputs[1][1]
