"""A corpus of SNLI's full size and form, made of the sentences of a smaller file in its format.

SNLI's training file is not part of the project; a file that costs as much to read and encode can be made: 549,367
labelled pairs in rows with all official fields and as many bytes, about 150,000 different premises, each three times
in a row, about 480,000 different hypotheses, and words with a long tail.
"""

import itertools
import json
import random

from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.tasks.snli import LABELS

SNLI_PAIRS = 549_367
_PAIRS_A_PREMISE = 3
_SHARE_NEW_WORDS = 0.08  # of the words exchanged
_SHARE_OLD_PREMISES = 0.17  # a premise that has been there before, three rows or more ago
_SHARE_AS_THEY_ARE = 0.11  # hypotheses such as "A man is sleeping." come many times
_SHARE_UNLABELLED = 785 / 550_152
_TAGS = ("DT", "NN", "VBZ", "JJ", "IN", "NNS", "VBG")


def make_corpus(source, target, pairs=SNLI_PAIRS, seed=0):
    """Write `pairs` labelled rows in SNLI's JSON, and a few without a label, varied from the sentences of `source`.

    Parameters
    ----------
    source : str or Path
        Labelled pairs in SNLI's format.
    target : str or Path
        The file to write.
    pairs : int
    seed : int, default 0
    """
    chance = random.Random(seed)
    rows = list(PairReader(source))
    premises = list(dict.fromkeys(premise for premise, _, _ in rows))
    words = [word for row in rows for sentence in row[:2] for word in sentence.split(" ")]
    premise_of, hypothesis_of = _Varied(premises, words, chance), _Varied([row[1] for row in rows], words, chance)
    seen = []
    written = 0
    with open(target, "w", encoding="utf-8") as file:
        for number in itertools.count():
            is_old = seen and chance.random() < _SHARE_OLD_PREMISES
            premise = chance.choice(seen) if is_old else premise_of.another(1)
            seen.append(premise)
            for label in LABELS:
                if chance.random() < _SHARE_UNLABELLED:
                    file.write(_row(number, "-", premise, hypothesis_of.another()))
                if written == pairs:
                    return
                file.write(_row(number, label, premise, hypothesis_of.another()))
                written += 1


class _Varied:
    """Sentences like the given ones, some of whose words are exchanged for others."""

    def __init__(self, sentences, words, chance):
        self._sentences, self._words, self._chance = sentences, words, chance

    def another(self, share_changed=1 - _SHARE_AS_THEY_ARE):
        chance = self._chance
        sentence = chance.choice(self._sentences)
        if chance.random() >= share_changed:
            return sentence
        words = sentence.split(" ")
        for _ in range(1 + len(words) // 6):
            words[chance.randrange(len(words))] = self._word()
        return " ".join(words)

    def _word(self):
        word = self._chance.choice(self._words)
        if self._chance.random() < _SHARE_NEW_WORDS:
            other = self._chance.choice(self._words)
            word = word[: len(word) // 2 + 1] + other[len(other) // 2 :]
        return word


def _row(number, label, premise, hypothesis):
    """A line of SNLI's file: parse trees of the usual size, though of no meaning."""
    row = {
        "annotator_labels": [label],
        "captionID": f"{number:010d}.jpg#{number % 5}",
        "gold_label": label,
        "pairID": f"{number:010d}.jpg#{number % 5}r1{label[0]}",
    }
    for name, sentence in (("sentence1", premise), ("sentence2", hypothesis)):
        row[name] = sentence
        words = sentence.split(" ")
        row[f"{name}_binary_parse"] = "( " + " ( ".join(words) + " )" * len(words)
        tree = " ".join(f"({_TAGS[i % len(_TAGS)]} {word})" for i, word in enumerate(words))
        row[f"{name}_parse"] = f"(ROOT (S (NP {tree})))"
    return json.dumps(row) + "\n"
