"""A script that knows of one process, on several ranks."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.parallel.processes import parents
from gluonnlp_snli_plugin.system import threads

# Each rank gets its share of the cores where nobody has said how many threads there are.
UNCHOSEN = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
SCRIPT = Path(__file__).parent / "finetune_script.py"
OF_ONE_LENGTH = ["--max_len", "10"]  # to which all pairs are cut: for XLA another length is another program

# How ranks communicate; through "xla" they compute too.
THROUGH_MXNET = ["dist_sync", pytest.param("horovod", marks=pytest.mark.horovod)]
BACKENDS = [*THROUGH_MXNET, pytest.param("xla", marks=pytest.mark.jax)]
BACKENDS_IN_LONG_TESTS = [*THROUGH_MXNET, pytest.param("xla", marks=[pytest.mark.jax, pytest.mark.long])]


@pytest.fixture
def hosted(command, tiny_name, tmp_path):
    """Runs the script under ``gluonnlp-snli run``; returns the process that is done and what each rank reports."""

    def run(pairs, *arguments, dev=None, ranks=(), **environment):
        folder = tmp_path / f"reports-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        done = command(
            *["run", *ranks, "--train-file", pairs, "--dev-file", dev or pairs, SCRIPT, "--task_name", "SNLI"],
            *["--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, *arguments],
            cwd=folder,
            env={**UNCHOSEN, "FINGERPRINTS": str(folder), **environment},
        )
        reports = [json.loads(path.read_text()) for path in folder.iterdir() if path.name.isdigit()]
        return done, reports, folder

    return run


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_ranks_train_as_one_with_the_same_global_batches(
    write_pairs, options_of, largest_difference, hosted, tmp_path, backend
):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 320)
    done, (alone,), folder = hosted(pairs, *OF_ONE_LENGTH, "--batch_size", 16, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    together, reports, shared = hosted(pairs, *OF_ONE_LENGTH, "--batch_size", 8, ranks=options_of(backend))
    assert together.returncode == 0, together.stderr
    assert alone["steps"] == 20 and [report["steps"] for report in reports] == [20, 20]
    assert reports[0]["weights"] == reports[1]["weights"]
    assert largest_difference(*(path / "output" / "model_0.params" for path in (folder, shared))) < 1e-4
    assert reports[0]["scores"] == reports[1]["scores"]
    share = max(1, threads.cores() // 2)
    assert [report["threads"] for report in reports] == [str(share)] * 2


@pytest.mark.parametrize("backend", BACKENDS_IN_LONG_TESTS)
def test_unequal_shards_take_the_same_steps_and_rank_0_alone_writes(write_pairs, options_of, hosted, tmp_path, backend):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 101)
    dev = write_pairs(tmp_path / "dev.jsonl", 10)
    arguments = ["--shuffle", "--num_buckets", 4, "--epochs", 6, "--early_stop", 2, "--dropout", 0.1]
    done, reports, folder = hosted(
        pairs, *arguments, "--num_workers", 2, "--accumulate", 2, dev=dev, ranks=options_of(backend, 3)
    )
    assert done.returncode == 0, done.stderr
    assert [report["pairs"] for report in reports] == [34, 34, 34]
    assert len({json.dumps(report) for report in reports}) == 1
    epochs = len(reports[0]["scores"])
    assert {path.name for path in folder.iterdir() if not path.name.isdigit()} == {"log.txt", "output"}
    assert {path.name for path in (folder / "output").iterdir()} == {
        "scores.json",
        *(f"model_{epoch}.params" for epoch in range(epochs)),
    }
    for log in (done.stderr, (folder / "log.txt").read_text()):
        assert log.count("Namespace(") == 1
        assert log.count("dev accuracy") == epochs


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failing_script_shows_its_own_traceback_once(options_of, command, tmp_path, backend):
    script = tmp_path / "script.py"
    script.write_text("def fail():\n    raise ValueError('as it happens')\n\nfail()\n")
    done = command("run", *options_of(backend), script)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "gluonnlp_snli_plugin" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("gluonnlp-snli: error: rank ")


FAILS_ON_RANK_1 = """
import os
import gluonnlp as nlp, mxnet as mx
bert, _ = nlp.model.get_model("bert_2_16_2", dataset_name="tiny_uncased", pretrained=False, use_decoder=False)
ctx = mx.gpu(0) if mx.context.num_gpus() else mx.cpu()
bert.initialize(ctx=ctx)
trainer = mx.gluon.Trainer(bert.collect_params(), "bertadam", {"learning_rate": 0.01}, update_on_kvstore=False)
ids = mx.nd.ones((4, 8), ctx)
for step in range(1000000):
    with mx.autograd.record():
        loss = bert(ids, mx.nd.zeros_like(ids))[-1].mean()
    loss.backward()
    if step == 3 and os.environ["GLUONNLP_SNLI_RANK"] == "1":
        raise ValueError("as it happens")
    trainer.step(1, ignore_stale_grad=True)
"""


@pytest.mark.jax
@pytest.mark.long
def test_a_script_that_fails_on_one_rank_ends_the_run_with_its_traceback(options_of, command, tiny_name, tmp_path):
    (tmp_path / "script.py").write_text(FAILS_ON_RANK_1)
    done = command("run", *options_of("xla"), "script.py", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    *_, error, last = done.stderr.splitlines()
    assert error == "ValueError: as it happens"
    assert last == "gluonnlp-snli: error: rank 1 of 2 failed with exit status 1; the run has been stopped"


# What a user may do to a run ------------------------------------------------------------------------------------------


def processes(marker):
    """Number and environment of each process that carries a marker."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            variables = dict(line.partition("=")[::2] for line in path.read_text(errors="replace").split("\0"))
            if variables.get("MARKER") == marker:
                found[int(path.parent.name)] = variables
    return found


def runs_python(process):
    try:
        return "python" in os.readlink(f"/proc/{process}/exe")
    except OSError:  # it has ended
        return False


@pytest.fixture
def endless(write_pairs, options_of, tiny_name, tmp_path):
    """Starts an endless run on two ranks; yields the launcher, and a function that gives the processes of the run."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", 64)
    started = []

    def start(backend):
        command = [sys.executable, "-m", "gluonnlp_snli_plugin", "run", *options_of(backend)]
        command += ["--train-file", pairs, "--dev-file", pairs, SCRIPT, "--task_name", "SNLI", "--num_workers", "2"]
        command += ["--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--epochs", "100000", *OF_ONE_LENGTH]
        environment = {**os.environ, "MARKER": str(tmp_path), "OMP_NUM_THREADS": "1"}
        launcher = subprocess.Popen(
            list(map(str, command)),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(launcher)
        said = []
        for line in launcher.stderr:
            said.append(line)
            if "epoch 1: dev accuracy" in line:
                return launcher
        raise AssertionError(f"the run ended too early: {''.join(said)}")

    yield start, lambda: processes(str(tmp_path))
    for launcher in started:
        launcher.kill()
        launcher.wait()
        launcher.stderr.close()
    for process in processes(str(tmp_path)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rank_that_dies_ends_the_run(endless, backend):
    start, running = endless
    victim = "1"
    launcher = start(backend)
    name = "HOROVOD_RANK" if backend == "horovod" else "GLUONNLP_SNLI_RANK"
    pythons = {
        process for process, variables in running().items() if variables.get(name) == victim and runs_python(process)
    }
    parent_of = parents()  # what has ended since is not in it
    (rank,) = (
        process for process in pythons & set(parent_of) if parent_of[process] not in pythons
    )  # not a data worker
    os.kill(rank, signal.SIGKILL)
    _, errors = launcher.communicate(timeout=600)
    assert launcher.returncode == 1
    if backend != "horovod":  # whose error in the other rank's script is shown with its traceback
        assert "Traceback" not in errors
    said = re.fullmatch(
        "gluonnlp-snli: error: rank (.) of 2 (was killed by signal 9 .SIGKILL.|died); the run has been stopped",
        errors.splitlines()[-1],
    )
    assert said and said[1] == victim
    assert not running()


@pytest.mark.parametrize("backend", BACKENDS_IN_LONG_TESTS)
def test_ctrl_c_ends_all_ranks(endless, backend):
    start, running = endless
    launcher = start(backend)
    launcher.send_signal(signal.SIGINT)
    _, errors = launcher.communicate(timeout=600)
    assert launcher.returncode == 130
    assert "gluonnlp-snli: interrupted" in errors.splitlines()
    assert not running()
