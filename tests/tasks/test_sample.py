"""The embedded sample: right labels, and no way to them but by comparing the two sentences."""

import collections
import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.tasks.sample import sample_pairs, sample_vocabulary

LABELS = ["entailment", "contradiction", "neutral"]
TRAIN, DEV = sample_pairs("train"), sample_pairs("dev")
PREMISE, HYPOTHESIS = 0, 1

both_segments = pytest.mark.parametrize("pairs", [TRAIN, DEV], ids=["train", "dev"])
either_side = pytest.mark.parametrize("side", [PREMISE, HYPOTHESIS], ids=["premise", "hypothesis"])


def words(text):
    return re.findall("[a-z]+", text.lower())


def labels_of(premise, hypothesis):
    """The labels of the pairs whose two sentences match the two patterns; a back-reference ties them together."""
    pattern = re.compile(f"{premise}\\|{hypothesis}")
    return {label for *pair, label in TRAIN + DEV if pattern.fullmatch("|".join(pair))}


# The form ------------------------------------------------------------------------------------------------------------


def test_there_are_nine_thousand_pairs_to_train_on_and_six_hundred_to_score():
    assert (len(TRAIN), len(DEV)) == (9000, 600)


@both_segments
def test_a_third_of_the_pairs_has_each_label(pairs):
    assert collections.Counter(label for *_, label in pairs) == dict.fromkeys(LABELS, len(pairs) // 3)


def test_no_pair_is_there_twice():
    assert len({(premise, hypothesis) for premise, hypothesis, _ in TRAIN + DEV}) == len(TRAIN) + len(DEV)


def test_no_premise_is_in_both_segments():
    assert not {pair[PREMISE] for pair in TRAIN} & {pair[PREMISE] for pair in DEV}


def test_every_word_to_be_scored_is_one_to_train_on():
    def vocabulary(pairs):
        return {word for *pair, _ in pairs for text in pair for word in words(text)}

    assert vocabulary(DEV) <= vocabulary(TRAIN)


def test_every_sentence_is_written_as_one():
    texts = {text for *pair, _ in TRAIN + DEV for text in pair}
    slip = re.compile(
        r"\ba [aeiou]|\ban [^aeiou]|\ban? (\w+ )?\w+ are\b|\b(two|three|some|many|several) .*\bis\b", re.I
    )
    assert [text for text in texts if slip.search(text) or not re.fullmatch(r"[A-Z][a-z]*( [a-z]+)+\.", text)] == []


def test_the_sample_is_the_same_in_every_python():
    digest = hashlib.sha1(json.dumps([TRAIN, DEV, sample_vocabulary()]).encode()).hexdigest()
    assert digest == "06a02c89ac20b49e0d5ad9df29e5b9145caa64eb"


def test_the_generator_makes_the_file_that_the_package_carries(tmp_path):
    generator = Path(__file__).parents[2] / "scripts" / "sample" / "make_sample.py"
    subprocess.run([sys.executable, str(generator), str(tmp_path / "sample.json.gz")], check=True)
    made = json.loads(gzip.decompress((tmp_path / "sample.json.gz").read_bytes()))
    assert made == {"train": TRAIN, "dev": DEV, "vocabulary": sample_vocabulary()}


def test_a_caller_may_change_what_it_gets():
    sample_pairs("dev")[0][2] = "changed"
    assert sample_pairs("dev") == DEV


def test_an_unknown_segment_is_refused():
    with pytest.raises(UsageError, match="'train' and 'dev', not 'test'"):
        sample_pairs("test")


# The meaning: what a reader would say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "premise, hypothesis, label",
    [
        # a wider or a narrower word
        (r"An? (\w+) playing a (guitar|violin)\b.*", r"An? \1 is (playing an instrument|making music)\.", "entailment"),
        (r"An? (\w+) (playing an instrument|making music)\b.*", r"An? \1 is playing a (guitar|violin)\.", "neutral"),
        (r"An? (\w+) is (on the beach|in the park)\.", r"An? \1 is (outside|outdoors)\.", "entailment"),
        (r"An? (\w+) is (outside|outdoors)\.", r"An? \1 is (on the beach|in the park)\.", "neutral"),
        # synonyms, active and passive
        (r"A (lady|woman) (sleeping|napping)\b.*", r"A (lady|woman) is (sleeping|napping)\.", "entailment"),
        (r"An? (\w+) eating (a pizza|an apple)\b.*", r"(?i:\2) is eaten by an? \1\.", "entailment"),
        # another event, place, color, trait, number
        (r"An? (\w+ )?(dog|cat) .*", r"A (child|kid|person|man|boy|girl) is .*", "contradiction"),
        (r"(?!Nobody).* swimming\b.*", r"An? \w+ is (sleeping|napping|eating|reading)\b.*", "contradiction"),
        (r"(?!.*obody).* in the (kitchen|bedroom)\b.*", r".* (outdoors|outside)\.", "contradiction"),
        (r".* in a (?!green)\w+ hat\b.*", r"The hat is green\.", "contradiction"),
        (r".* in a hat\b.*", r"The hat is \w+\.", "neutral"),
        (r"(A|Two|Three) sad .*", r".* (is|are) happy\.", "contradiction"),
        (r"Two .*", r"There are three .*", "contradiction"),
        (r"Three (kids|children|boys|girls)\b.*", r"There are (some|several) (people|children|kids)\.", "entailment"),
        # negation
        (r"An? (\w+) swimming\b.*", r"The \1 is not (?!swimming).*", "entailment"),
        (r"An? (\w+) (\w+ing\b.*)\.", r"The \1 is not \2\.", "contradiction"),
        (r"An? (\w+) without a hat\b.*", r"An? \1 is wearing a (\w+ )?hat\.", "contradiction"),
        (r"(?:Nobody|There is nobody).* in the (\w+)\b.*", r"The \1 is empty\.", "entailment"),
        # time and weather
        (r".* in the rain\.", r"It is raining\.", "entailment"),
        (r".* in the snow\.", r"It is cold\.", "entailment"),
        (r".* at night\.", r"It is (daytime|morning)\.", "contradiction"),
        (r".* in the morning\.", r"It is (raining|snowing|cold|hot)\.", "neutral"),
    ],
)
def test_the_labels_are_those_that_a_reader_would_give(premise, hypothesis, label):
    assert labels_of(premise, hypothesis) == {label}


# No short cuts -------------------------------------------------------------------------------------------------------


def grams(text):
    tokens = words(text)
    return {*tokens, *zip(tokens, tokens[1:])}


def accuracy_from(features, epochs=5, rate=0.05):
    """Dev accuracy of multinomial logistic regression on binary features, trained on the training pairs by SGD."""
    index = {}
    train = [
        (np.array([index.setdefault(feature, len(index)) for feature in features(pair)]), LABELS.index(pair[2]))
        for pair in TRAIN
    ]
    weights, rng = np.zeros((len(index), len(LABELS))), np.random.RandomState(1)
    for _ in range(epochs):
        for i in rng.permutation(len(train)):
            active, label = train[i]
            error = np.exp(weights[active].sum(0))
            error /= error.sum()
            error[label] -= 1
            weights[active] -= rate * error

    def guess(pair):
        return LABELS[weights[[index[feature] for feature in features(pair) if feature in index]].sum(0).argmax()]

    return np.mean([guess(pair) == pair[2] for pair in DEV])


@either_side
def test_one_sentence_alone_does_not_give_the_label_away(side):
    assert accuracy_from(lambda pair: grams(pair[side])) < 0.5


def test_nor_do_the_words_of_both_sentences_side_by_side():
    assert accuracy_from(lambda pair: {(side, gram) for side in (0, 1) for gram in grams(pair[side])}) < 0.5


def test_nor_does_the_share_of_the_hypothesis_that_is_in_the_premise():
    def overlap(pair):
        premise, hypothesis = set(words(pair[PREMISE])), words(pair[HYPOTHESIS])
        return {round(10 * sum(word in premise for word in hypothesis) / len(hypothesis))}

    assert accuracy_from(overlap) < 0.6


def test_every_hypothesis_comes_with_every_label_about_as_often():
    counts = collections.defaultdict(lambda: dict.fromkeys(LABELS, 0))
    for _, hypothesis, label in TRAIN + DEV:
        counts[hypothesis][label] += 1
    assert all(max(count.values()) - min(count.values()) <= 3 for count in counts.values())


@both_segments
def test_every_premise_comes_with_every_label_once(pairs):
    assert {label for *_, label in pairs[:3]} == set(LABELS)
    assert set(collections.Counter((premise, label) for premise, _, label in pairs).values()) == {1}


def test_the_two_sentences_together_give_the_label_away():
    """Logistic regression on pairs of words, one of each sentence: the labels follow from what the words mean."""

    def crossed(pair):
        return {(a, b) for a in {*words(pair[PREMISE]), ""} for b in {*words(pair[HYPOTHESIS]), ""}}

    assert accuracy_from(crossed) > 0.85


# The vocabulary ------------------------------------------------------------------------------------------------------


def test_the_vocabulary_begins_with_berts_special_tokens():
    assert sample_vocabulary()[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_no_token_is_there_twice():
    assert len(set(sample_vocabulary())) == len(sample_vocabulary())


def test_every_word_and_mark_of_the_sample_is_a_token():
    tokens = {token for *pair, _ in TRAIN + DEV for text in pair for token in re.findall(r"\w+|[^\w\s]", text.lower())}
    assert tokens <= set(sample_vocabulary())


def test_an_unseen_word_splits_into_letters():
    assert {"z", "##e", "##b", "##r", "##a"} <= set(sample_vocabulary())
