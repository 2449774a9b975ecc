"""Several ranks: a script that knows of one process, a script that communicates by itself, and ``finetune``."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import finetune
from gluonnlp_snli_plugin.system import threads
from gluonnlp_snli_plugin.tasks.snli import LABELS
from gluonnlp_snli_plugin.train.settings.config import option_name

# Each rank gets its share of the cores where nobody has said how many threads there are.
UNCHOSEN = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
SCRIPT = Path(__file__).parent / "finetune_script.py"
WORDS = "a the man woman dog cat is are not sleeping awake running eating outside inside two three red blue".split()

# How ranks communicate; through "xla" they compute too.
THROUGH_MXNET = ["dist_sync", pytest.param("horovod", marks=pytest.mark.horovod)]
BACKENDS = [*THROUGH_MXNET, pytest.param("xla", marks=pytest.mark.jax)]
BACKENDS_IN_LONG_TESTS = [*THROUGH_MXNET, pytest.param("xla", marks=[pytest.mark.jax, pytest.mark.long])]


def options_of(backend, num_ranks=2):
    """The options of a run on several ranks."""
    through = ["--engine", "xla", "--devices", "cpu:0"] if backend == "xla" else ["--comm", backend]
    return ["--np", str(num_ranks), *through]


def write_pairs(path, number, labels=("entailment", "neutral")):
    """Pairs of which each is a letter longer than the one before, so that everybody sorts them in the same way."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(number):
        words = " ".join(random.choice(WORDS, 8))
        text = (words + " outside" * number)[: 20 + i]
        rows.append({"sentence1": text, "sentence2": "a man is awake", "gold_label": labels[i % len(labels)]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


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


def weights(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(np.abs(one[name] - other[name]).max() for name in one)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_ranks_train_as_one_with_the_same_global_batches(hosted, tmp_path, backend):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 320)
    done, (alone,), folder = hosted(pairs, "--batch_size", 16, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    together, reports, shared = hosted(pairs, "--batch_size", 8, ranks=options_of(backend))
    assert together.returncode == 0, together.stderr
    assert alone["steps"] == 20 and [report["steps"] for report in reports] == [20, 20]
    assert reports[0]["weights"] == reports[1]["weights"]
    one, two = (weights(path / "output" / "model_0.params") for path in (folder, shared))
    assert largest_difference(one, two) < 1e-4
    assert reports[0]["scores"] == reports[1]["scores"]
    share = max(1, threads.cores() // 2)
    assert [report["threads"] for report in reports] == [str(share)] * 2


@pytest.mark.parametrize("backend", BACKENDS_IN_LONG_TESTS)
def test_unequal_shards_take_the_same_steps_and_rank_0_alone_writes(hosted, tmp_path, backend):
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
def test_a_failing_script_shows_its_own_traceback_once(command, tmp_path, backend):
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
def test_a_script_that_fails_on_one_rank_ends_the_run_with_its_traceback(command, tiny_name, tmp_path):
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


@pytest.fixture
def endless(tiny_name, tmp_path):
    """Starts an endless run on two ranks; yields the launcher, and a function that gives the processes of the run."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", 64)
    started = []

    def start(backend):
        command = [sys.executable, "-m", "gluonnlp_snli_plugin", "run", *options_of(backend)]
        command += ["--train-file", pairs, "--dev-file", pairs, SCRIPT, "--task_name", "SNLI", "--num_workers", "2"]
        command += ["--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--epochs", "100000"]
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
    # The rank itself is the first of its processes that runs Python; its data workers come after it.
    pythons = [
        process
        for process, variables in sorted(running().items())
        if variables.get(name) == victim and "python" in os.readlink(f"/proc/{process}/exe")
    ]
    os.kill(pythons[0], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=30)  # as docs/distributed.md says
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


RECIPES = Path(__file__).parents[2] / "scripts" / "distributed"


def test_machines_that_share_no_disk(tiny_name, tmp_path):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 33)
    command = [RECIPES / "parameter_server", "run", "--train-file", pairs, "--dev-file", pairs, SCRIPT]
    command += ["--task_name", "SNLI", "--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--epochs", "2"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
def test_the_recipe_for_horovod(tiny_name, tmp_path):
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
def test_the_page_on_ranks_says_how_to_start_them_through_jax_and_resume(tiny_name, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text(encoding="utf-8")
    export, *ranks = re.search("```sh\n(export JAX_.*?)```", page, re.DOTALL)[1].splitlines()
    assert len(ranks) == 2 and export.count("alpha:9000") == 1
    with socket.create_server(("127.0.0.1", 0)) as probe:
        export = export.replace("alpha:9000", f"localhost:{probe.getsockname()[1]}")
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


# Scripts that communicate by themselves -------------------------------------------------------------------------------

PARAMETER_SERVER = """
import os, sys
import mxnet as mx
store = mx.kv.create("dist_sync_device")
print("rank", store.rank, "of", store.num_workers, file=sys.stderr)
net = mx.gluon.nn.Dense(1, in_units=1, use_bias=False)
net.initialize(mx.init.One(), ctx=mx.cpu())
trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1.0}, update_on_kvstore=False)
with mx.autograd.record():
    loss = net(mx.nd.array([[store.rank + 1.0]])).sum()
loss.backward()
trainer.step(1)
print("weight", float(net.weight.data().asscalar()), file=sys.stderr)
with open("seen-%d" % store.rank, "w") as file:
    file.write(str(float(net.weight.data().asscalar())))
"""
GRADIENTS = """
import os, sys
import gluonnlp as nlp, mxnet as mx, numpy as np
from gluonnlp_snli_plugin.parallel.connection import Connection

ctx, makes_store, sent, send = (mx.cpu(), mx.gpu(0))[sys.argv[1] == "gpu"], sys.argv[2] == "store", [], Connection.send
Connection.send = lambda self, kind, content=b"", *rest, **options: (
    sent.append(len(content)), send(self, kind, content, *rest, **options)
)
rank = int(os.environ["GLUONNLP_SNLI_RANK"])
if makes_store:
    store = mx.kv.create("dist_sync_device")
    assert (store.rank, store.num_workers) == (rank, 2)
np.random.seed(rank)
mx.random.seed(7 * rank)
settings = {"use_decoder": False, "use_classifier": False, "dropout": 0.0, "pretrained": False, "ctx": ctx}
bert, _ = nlp.model.get_model("bert_2_16_2", dataset_name="tiny_uncased", **settings)
net = nlp.model.BERTClassifier(bert, num_classes=3, dropout=0.0)
net.initialize(mx.init.Normal(0.1), ctx=ctx, force_reinit=True)
trainer = mx.gluon.Trainer(net.collect_params(), "bertadam", {"learning_rate": 0.01}, update_on_kvstore=False)
values = lambda arrays: np.concatenate([array.asnumpy().ravel() for array in arrays])
weights = lambda: values(p.data() for p in trainer._params)
report = {}
loss_function = mx.gluon.loss.SoftmaxCELoss()
for step in range(2):
    ids, label = mx.nd.array(np.random.randint(5, 30, (4, 12)), ctx), mx.nd.array(np.random.randint(0, 3, 4), ctx)
    with mx.autograd.record():
        loss = loss_function(net(ids, mx.nd.zeros_like(ids), mx.nd.full(4, 12, ctx)), label).mean()
    loss.backward()
    report.setdefault("first", weights())
    gradients = [p.grad() for p in trainer._params]
    report["own"] = values(gradients)
    sent.clear()
    before = vars(sys.modules["gluonnlp_snli_plugin.xla.gluon.arrays"].TRANSFERS).copy() if ctx != mx.cpu() else None
    trainer.allreduce_grads()
    if before:
        assert vars(sys.modules["gluonnlp_snli_plugin.xla.gluon.arrays"].TRANSFERS) == before
    report["sent"] = sum(sent)
    report["reduced"] = values(gradients)
    trainer.update(1)
report["last"] = weights()
np.savez(os.path.join(os.environ["REPORTS"], str(rank)), **report)
"""
HOROVOD = """
import mxnet as mx
import horovod.mxnet as hvd
hvd.init()
net = mx.gluon.nn.Dense(1, in_units=1, use_bias=False)
net.initialize(mx.init.One(), ctx=[mx.gpu(hvd.local_rank())])
trainer = hvd.DistributedTrainer(net.collect_params(), "sgd", {"learning_rate": 1.0})
with mx.autograd.record():
    loss = net(mx.nd.array([[hvd.rank() + 1.0]], ctx=mx.gpu(hvd.local_rank()))).sum()
loss.backward()
trainer.step(1)
with open("seen-%d" % hvd.rank(), "w") as file:
    file.write(str(float(net.weight.data().asscalar())))
"""


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this is about machines without a GPU")
@pytest.mark.parametrize(
    "backend, source, gradient",
    [("dist_sync", PARAMETER_SERVER, 3.0), pytest.param("horovod", HOROVOD, 1.5, marks=pytest.mark.horovod)],
)
def test_a_script_that_communicates_by_itself_is_left_to_do_so(command, tmp_path, backend, source, gradient):
    (tmp_path / "script.py").write_text(source)
    done = command("run", "--np", 2, "--comm", backend, "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"seen-{rank}").read_text() for rank in (0, 1)] == [str(1 - gradient)] * 2


@pytest.mark.jax
@pytest.mark.parametrize("where", ["cpu", "gpu"])
@pytest.mark.parametrize("asks, reduce", [("nothing", np.mean), ("store", np.sum)])
def test_through_jax_gradients_are_averaged_or_added_up_as_a_store_does(
    command, tiny_name, tmp_path, where, asks, reduce
):
    (tmp_path / "script.py").write_text(GRADIENTS)
    ranks = options_of("xla" if where == "gpu" else "jax")
    done = command(
        *["run", *ranks, "script.py", where, asks], cwd=tmp_path, env={**os.environ, "REPORTS": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    reports = [dict(np.load(tmp_path / f"{rank}.npz")) for rank in (0, 1)]
    for name in ("first", "reduced", "last"):
        assert (reports[0][name] == reports[1][name]).all()
    own = [report["own"] for report in reports]
    assert np.abs(own[0] - own[1]).max() > 1e-3
    np.testing.assert_allclose(reports[0]["reduced"], reduce(own, axis=0), atol=1e-6)
    # Between devices, gradients do not take the way through the host.
    assert [report["sent"] > 0 for report in reports] == [where == "cpu"] * 2


# finetune -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backend, number",
    [
        ("dist_sync", signal.SIGTERM),
        pytest.param("horovod", signal.SIGINT, marks=pytest.mark.horovod),
        pytest.param("jax", signal.SIGTERM, marks=[pytest.mark.jax, pytest.mark.long]),
    ],
)
def test_finetune_on_two_ranks_is_finetune_on_one_also_if_it_is_stopped(command, tiny_bert, tmp_path, backend, number):
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
        return json.loads((folder / "summary.json").read_text()), metrics, weights(file)

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
