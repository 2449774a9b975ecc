"""Settings that make no sense are refused, each in one line that names the option."""

import dataclasses
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig


def test_defaults_are_those_of_gluonnlps_script():
    config = FinetuneConfig.of(output_dir="out")
    assert (config.optimizer, config.warmup_ratio, config.weight_decay, config.clip) == ("bertadam", 0.1, 0.01, 1.0)
    assert (config.epochs, config.batch_size, config.max_len, config.dropout) == (3, 32, 128, 0.1)


def test_the_sample_brings_defaults_that_any_option_overrides():
    config = FinetuneConfig.of(sample=True, output_dir="out", epochs=1)
    assert (config.backbone, config.epochs) == ("bert_2_256_4", 1)
    assert config.lr != FinetuneConfig.of(output_dir="out").lr


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": -1}, "--batch-size is -1"),
        ({"lr": 0.0}, "--lr is 0.0"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"lr": 5.0}, "--lr is 5.0"),
        ({"dropout": 1.0}, "--dropout is 1.0"),
        ({"warmup_ratio": 1.0}, "--warmup-ratio is 1.0"),
        ({"clip": -1.0}, "--clip is -1.0"),
        ({"clip": 1e-308}, "--clip is 1e-308; it must be 0, or between"),
        ({"lr": 1e-320}, "--lr is 1e-320"),
        ({"max_seconds": float("inf")}, "--max-seconds is inf"),
        ({"seed": 1 << 31}, "--seed is 2147483648"),
        ({"train_file": "a\0b", "dev_file": "b"}, "--train-file holds a NUL"),
        ({"output_dir": "caf\udce9"}, r"--output-dir is caf\\udce9; MXNet opens only files whose names are UTF-8"),
        ({"max_len": 4}, "--max-len is 4"),
        ({"truncation": "middle"}, "no truncation strategy 'middle'; there are: equal, longest_first"),
        ({"head": "cnn"}, "no head 'cnn'"),
        ({"optimizer": "sgd"}, "--optimizer is 'sgd'"),
        ({"dtype": "float64"}, "--dtype is 'float64'"),
        ({"dtype": "float8"}, "--dtype is 'float8'; it can be float32, bfloat16"),
        ({"sample": True, "train_file": "f"}, "--sample has its own pairs.*omit --train-file"),
        ({"sample": True, "dataset_name": "x"}, "omit --dataset-name"),
        ({"columns": "premise"}, "--columns has 'premise' where NAME=VALUE belongs"),
        ({"labels": "0=maybe"}, "--labels 0=maybe: there is no class 'maybe'"),
        ({"sample": True, "labels": "0=neutral"}, "omit --labels"),
        ({"labels": ""}, "--labels is empty: write names, or omit it"),
        ({"labels": []}, "--labels is empty"),
        ({"columns": " "}, "--columns is empty"),
        ({"classes": "", "labels": "0=yes"}, "--classes is empty"),
        ({"labels": ("a", 1)}, "1 among 'a', 1 is not a name: names are texts, in quotes"),
        ({"cased": True}, "--cased describes the vocabulary"),
        ({"dataset_name": "x", "vocab": "v"}, "omit --vocab"),
        ({"schedule": "cosine"}, "--schedule is 'cosine'"),
        ({"train_file": "f"}, "--train-file and --dev-file go together"),
        ({"corpus_root": "d", "train_file": "f"}, "--train-file and --dev-file go together"),
        ({"corpus_root": "d", "test_file": "f"}, "--test-file goes with --train-file and --dev-file"),
        (
            {"corpus_root": "d", "train_file": "f", "dev_file": "g"},
            "--corpus-root is for corpora, and only files are given: omit it",
        ),
        ({"output_dir": ""}, "--output-dir is missing"),
        ({"learning_rate": 1.0}, "unknown setting learning_rate"),
    ],
)
def test_each_mistake_is_named(options, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        FinetuneConfig.of(**{"output_dir": "out", **options})
    assert "\n" not in str(refused.value)


def test_every_setting_has_a_help_text():
    assert all(field.metadata["help"] for field in dataclasses.fields(FinetuneConfig))


@pytest.mark.parametrize(
    "options",
    [
        {"sample": True},
        {"sample": True, "epochs": 3, "dropout": 0.1, "tensorboard": True},
        {"dataset_name": "x", "train_file": "a b.jsonl", "dev_file": "-d", "lr": 3e-5, "overwrite": True, "clip": 0.0},
    ],
)
def test_the_command_line_of_settings_makes_the_same_settings(options):
    import argparse

    from gluonnlp_snli_plugin.cli.commands import finetune

    config = FinetuneConfig.of(output_dir="out", **options)
    program, command, *words = config.command_line()
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    found = vars(parser.parse_args(words))
    names = {field.name for field in dataclasses.fields(FinetuneConfig)}
    assert (program, command) == ("gluonnlp-snli", "finetune")
    assert FinetuneConfig.of(**{name: value for name, value in found.items() if name in names}) == config


def test_the_command_line_of_a_run_on_ranks_names_them():
    assert FinetuneConfig.of(output_dir="out").command_line(2, "dist_sync")[-4:] == [
        "--np",
        "2",
        "--comm",
        "dist_sync",
    ]


def test_a_path_is_its_text():
    config = FinetuneConfig.of(train_file=Path("a.jsonl"), dev_file="b.jsonl", output_dir=Path("out"))
    assert (config.train_file, config.dev_file, config.output_dir) == (("a.jsonl",), ("b.jsonl",), "out")
