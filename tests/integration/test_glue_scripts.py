"""GluonNLP's own fine-tuning script on every task of GLUE, from local files of the official layout."""

import os
import re
from pathlib import Path

import pytest

CHECKOUT = os.environ.get("GLUONNLP_SCRIPTS")
pytestmark = pytest.mark.gluonnlp_scripts
RANKS = ["--np", 2, "--comm", "dist_sync"]


@pytest.fixture
def finetune(command, tiny_name, glue_folder, tmp_path):
    """Runs the script on a task for one epoch, in an empty folder; what it validated."""

    def run(task, *before, folder=glue_folder):
        script = Path(CHECKOUT, "scripts", "bert", "finetune_classifier.py").absolute()
        model = ["--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--max_len", 32, "--batch_size", 2]
        arguments = ["--task_name", task, *model, "--epochs", 1, "--lr", 1e-3]
        return command("run", "--glue-root", folder, *before, script, *arguments, cwd=tmp_path)

    return run


def metrics(done):
    return re.findall(r"validation metrics:(.*)", done.stderr)


TASKS = {
    "RTE": "accuracy",
    "QNLI": "accuracy",
    "WNLI": "accuracy",
    "MRPC": "accuracy:.*,f1",
    "QQP": "accuracy:.*,f1",
    "MNLI": "accuracy",
    "STS-B": "pearsonr",
    "CoLA": "mcc",
    "SST": "accuracy",
}


@pytest.mark.parametrize("task", TASKS)
def test_the_script_fine_tunes_on_each_task_and_predicts_its_test_set(finetune, tmp_path, task):
    done = finetune(task)
    assert done.returncode == 0, done.stderr
    assert len(metrics(done)) == (2 if task == "MNLI" else 1)
    assert all(re.match(f"{TASKS[task]}:", found) for found in metrics(done))
    tables = [f"{task}-{kind}.tsv" for kind in ("m", "mm")] if task == "MNLI" else [f"{task}.tsv"]
    for table in tables:
        assert len((tmp_path / "output_dir" / table).read_text().splitlines()) == 9


@pytest.mark.parametrize("task", ["RTE", "MRPC", "MNLI", "STS-B", "CoLA"])
def test_two_ranks_decide_alike_and_write_once(finetune, tmp_path, task):
    done = finetune(task, *RANKS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Best model at epoch") == 1
    assert len(list((tmp_path / "output_dir").glob("*.params"))) == 1


def test_the_script_fine_tunes_on_a_corpus_by_name(command, tiny_name, pairs_file, tmp_path):
    for segment in ("train", "dev_matched", "dev_mismatched"):
        (tmp_path / f"multinli_1.0_{segment}.jsonl").write_bytes(pairs_file.read_bytes())
    script = Path(CHECKOUT, "scripts", "bert", "finetune_classifier.py").absolute()
    arguments = ["--task_name", "MultiNLI", "--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name, "--epochs", 1]
    done = command("run", "--corpus-root", tmp_path, script, *arguments, "--max_len", 32, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(metrics(done)) == 2


@pytest.mark.parametrize("before", [[], RANKS], ids=["one rank", "two ranks"])
def test_a_missing_file_is_one_line(finetune, tmp_path, before):
    done = finetune("RTE", *before, folder=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"{tmp_path}/RTE/train.tsv is missing: get RTE from https://gluebenchmark.com/tasks" in done.stderr


def test_a_missing_test_file_is_told_where_the_script_reads_it(finetune, tmp_path, glue_folder):
    (tmp_path / "RTE").mkdir()
    for segment in ("train", "dev"):
        (tmp_path / "RTE" / f"{segment}.tsv").write_bytes((glue_folder / "RTE" / f"{segment}.tsv").read_bytes())
    done = finetune("RTE", folder=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"gluonnlp-snli: error: {tmp_path}/RTE/test.tsv is missing: ")
