"""A run through XLA is the run that MXNet computes, on any number of devices, and can be resumed by either."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import finetune, pretrain
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.evaluate.predictor import Predictor
from gluonnlp_snli_plugin.train.recovery.checkpoint import Checkpoints
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

pytestmark = pytest.mark.jax
XLA = {"engine": "xla"}


@pytest.fixture(scope="module")
def run(tiny_name, pairs_file, tmp_path_factory):
    """Fine-tunes the tiny BERT, in seven batches an epoch; returns the folder, that of a run with the same settings."""
    done = {}

    def start(**options):
        key = json.dumps(options, sort_keys=True)
        if key not in done:
            folder = tmp_path_factory.mktemp("run") / "out"
            files = {"train_file": str(pairs_file), "dev_file": str(pairs_file), "output_dir": str(folder)}
            settings = {"max_len": 12, "lr": 1e-3, "epochs": 1, "batch_size": 18, "seed": 1, "log_steps": 3}
            finetune(dataset_name=tiny_name, **{**settings, **files, **options})
            done[key] = folder
        return done[key]

    return start


def state_of(folder):
    """All arrays of the newest checkpoint: weights and moments."""
    return Checkpoints(folder / "checkpoints", keep=2).newest().arrays


def assert_near(one, other, tolerance):
    one, other = state_of(one), state_of(other)
    assert set(one) == set(other)
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], atol=tolerance, err_msg=name)


def metrics(folder, kind):
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows if row["kind"] == kind]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="mlp"),
        pytest.param(
            {"accumulate": 3, "head": "pooled", "optimizer": "adam", "weight_decay": 0.0},
            id="pooled, adam, accumulated",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_run_ends_as_mxnets(run, options):
    ours, mxnets = run(dropout=0.0, **XLA, **options), run(dropout=0.0, **options)
    assert_near(ours, mxnets, 2e-5)
    for kind in ("train", "dev"):
        for one, other in zip(metrics(ours, kind), metrics(mxnets, kind)):
            assert one == pytest.approx(other, abs=1e-4)


def test_the_number_of_devices_makes_no_difference(run):
    """Dropout included; four devices have 20 rows of a batch of 18 pairs."""
    assert_near(run(**XLA), run(devices="cpu:0,cpu:1,cpu:2,cpu:3", **XLA), 1e-5)


def test_a_stopped_run_is_resumed_to_the_same_weights(run, tmp_path):
    with pytest.raises(Stopped):
        run(max_seconds=1e-9, output_dir=str(tmp_path / "parts"), **XLA)
    finetune(resume=str(tmp_path / "parts"), max_seconds=0.0)
    parts = state_of(tmp_path / "parts")
    for name, array in state_of(run(**XLA)).items():
        np.testing.assert_array_equal(array, parts[name], err_msg=name)


def test_mxnet_resumes_what_xla_began_where_it_is_told_to(run, tmp_path):
    """And the other way round; the weights are those of a run that XLA alone computes, but for rounding."""
    folder = str(tmp_path / "mixed")
    with pytest.raises(Stopped):
        run(max_seconds=1e-9, output_dir=folder, dropout=0.0, **XLA)
    with pytest.raises(UsageError, match="--engine is mxnet, was xla .--resume-anyway resumes regardless"):
        finetune(resume=folder, engine="mxnet", max_seconds=0.0)
    with pytest.raises(Stopped):
        finetune(resume=folder, engine="mxnet", resume_anyway=True)
    finetune(resume=folder, engine="xla", devices="cpu:0,cpu:1", resume_anyway=True, max_seconds=0.0)
    assert_near(tmp_path / "mixed", run(dropout=0.0, **XLA), 2e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_run_in_another_precision_learns_the_same(run, dtype):
    ours, exact = run(dtype=dtype, dropout=0.0, **XLA), run(dropout=0.0, **XLA)
    for one, other in zip(metrics(ours, "train"), metrics(exact, "train")):
        assert one["loss"] == pytest.approx(other["loss"], abs=0.02)


@pytest.mark.long
def test_pretraining_ends_as_mxnets_on_any_devices_also_if_it_is_stopped(tiny_name, tmp_path):
    corpus = tmp_path / "text.txt"
    lines = [f"the {who} is {what} . two {who} are not {what}" for who in ("man", "dog") for what in ("red", "eating")]
    corpus.write_text("\n\n".join("\n".join(lines[i:] + lines[:i]) for i in range(4)) * 3)
    settings = {"steps": 8, "batch_size": 7, "max_len": 16, "lr": 1e-3, "dropout": 0.0, "log_steps": 4}
    files = {"corpus": [str(corpus)], "dev_corpus": [str(corpus)], "init_from": tiny_name}

    def held_out(name, **options):
        return pretrain(output_dir=str(tmp_path / name), name=f"{name}_uncased", **{**settings, **files, **options})

    found = {"mxnet": held_out("mxnet"), "one": held_out("one", **XLA)}
    with pytest.raises(Stopped):
        held_out("two", devices="cpu:0,cpu:1", max_seconds=1e-9, **XLA)
    found["two"] = pretrain(resume=str(tmp_path / "two"), max_seconds=0.0)
    for name in ("one", "two"):
        assert_near(tmp_path / name, tmp_path / "mxnet", 2e-5)
        for figure in ("mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"):
            assert found[name][figure] == pytest.approx(found["mxnet"][figure], abs=1e-4)


@pytest.mark.parametrize(
    "options, share, words",
    [
        ({"batch_size": 256}, 0.7, "use --batch-size 128 --accumulate 2, or --remat"),
        ({"batch_size": 96, "accumulate": 2}, 0.5, "use --batch-size 32 --accumulate 6, or --remat"),
        ({"batch_size": 32, "remat": True, "gpus": "0"}, None, "use --batch-size 16 --accumulate 2"),
        ({"batch_size": 1}, None, "use a smaller --max-len, or a smaller model, or --remat"),
        ({"batch_size": 32}, 0.0, "use a smaller --max-len, or a smaller model, or --remat"),
    ],
)
def test_where_memory_does_not_suffice_the_batch_that_fits_is_named(options, share, words):
    pytest.importorskip("jax")
    from gluonnlp_snli_plugin.train.engines.xla_engine import advice

    assert advice(FinetuneConfig.of(output_dir="out", **options), share) == words


# Answers --------------------------------------------------------------------------------------------------------------

PAIRS = [("The man is sleeping.", "a man is sleeping"), ("The dog is red.", "not red dog red"), ("A cat is", "two cat")]


@pytest.mark.parametrize("options", [{}, {"contexts": [mx.cpu(0), mx.cpu(1)]}, {"batch_size": 1}], ids=str)
def test_a_predictor_answers_as_mxnet_does(tiny_run, options):
    ours = Predictor.load(tiny_run, engine="xla", **options)
    ours.compile()
    for answer, expected in zip(ours(PAIRS * 3), Predictor.load(tiny_run)(PAIRS * 3)):
        assert answer.label == expected.label
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-4)


def test_a_predictor_through_xla_explains_too(tiny_run):
    ours, mxnets = (Predictor.load(tiny_run, engine=engine).explain(*PAIRS[0]) for engine in ("xla", "mxnet"))
    assert [part.text for part in ours.premise] == [part.text for part in mxnets.premise]
    assert ours.log_odds == pytest.approx(mxnets.log_odds, abs=1e-3)


def test_the_command_line_evaluates_through_xla(tiny_run, pairs_file, capsys):
    figures = []
    for options in (["--engine", "xla", "--devices", "cpu:0,cpu:1"], []):
        assert main(["evaluate", str(tiny_run), "--file", str(pairs_file), "--json", *options]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"dtype": "int8", "engine": "xla"}, "--dtype int8 is for CPU"),
        ({"native": False, "engine": "xla"}, "--no-native is about MXNet's operators"),
        ({"dtype": "float16"}, "--dtype float16 is for GPUs"),
        ({"contexts": [mx.gpu(0)], "engine": "mxnet"}, "omit --engine mxnet"),
    ],
)
def test_what_a_device_does_not_do_is_refused(tiny_run, options, complaint):
    with pytest.raises(UsageError, match=complaint):
        Predictor.load(tiny_run, **options)


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"no_native": True, "engine": "xla"}, "--no-native is about MXNet's operators"),
        ({"dtype": "float16"}, "--dtype float16 is for GPUs"),
        ({"remat": True}, "--remat is for GPUs"),
        ({"gpu_memory": 0.5}, "--gpu-memory is for GPUs"),
        ({"gpu_memory": 2.0, "engine": "xla"}, "it is a share"),
        ({"gpus": "0", "devices": "cpu:0"}, "--gpus and --devices"),
    ],
)
def test_a_run_with_impossible_settings_is_refused(run, options, complaint):
    with pytest.raises(PluginError, match=complaint):
        run(**options)
