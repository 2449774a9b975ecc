"""Every option of every command: a status, and where it is not 0 one line on standard error."""

import argparse
import os

import gluonnlp as nlp
import mxnet as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.cli import COMMANDS, main
from gluonnlp_snli_plugin.formats.model_folder import Model, save_model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

UNCASED = TokenizerSettings.gluonnlp(lower=True)

# What makes a command long or wide; only such values as cannot be meant.
RANKS = ["0", "-1", "x", "", "1e3", "9" * 5000, "1"]
NOT_RANDOM = {"help", "sample", "np"}
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")


def options_of(name):
    parser = argparse.ArgumentParser(add_help=False)
    COMMANDS[name].add_arguments(parser)
    return [action for action in parser._actions if action.dest not in NOT_RANDOM]


@pytest.fixture(scope="module")
def model(tiny_name, tmp_path_factory):
    """A folder of a model with random weights."""
    mx.random.seed(0)
    net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    hparams = {**nlp.model.bert.bert_hparams["bert_2_16_2"], "hidden_size": 32, "max_length": 64}
    folder = tmp_path_factory.mktemp("commands") / "model"
    save_model(
        Model(
            net,
            vocab,
            ModelSettings("bert_2_16_2", hparams, "mlp", 256, 0.1, UNCASED, 32, "ratio"),
        ),
        folder,
    )
    return folder


@pytest.fixture
def status_of(capsys, monkeypatch, tmp_path):
    """Runs a command line that cannot do much: its current folder is empty, and so is its standard input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SNLI_URL", "http://127.0.0.1:9/snli.zip")
    monkeypatch.setattr("gluonnlp_snli_plugin.tasks.download.RETRY_DELAYS", ())

    def run(arguments):
        with open(os.devnull) as nothing, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", nothing)
            status = main(arguments)
        said = capsys.readouterr()
        if status:
            (line,) = [line for line in said.err.split("\n")[:-1] if line.startswith("gluonnlp-snli: ")]
            assert line.isprintable() and line.startswith("gluonnlp-snli: error: ")
            assert said.err.splitlines()[-1] == line and said.err.count("\n") == 1, said.err
        return status, said

    return run


def drawn(data, damage, name, known):
    """Random options of a command, and what it cannot do without."""
    arguments = []
    for action in data.draw(st.lists(st.sampled_from(options_of(name)), max_size=3)):
        values = [*known.get(action.dest, []), *map(str, action.choices or []), "1", "0", "-1", "1e999", "nan", "a,b"]
        value = data.draw(st.one_of(damage.text(), st.sampled_from(values)))
        if not action.option_strings:
            arguments.append(value)
        elif action.nargs == 0:
            arguments.append(action.option_strings[0])
        else:
            arguments.append(f"{action.option_strings[0]}={value}")
    if name in ("finetune", "run") and data.draw(st.integers(0, 5)) == 0:
        arguments.append(f"--np={data.draw(st.sampled_from(RANKS))}")
    # Neither the help nor the version: these end as in any other program.
    return [argument for argument in arguments if not argument.startswith(("-h", "--h", "--v")) or "=" in argument]


@settings.get_profile("fuzz")
@given(data=st.data())
def test_finetune(data, damage, status_of, tiny_name):
    known = {"dataset_name": [tiny_name], "backbone": ["bert_2_16_2", "bert_2_16_4", "bert_9999_999999_3"]}
    known.update(devices=["cpu", "cpu:1", "cpu:0,cpu:0", "cpu:" + "9" * 30], gpus=["0", "0,1", "9" * 5000])
    given = [f"--dataset-name={tiny_name}", "--output-dir=out"][: data.draw(st.integers(0, 2))]
    # There are no such pairs, so no run begins.
    arguments = [*given, *drawn(data, damage, "finetune", known), "--train-file=none.jsonl", "--dev-file=none.jsonl"]
    assert status_of(["finetune", *arguments])[0] in (1, 2)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_evaluate(data, damage, status_of, model, pairs_file):
    known = {"model": [str(model), str(model / "config.json")], "file": [str(pairs_file), str(model)]}
    known.update(devices=["cpu", "cpu:1", "cpu:0,cpu:1", "gpu:0"], dataset_name=["tiny_uncased"])
    given = [str(model), f"--file={pairs_file}"][: data.draw(st.integers(0, 2))]
    assert status_of(["evaluate", *given, *drawn(data, damage, "evaluate", known)])[0] in (0, 1, 2)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_predict(data, damage, status_of, model, pairs_file):
    known = {"model": [str(model)], "file": ["-", str(pairs_file)], "premise": ["a dog"], "hypothesis": ["a dog"]}
    known.update(devices=["cpu", "cpu:1", "cpu:0,cpu:1", "gpu:0"], dataset_name=["tiny_uncased"])
    given = [str(model), "--premise=a dog", "--hypothesis=a"][: data.draw(st.sampled_from([0, 1, 3, 3]))]
    assert status_of(["predict", *given, *drawn(data, damage, "predict", known)])[0] in (0, 1, 2)


@pytest.fixture
def own_store(monkeypatch, tmp_path):
    """The default store, for tests that may fill it with whatever they draw."""
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))


@settings.get_profile("fuzz")
@given(data=st.data())
def test_import_bert(data, damage, status_of, tiny_bert, model, own_store):
    sources = [str(tiny_bert), str(model), str(next(model.glob("*.params"))), "x.params", "bert-base-uncased"]
    known = {"source": sources, "name": ["a_cased", "b_uncased"], "backbone": ["bert_2_16_2"], "vocab": ["a"]}
    known["root"] = ["~nobody-of-that-name/x", "/proc/nowhere", "/dev/null", "root"]
    given = [str(tiny_bert), "--name=a_uncased", "--root=here"][: data.draw(st.integers(0, 3))]
    assert status_of(["import-bert", *given, *drawn(data, damage, "import-bert", known)])[0] in (0, 1, 2)


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_export(data, damage, status_of, model, pairs_file):
    known = {"model": [str(model)], "file": [str(pairs_file), str(model)], "dataset_name": ["tiny_uncased"]}
    known["to"] = ["here", str(model), "/proc/nowhere", "/dev/null", "/dev/null/x"]
    given = [str(model), "--format=gluonnlp", "--to=out"][: data.draw(st.integers(0, 3))]
    assert status_of(["export", *given, *drawn(data, damage, "export", known)])[0] in (0, 1, 2)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_run(data, damage, status_of):
    script = data.draw(st.one_of(damage.text(), st.sampled_from(["/dev/null/x", "/", "a.py"])))
    script = "missing.py" if script.startswith("-") else script
    assert status_of(["run", *drawn(data, damage, "run", {"gpus": ["0", "0,1"]}), script])[0] in (1, 2)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_list_and_what_is_no_command(data, damage, status_of):
    kind = data.draw(st.one_of(damage.text(), st.sampled_from(["tasks", "weights", "models"])))
    status_of(["list", kind] if data.draw(st.booleans()) else [kind, "list"])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_option_with_nasty_texts(status_of, damage, command, tiny_name, model):
    """A quarter of the texts, another for the next option; with FUZZ_EXAMPLES in the environment, all of them."""
    base = {
        "finetune": [f"--dataset-name={tiny_name}", "--output-dir=out"],
        "evaluate": [str(model), "--file=none.jsonl"],
        "predict": [str(model), "--premise=a", "--hypothesis=b"],
        "import-bert": ["nowhere", "--name=a_uncased"],
        "export": [str(model), "--format=gluonnlp", "--to=out", "--overwrite"],
        "pretrain": ["--name=a_uncased", "--vocab=none.txt", "--steps=1"],
        "train-vocab": ["--name=a_uncased"],
    }.get(command, [])
    ends = {"finetune": ["--train-file=none.jsonl", "--dev-file=none.jsonl"], "run": ["none.py"]}
    end = {**ends, "pretrain": ["--corpus=none"], "train-vocab": ["--corpus=none"]}.get(command, [])
    texts = [*damage.nasty.values(), "a" * 5000]
    for number, action in enumerate(options_of(command)):
        if action.nargs == 0 or not action.option_strings:
            continue
        for text in texts if EXAMPLES else texts[number % 4 :: 4]:
            status_of([command, *base, f"{action.option_strings[0]}={text}", *end])


def test_every_nasty_sentence_gets_an_answer_or_one_line(status_of, damage, model):
    for text in damage.nasty.values():
        status, said = status_of(["predict", str(model), f"--premise={text}", "--hypothesis=a dog"])
        assert status == 2 or (status == 0 and said.out.count("\n") == 1)


NUMBERS = {
    "hidden-units": [1, 3, 1 << 27, (1 << 31) - 1, 1 << 31],
    "batch-size": [1, 7, 1 << 20, (1 << 31) - 1],
    "accumulate": [1, 2, (1 << 31) - 1],
    "epochs": [1, 2, (1 << 31) - 1],
    "max-len": [4, 5, 64, 65, 1 << 40],
    "seed": [0, (1 << 31) - 1, 1 << 31, 10**30],
    "log-steps": [1, (1 << 31) - 1],
    "eval-steps": [0, 1, (1 << 31) - 1],
    "early-stop": [0, 1, (1 << 31) - 1],
    "checkpoint-steps": [0, 1, (1 << 31) - 1],
    "keep": [1, (1 << 31) - 1],
    "lr": [1e-320, 1e-30, 0.99],
    "dropout": [1e-320, 1e-30, 0.5, 0.999],
    "warmup-ratio": [1e-320, 1e-30, 0.999],
    "weight-decay": [1e-320, 1e-30, 1e308],
    "clip": [0, 1e-320, 1e-30, 1e30, 1e308],
    "devices": ["cpu:9999", "cpu:0,cpu:3"],
    "truncation": ["ratio", "only_second"],
    "optimizer": ["adam", "bertadam"],
    "head": ["mlp", "pooled"],
}


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_numbers_at_the_edge_train_or_are_one_line(data, worker, tiny_bert, pairs_file, tmp_path):
    options = ["--no-native"] * data.draw(st.integers(0, 1))
    for name in data.draw(st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=3, unique=True)):
        options.append(f"--{name}={data.draw(st.sampled_from(NUMBERS[name]))}")
    files = [f"--train-file={pairs_file}", f"--dev-file={pairs_file}", f"--output-dir={tmp_path / 'out'}"]
    # Its time is over after one update.
    arguments = ["finetune", "--dataset-name=tiny_uncased", *files, "--overwrite", "--max-seconds=1e-9", *options]
    status, said = worker("command", tiny_bert, arguments=arguments, mebibytes=1024)
    assert status in (0, 1, 2, 75)
    if status in (1, 2):
        complaints = [line for line in said.splitlines() if line.startswith("gluonnlp-snli: error: ")]
        assert len(complaints) == 1 and said.splitlines()[-1] == complaints[0] and "Traceback" not in said
