"""``finetune`` on two ranks."""

import json
import signal
import subprocess
import sys
import time

import pytest

from gluonnlp_snli_plugin import finetune
from gluonnlp_snli_plugin.tasks.snli import LABELS
from gluonnlp_snli_plugin.train.settings.config import option_name


@pytest.mark.parametrize(
    "backend, number",
    [
        ("dist_sync", signal.SIGTERM),
        pytest.param("horovod", signal.SIGINT, marks=pytest.mark.horovod),
        pytest.param("jax", signal.SIGTERM, marks=[pytest.mark.jax, pytest.mark.long]),
    ],
)
def test_finetune_on_two_ranks_is_finetune_on_one_also_if_it_is_stopped(
    write_pairs, largest_difference, command, tiny_bert, tmp_path, backend, number
):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 159, LABELS)  # of the last batch one rank has a pair more
    settings = {"dropout": 0.0, "epochs": 4, "lr": 1e-3, "max_len": 24, "log_steps": 5, "backbone": "bert_1_16_2"}
    settings.update(
        vocab=str(tiny_bert / "vocab.txt"), train_file=str(pairs), dev_file=str(pairs), test_file=str(pairs)
    )
    engine = "xla" if backend == "jax" else "mxnet"  # whose runs are compared in tests/train/engines
    one = finetune(**settings, batch_size=16, output_dir=str(tmp_path / "one"), engine=engine)
    options = [part for name, value in settings.items() for part in (option_name(name), value)]
    options += ["--batch-size", 8, "--checkpoint-steps", 1, "--np", 2, "--comm", backend]
    options += ["--engine", engine]
    done = command("finetune", *options, "--output-dir", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("dev accuracy") == 4

    stopped = tmp_path / "stopped"
    program = [
        sys.executable,
        "-m",
        "gluonnlp_snli_plugin",
        "finetune",
        *map(str, options),
        "--output-dir",
        str(stopped),
    ]
    launcher = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while launcher.poll() is None and not list(stopped.glob("checkpoints/*")):
        time.sleep(0.01)
    launcher.send_signal(number)
    _, errors = launcher.communicate()
    assert launcher.returncode == 128 + number, errors
    assert f"stopped by {number.name} after update" in errors
    done = command("finetune", "--resume", stopped)
    assert done.returncode == 0, done.stderr

    def outcome(name):
        folder = tmp_path / name
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        metrics = [{key: value for key, value in line.items() if key != "pairs_per_second"} for line in metrics]
        (file,) = (folder / "model").glob("*.params")
        return json.loads((folder / "summary.json").read_text()), metrics, file

    (two, two_metrics, two_weights), (_, stopped_metrics, stopped_weights) = outcome("two"), outcome("stopped")
    assert stopped_metrics == two_metrics and largest_difference(stopped_weights, two_weights) == 0
    _, one_metrics, one_weights = outcome("one")
    assert one["updates"] == two["updates"] == 40
    assert largest_difference(one_weights, two_weights) < 1e-4
    assert one["dev_accuracy"] == pytest.approx(two["dev_accuracy"], abs=0.02)
    assert one["test_accuracy"] == pytest.approx(two["test_accuracy"], abs=0.02)
    assert len(one_metrics) == len(two_metrics)
    for ours, theirs in zip(one_metrics, two_metrics):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
    assert json.loads((tmp_path / "two" / "config.json").read_text())["ranks"] == 2
