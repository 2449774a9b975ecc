"""Runs on several ranks."""

import json

import mxnet as mx
import numpy as np
import pytest

WORDS = "a the man woman dog cat is are not sleeping awake running eating outside inside two three red blue".split()


@pytest.fixture(scope="session")
def options_of():
    """Makes the options of a run on several ranks, by how they communicate; through "xla" they compute too."""

    def make(backend, num_ranks=2):
        through = ["--engine", "xla", "--devices", "cpu:0"] if backend == "xla" else ["--comm", backend]
        return ["--np", str(num_ranks), *through]

    return make


@pytest.fixture(scope="session")
def write_pairs():
    """Writes pairs of which each is a letter longer than the one before, so that they are sorted in one way only."""

    def write(path, number, labels=("entailment", "neutral")):
        random = np.random.default_rng(0)
        rows = []
        for i in range(number):
            words = " ".join(random.choice(WORDS, 8))
            text = (words + " outside" * number)[: 20 + i]
            rows.append({"sentence1": text, "sentence2": "a man is awake", "gold_label": labels[i % len(labels)]})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def largest_difference():
    """The largest difference between the weights in two files."""

    def compare(*paths):
        one, other = ({name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()} for path in paths)
        assert one.keys() == other.keys()
        return max(np.abs(one[name] - other[name]).max() for name in one)

    return compare
