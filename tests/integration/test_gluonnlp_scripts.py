"""GluonNLP's own scripts, where $GLUONNLP_SCRIPTS names a checkout of dmlc/gluon-nlp at tag v0.10.0."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

CHECKOUT = os.environ.get("GLUONNLP_SCRIPTS")
pytestmark = pytest.mark.gluonnlp_scripts
BACKENDS = ["dist_sync", pytest.param("horovod", marks=pytest.mark.horovod)]
XLA = ["--engine", "xla", "--devices", "cpu:0"]
OF_ONE_LENGTH = ["--max_len", 12]  # to which all pairs are cut: another length is another program to compile


@pytest.fixture
def run(command, tmp_path):
    """Runs a script of the checkout in an empty folder; it must succeed."""

    def run(script, *arguments, before=()):
        done = command("run", *before, Path(CHECKOUT, "scripts", script).absolute(), *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def finetune(run, tiny_name, pairs_file):
    data = ["--train-file", pairs_file, "--dev-file", pairs_file, "--test-file", pairs_file]

    def finetune(*arguments, before=()):
        model = ["--task_name", "SNLI", "--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--max_len", 32]
        return run("bert/finetune_classifier.py", *model, *arguments, before=[*data, *before])

    return finetune


def accuracies(done):
    return [float(value) for value in re.findall(r"validation metrics:accuracy:([\d.]+)", done.stderr)]


def test_help_shows_what_is_registered(run, tiny_name):
    done = run("bert/finetune_classifier.py", "--help")
    for name in ("SNLI", "bert_6_384_12", tiny_name):
        assert name in done.stdout


@pytest.mark.parametrize("script", ["bert/finetune_classifier.py", "language_model/run_glue.py"])
@pytest.mark.parametrize("task", ["SNLI", "MRPC"])
def test_a_task_with_help(run, script, task):
    assert "MRPC" in run(script, "--task_name", task, "--help").stdout


def test_training_accumulating_stopping_early_and_truncating_by_ratio(finetune, tmp_path):
    done = finetune("--epochs", 3, "--accumulate", 2, "--early_stop", 1, "--lr", 1e-3, before=["--truncation", "ratio"])
    assert "Best model at epoch" in done.stderr
    assert (tmp_path / "log_SNLI.txt").is_file()
    predictions = (tmp_path / "output_dir" / "SNLI.tsv").read_text().splitlines()
    assert len(predictions) == 121
    assert {line.split("\t")[1] for line in predictions[1:]} <= {"entailment", "contradiction", "neutral"}


def test_files_go_back_and_forth_between_the_script_and_the_plugin(finetune, command, tiny_name, pairs_file, tmp_path):
    trained = finetune("--epochs", 1, "--lr", 1e-3)
    weights = tmp_path / "output_dir" / "model_bert_SNLI_0.params"
    again = finetune("--only_inference", "--model_parameters", weights)
    assert accuracies(again)[-1] == accuracies(trained)[-1]
    done = command("evaluate", weights, "--dataset-name", tiny_name, "--file", pairs_file, "--json")
    assert json.loads(done.stdout)["accuracy"] == pytest.approx(accuracies(trained)[-1], abs=1e-4)
    settings = ["--train-file", pairs_file, "--dev-file", pairs_file, "--dataset-name", tiny_name, "--max-len", 32]
    out = tmp_path / "out"
    done = command("finetune", *settings, "--head", "pooled", "--epochs", 1, "--lr", 1e-3, "--output-dir", out)
    assert done.returncode == 0, done.stderr
    (ours,) = (out / "model").glob("*.params")
    theirs = finetune("--only_inference", "--model_parameters", ours)
    accuracy = json.loads((out / "summary.json").read_text())["dev_accuracy"]
    assert accuracies(theirs)[-1] == pytest.approx(accuracy, abs=1e-4)


def test_weights_of_bert_alone_are_taken(finetune, tiny_name, tmp_path):
    import gluonnlp as nlp

    bert, _ = nlp.model.get_model("bert_2_16_2", dataset_name=tiny_name, use_decoder=False, use_classifier=False)
    bert.save_parameters(str(tmp_path / "bert.params"))
    done = finetune("--pretrained_bert_parameters", "bert.params", "--epochs", 1)
    assert "loading bert params from bert.params" in done.stderr


def test_calibration_and_deployment_in_int8(finetune, tmp_path):
    trained = finetune("--epochs", 2, "--lr", 2e-3, "--batch_size", 4)
    weights = tmp_path / "output_dir" / "model_bert_SNLI_1.params"
    finetune("--only_calibration", "--model_parameters", weights)
    prefix = tmp_path / "output_dir" / "model_bert_SNLI_quantized_customize"
    assert "quantized" in Path(f"{prefix}-symbol.json").read_text()
    done = finetune("--deploy", "--model_prefix", prefix, "--only_inference", "--epochs", 1)
    assert accuracies(done)[-1] == pytest.approx(accuracies(trained)[-1], abs=0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_ranks_decide_alike_and_write_once(finetune, tmp_path, backend):
    done = finetune("--epochs", 2, "--lr", 1e-3, "--batch_size", 4, before=["--np", 2, "--comm", backend])
    assert done.stderr.count("Best model at epoch") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"log_SNLI.txt", "output_dir"}
    assert {path.name for path in (tmp_path / "output_dir").iterdir()} == {
        "SNLI.tsv",
        "model_bert_SNLI_0.params",
        "model_bert_SNLI_1.params",
    }


def test_export_makes_a_symbol_of_a_classifier(run, tiny_name, tmp_path):
    run("bert/export.py", "--task", "classification", "--model_name", "bert_2_16_2", "--dataset_name", tiny_name)
    assert (tmp_path / "output_dir" / "classification-symbol.json").is_file()


# Through XLA ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def finetune_roberta(run, pairs_file, tmp_path_factory):
    """Fine-tunes a RoBERTa with byte-level BPE; the script has no argument for its tokenizer."""
    pytest.importorskip("tokenizers")
    from safetensors.numpy import load_file, save_file

    from gluonnlp_snli_plugin import import_bert

    golden = Path(__file__).parents[1] / "formats" / "golden" / "roberta"
    folder = Path(shutil.copytree(str(golden), str(tmp_path_factory.mktemp("roberta") / "small")))
    weights = folder / "model.safetensors"
    tensors = load_file(str(weights))  # drawn so that each of them counts, and too large to learn from
    for name, tensor in tensors.items():
        scale = 0 if name.endswith("bias") else 1 if "embeddings" in name else 0.6
        tensors[name] = np.ones_like(tensor) if name.endswith("LayerNorm.weight") else scale * tensor
    save_file(tensors, str(weights))
    name = import_bert(folder, "small_cased", overwrite=True).dataset_name
    data = ["--train-file", pairs_file, "--dev-file", pairs_file, "--test-file", pairs_file]

    def finetune(*arguments, before=()):
        model = ["--task_name", "SNLI", "--bert_model", "roberta_2_16_4", "--bert_dataset", name, "--max_len", 60]
        return run("bert/finetune_classifier.py", *model, *arguments, before=[*data, *before])

    return finetune


def test_a_roberta_learns_and_its_files_come_back(finetune_roberta, command, pairs_file, tmp_path):
    trained = finetune_roberta("--epochs", 40, "--lr", 3e-3, "--batch_size", 16, "--early_stop", 8)
    best = re.search(r"Best model at epoch (\d+)", trained.stderr)[1]
    assert accuracies(trained)[-1] > 0.5
    weights = tmp_path / "output_dir" / f"model_bert_SNLI_{best}.params"
    again = finetune_roberta("--only_inference", "--model_parameters", weights)
    assert accuracies(again)[-1] == accuracies(trained)[-1]
    done = command("evaluate", weights, "--dataset-name", "small_cased", "--file", pairs_file, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] == pytest.approx(accuracies(again)[-1], abs=1e-4)


@pytest.mark.parametrize("before", [pytest.param(XLA, marks=pytest.mark.jax), ["--np", 2]], ids=["xla", "two ranks"])
def test_a_roberta_through_xla_and_on_two_ranks(finetune_roberta, tmp_path, before):
    done = finetune_roberta("--epochs", 1, "--batch_size", 16, before=before)
    assert "Best model at epoch 0" in done.stderr
    assert (tmp_path / "output_dir" / "model_bert_SNLI_0.params").is_file()


@pytest.fixture
def without_dropout(tmp_path):
    """The fine-tuning script with two words changed, so that what it computes does not depend on who draws numbers."""
    source = Path(CHECKOUT, "scripts", "bert", "finetune_classifier.py").read_text()
    for words, others in {
        "BERTClassifier(bert, dropout=0.1": "BERTClassifier(bert, dropout=0.0",
        "'use_classifier': False,": "'use_classifier': False, 'dropout': 0.0,",
    }.items():
        assert source.count(words) == 1
        source = source.replace(words, others)
    (tmp_path / "script.py").write_text(source)
    return tmp_path / "script.py"


@pytest.mark.jax
@pytest.mark.parametrize("arguments", [[], ["--accumulate", 2]], ids=["plain", "accumulate"])
def test_twenty_updates_through_xla_end_as_on_the_cpu(command, without_dropout, tiny_name, pairs_file, arguments):
    data = ["--train-file", pairs_file, "--dev-file", pairs_file]
    model = ["--task_name", "SNLI", "--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--max_len", 32]
    settings = [*model, *OF_ONE_LENGTH, "--epochs", 1, "--training_steps", 20, "--batch_size", 4, "--lr", 1e-3]
    settings += arguments
    weights = []
    for before in ([], XLA):
        folder = without_dropout.parent / f"xla-{len(before)}"
        folder.mkdir()
        done = command("run", *before, *data, without_dropout, *settings, cwd=folder)
        assert done.returncode == 0, done.stderr
        weights.append(mx.nd.load(str(sorted(folder.glob("output_dir/*.params"))[0])))
    assert "gpu(0)" in done.stderr
    on_cpu, through_xla = weights
    assert on_cpu.keys() == through_xla.keys()
    for name, array in on_cpu.items():
        np.testing.assert_allclose(through_xla[name].asnumpy(), array.asnumpy(), atol=1e-4, err_msg=name)


@pytest.mark.jax
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.long), "float16"])
def test_the_script_through_xla_stops_early_and_infers(finetune, tmp_path, dtype):
    before = [*XLA, "--truncation", "ratio"]
    settings = [*OF_ONE_LENGTH, "--epochs", 3, "--accumulate", 2, "--early_stop", 1, "--lr", 1e-3, "--dtype", dtype]
    done = finetune(*settings, before=before)
    best = int(re.search(r"Best model at epoch (\d+)", done.stderr).group(1))
    assert len((tmp_path / "output_dir" / "SNLI.tsv").read_text().splitlines()) == 121
    assert ("float16: gpu(0) computes in bfloat16" in done.stderr) == (dtype == "float16")
    weights = tmp_path / "output_dir" / f"model_bert_SNLI_{best}.params"
    for engine in (XLA, []):
        again = finetune(*OF_ONE_LENGTH, "--only_inference", "--model_parameters", weights, before=engine)
        assert accuracies(again)[-1] == pytest.approx(max(accuracies(done)), abs=0.02)


@pytest.mark.jax
def test_two_ranks_through_xla_decide_alike_and_write_once(finetune, tmp_path):
    ranks = ["--np", 2, "--engine", "xla", "--devices", "cpu:0,cpu:1"]
    done = finetune(*OF_ONE_LENGTH, "--epochs", 2, "--lr", 1e-3, "--batch_size", 4, before=ranks)
    assert done.stderr.count("Best model at epoch") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"log_SNLI.txt", "output_dir"}
    assert len(list((tmp_path / "output_dir").glob("*.params"))) == 2


CORPUS = "\n\n".join(
    "\n".join(f"a {who} is {what} inside" for what in ("red", "blue", "awake")) for who in 12 * ["man"]
)


@pytest.mark.parametrize(
    "backend, ranks, vocabulary",
    [
        ("device", [], "name"),
        ("device", [], "sentencepiece"),
        ("dist_sync_device", ["--np", 2, "--comm", "dist_sync"], "name"),
        pytest.param("horovod", ["--np", 2, "--comm", "horovod"], "name", marks=pytest.mark.horovod),
        pytest.param("device", XLA, "name", marks=pytest.mark.jax, id="xla"),
        pytest.param("dist_sync_device", ["--np", 2, *XLA], "name", marks=pytest.mark.jax, id="two ranks through xla"),
    ],
)
def test_pretraining_ends_in_the_model_store(
    run, command, tiny_name, tmp_path, train_sentencepiece, backend, ranks, vocabulary
):
    for name in ("train0.txt", "train1.txt", "dev.txt"):
        (tmp_path / name).write_text(CORPUS + "\n")
    if vocabulary == "name":
        with_vocabulary, imported = ["--dataset_name", tiny_name], ["--vocab", tiny_name]
    else:
        symbols = {"user_defined_symbols": ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]}
        train_sentencepiece(tmp_path / "pieces.model", CORPUS.splitlines(), settings=symbols)
        with_vocabulary, imported = ["--sentencepiece", "pieces.model"], ["--vocab", "pieces.model"]
    settings = ["--model", "bert_2_256_4", "--raw", "--data", "train*.txt", "--data_eval", "dev.txt"]
    settings += ["--max_seq_length", 32, "--max_predictions_per_seq", 5, "--num_steps", 4, "--log_interval", 2]
    settings += ["--total_batch_size", 8, "--total_batch_size_eval", 8, "--dtype", "float32", "--ckpt_dir", "ckpt"]
    settings += ["--num_dataset_workers", 1, "--num_batch_workers", 1, "--warmup_ratio", 0.5, "--lr", 1e-3]
    if XLA[0] in ranks:
        settings += ["--gpus", 0]
    run("bert/run_pretraining.py", *settings, *with_vocabulary, "--comm_backend", backend, before=ranks)
    logs = [path.read_text() for path in sorted((tmp_path / "ckpt").glob("phase1_log.*"))]
    assert len(logs) == (2 if "--np" in ranks else 1)
    assert len({re.search(r"Eval mlm_loss=.*", log).group() for log in logs}) == 1  # the ranks have the same weights
    name = f"own_{backend}_{vocabulary}_uncased"
    weights = tmp_path / "ckpt" / "0000004.params"
    done = command("import-bert", weights, *imported, "--backbone", "bert_2_256_4", "--name", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert name in command("list", "weights").stdout


# The script by hand ---------------------------------------------------------------------------------------------------

TASK = """
import json
from gluonnlp.data.classification import GlueTask
class HandTask(GlueTask):
    def __init__(self):
        super().__init__(["entailment", "contradiction", "neutral"], mx.metric.Accuracy(), True)
    def get_dataset(self, segment="train"):
        rows = [json.loads(line) for line in open("train.jsonl" if segment == "train" else "dev.jsonl")]
        return [[row["sentence1"], row["sentence2"], row["gold_label"]] for row in rows]
    def dataset_test(self):
        return "test", []
get_task = lambda name: HandTask()
"""


@pytest.mark.slow
def test_the_accuracy_is_that_of_the_script_with_the_pairs_patched_in(run, minilm_name, shared_data, tmp_path):
    for segment, number in (("train", 1920), ("dev", None)):
        lines = (shared_data / "snli_mini" / f"snli_mini_{segment}.jsonl").read_text().splitlines(keepends=True)
        labelled = [line for line in lines if json.loads(line)["gold_label"] != "-"]
        (tmp_path / f"{segment}.jsonl").write_text("".join(labelled[:number]))
    settings = ["--task_name", "SNLI", "--bert_model", "bert_6_384_12", "--bert_dataset", minilm_name, "--epochs", 1]
    settings += ["--lr", 1e-4, "--dev_batch_size", 64]
    # The C++ operators draw other dropout masks, and in so few updates the masks decide how much is learnt.
    before = ["--train-file", "train.jsonl", "--dev-file", "dev.jsonl", "--no-native"]
    hosted = run("bert/finetune_classifier.py", *settings, before=before)
    source = Path(CHECKOUT, "scripts", "bert", "finetune_classifier.py").read_text()
    source = source.replace("import get_task\n", f"import get_task\n{TASK}", 1)
    source = source.replace("'WNLI', 'SST',", "'WNLI', 'SST', 'SNLI',", 1)
    source = source.replace("choices=['bert_12_768_12',", "choices=['bert_6_384_12', 'bert_12_768_12',", 1)
    source = source.replace("choices=['book_corpus", f"choices=['{minilm_name}', 'book_corpus", 1)
    source = source.replace("import gluonnlp as nlp\n", "import gluonnlp as nlp\nimport gluonnlp_snli_plugin\n", 1)
    (tmp_path / "by_hand.py").write_text(source)
    by_hand = subprocess.run(
        [sys.executable, "by_hand.py", *map(str, settings)], cwd=tmp_path, capture_output=True, text=True
    )
    assert by_hand.returncode == 0, by_hand.stderr
    assert accuracies(by_hand)[-1] > 0.38
    assert accuracies(hosted)[-1] == pytest.approx(accuracies(by_hand)[-1], abs=0.02)
