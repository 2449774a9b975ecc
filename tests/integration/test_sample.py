"""The embedded sample: a small BERT from scratch learns it, from one command; and its explanations name what counts."""

import json

import pytest

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.tasks.sample import sample_pairs


@pytest.mark.slow
@pytest.mark.long
def test_a_small_bert_from_scratch_learns_the_sample_and_explains_what_decides(command, tmp_path):
    """One test, for a fixture of several would train once in each process that tests at once run in."""
    out = tmp_path / "out"
    done = command("finetune", "--sample", "--epochs", 6, "--output-dir", out)  # the default is 8
    assert done.returncode == 0, done.stderr
    _assert_that_it_has_learnt(command, out)
    predictor = Predictor.load(out)
    _assert_that_a_not_that_decides_is_among_the_words_that_contribute_most(predictor)
    _assert_that_a_number_that_decides_is_among_the_words_that_contribute_most(predictor)


def _assert_that_it_has_learnt(command, out):
    summary = json.loads((out / "summary.json").read_text())
    assert summary["dev_accuracy"] >= 0.9  # 0.947; after eight epochs 0.963 to 0.968 with four seeds
    config = json.loads((out / "config.json").read_text())
    assert "synthetic" in config["data"]["train"]["source"]
    done = command("predict", out, "--premise", "A dog is sleeping.", "--hypothesis", "An animal is asleep.")
    assert json.loads(done.stdout)["label"] in ("entailment", "contradiction", "neutral")


def _hanging_on(predictor, pairs, word, otherwise):
    """The pairs whose answer changes with one word of the hypothesis."""
    answers = predictor(pairs)
    others = predictor([(premise, hypothesis.replace(word, otherwise)) for premise, hypothesis in pairs])
    return [pair for pair, answer, other in zip(pairs, answers, others) if answer.label != other.label]


def _ranks(predictor, pairs, word):
    """The place of a word of the hypothesis among the words of each pair, by the size of its contribution."""
    for premise, hypothesis in pairs:
        explained = predictor.explain(premise, hypothesis)
        found = [part for part in explained.hypothesis if part.text.lower() == word]
        sizes = [abs(part.contribution or 0) for part in explained.premise + explained.hypothesis]
        yield sorted(sizes, reverse=True).index(abs(found[0].contribution)) + 1


def _assert_that_a_not_that_decides_is_among_the_words_that_contribute_most(predictor):
    pairs = [(a, b) for a, b, _ in sample_pairs("dev") + sample_pairs("train") if " is not " in b][:120]
    ranks = list(_ranks(predictor, _hanging_on(predictor, pairs, " not", "")[:40], "not"))
    # Among some 12 words. A model this small reads "not" with its neighbours; one that was pretrained puts it first.
    assert len(ranks) >= 20 and sum(rank <= 3 for rank in ranks) >= len(ranks) / 2


def _assert_that_a_number_that_decides_is_among_the_words_that_contribute_most(predictor):
    pairs = [
        (f"Two {who} are {what}.", f"Three {who} are {what}.")
        for who in ("dogs", "children", "men", "women", "people")
        for what in ("sleeping", "running", "eating", "swimming", "playing")
    ]
    of_sample = sample_pairs("dev") + sample_pairs("train")
    pairs += [(a, b) for a, b, _ in of_sample if a.startswith("Two ") and b.startswith("Three ")]
    ranks = list(_ranks(predictor, _hanging_on(predictor, pairs, "Three", "Two"), "three"))
    assert len(ranks) >= 10 and sum(rank <= 3 for rank in ranks) >= 0.8 * len(ranks)
