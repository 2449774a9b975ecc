"""The corpus that the benchmark of encoding makes, and the benchmark itself."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI

SCRIPTS = Path(__file__).parent.parent.parent / "scripts" / "benchmark"


@pytest.fixture(scope="module")
def made(tmp_path_factory, pairs_file):
    spec = importlib.util.spec_from_file_location("benchmark_corpus", SCRIPTS / "lib" / "corpus.py")
    corpus = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corpus)
    path = tmp_path_factory.mktemp("made") / "snli_1.0_train.jsonl"
    corpus.make_corpus(pairs_file, path, 3000)
    return path


def test_it_has_as_many_labelled_pairs_as_it_should_and_some_without_a_label(made):
    pairs = SNLI(file=made)
    assert len(pairs) == 3000 and 0 < pairs.num_unlabelled < 30
    assert set(pairs.labels) == set(LABELS)


def test_a_premise_comes_three_times_in_a_row_and_hypotheses_are_varied(made):
    pairs = SNLI(file=made)
    assert all(len(set(pairs.premises[i : i + 3])) == 1 for i in range(0, 3000, 3))
    assert len(set(pairs.hypotheses)) > 1000


def test_its_rows_have_the_fields_of_the_official_ones(made, shared_data):
    official = (shared_data / "snli_format" / "snli_1.0_train.jsonl").read_text(encoding="utf-8").split("\n")[0]
    for line in made.read_text(encoding="utf-8").splitlines()[:10]:
        assert list(json.loads(line)) == list(json.loads(official))


@pytest.mark.slow
def test_the_benchmark_runs_on_a_small_corpus(pairs_file, tiny_bert, tmp_path):
    command = [SCRIPTS / "encode_corpus.py", "--from", pairs_file, "--checkpoint", tiny_bert, "--max-len", 32]
    few = ["--pairs", 300, "--compare", 100, "--repeat", 1]
    done = subprocess.run(
        [sys.executable, *map(str, [*command, *few])],
        capture_output=True,
        text=True,
        cwd=tmp_path,  # where there is no environment of transformers
    )
    assert done.returncode == 0, done.stderr
    for name in ("read and encode", "from the cache", "a batch of 32", "peak memory", "finetune_classifier.py"):
        assert name in done.stdout
