"""The benchmark of the data for pretraining."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "benchmark" / "pretraining_data.py"


@pytest.fixture
def benchmark(tmp_path, tiny_bert):
    """Runs it on a small corpus; takes more arguments."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("a man is sleeping .\nthe dog is not awake .\ntwo cats\n\n" * 40)

    def run(*arguments):
        few = ["--max-len", 16, "--batch-size", 4, "--batches", 5, "--repeat", 2, "--output", tmp_path / "page.md"]
        command = [sys.executable, SCRIPT, "--corpus", corpus, "--vocab", tiny_bert / "vocab.txt", *few, *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_it_writes_its_tables_between_the_marks_of_a_page(benchmark, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- pretraining data: begin -->\nold\n<!-- pretraining data: end -->\n\nAfter.\n")
    done = benchmark()
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.") and text.endswith("After.\n") and "old" not in text
    for words in ("40 documents, 120 sentences; batches of 4 pairs", "| whole words |", "text to ids, seconds"):
        assert words in text and words in done.stdout


@pytest.mark.slow
def test_a_corpus_that_cannot_be_used_is_one_line(benchmark, tmp_path):
    done = benchmark("--corpus", tmp_path / "none.txt")
    assert done.returncode == 1
    assert done.stderr == f"pretraining_data.py: error: {tmp_path}/none.txt: No such file or directory\n"
