"""Writes the embedded sample: synthetic pairs in SNLI's form, so that a run needs neither a download nor a checkpoint.

    python scripts/sample/make_sample.py gluonnlp_snli_plugin/tasks/sample.json.gz

The pairs are **synthetic**. A small grammar writes a scene as a premise, and tables of meanings (``words.py``) decide
which hypotheses follow from it, which contradict it, and which may be true. They are for demonstrations, tests and a
first look at the program; a result on them says nothing about English.

Each premise comes with one hypothesis of every label, and each hypothesis gets every label about equally often, so that
neither sentence alone tells the label. (In SNLI the hypothesis often does: Gururangan et al. 2018, Poliak et al. 2018.)
As in SNLI, both sentences are about the same scene: "A dog swimming." contradicts "A dog is sleeping."
"""

import gzip
import json
import random
import re
import string
import sys
from typing import NamedTuple, Optional, Tuple

from words import (
    ANYWHERE,
    AREAS,
    COLORS,
    COUNTS,
    EVENTS,
    GARMENTS,
    NOUNS,
    PLACES,
    TIME_VERDICTS,
    TIMES,
    TRAITS,
    WEATHER,
    WET,
    WITHOUT,
    C,
    E,
    N,
    Scene,
    believable,
    is_animal,
    judge_claim,
    judge_subject,
)

_SEED = 9
_PREMISES = 3200
_DEV_SHARE = 16  # every 16th premise
_LABELS = ("entailment", "neutral", "contradiction")


def main():
    (path,) = sys.argv[1:]
    content = json.dumps(sample(), separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(gzip.compress(content, mtime=0))


def sample():
    """The content of the file, the same in every process and every Python version.

    Returns
    -------
    dict
        'train' and 'dev': lists of [premise, hypothesis, label], of which no premise is in both; every word of 'dev' is
        in 'train'. A third of the pairs of each has each label. 'vocabulary': the tokens of a WordPiece vocabulary in
        the order of their ids: BERT's special tokens, the pieces of one character (so that a word which is not in the
        sample is split rather than unknown), then every lower-case word of the sample.
    """
    pairs = _all_pairs()
    segments: dict = {"train": [], "dev": []}
    for i, pair in enumerate(pairs):
        segments["dev" if i // 3 % _DEV_SHARE == 0 else "train"].append(list(pair))
    characters = string.ascii_lowercase + string.digits
    words = {word for *pair, _ in pairs for text in pair for word in re.findall("[a-z]+", text.lower())}
    pieces = [*characters, *("##" + character for character in characters), *string.punctuation]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return {**segments, "vocabulary": [*special, *pieces, *sorted(words.difference(pieces))]}


class _Hypothesis(NamedTuple):
    """A sentence, the (count, noun) it is about or None, and its claims: (aspect, value, affirmed) each."""

    text: str
    subject: Optional[Tuple[str, str]]
    claims: tuple


class _Dice:
    """Choices made by ``random.Random.random`` alone, whose numbers are the same in every Python version."""

    def __init__(self, seed):
        self.roll = random.Random(seed).random

    def pick(self, options):
        return options[int(self.roll() * len(options))]

    def maybe(self, chance, options):
        return self.pick(options) if self.roll() < chance else None


def _verdicts(scene, hypotheses, dice):
    """The hypotheses on which readers agree, with the verdict on each; few of those about another subject.

    Parameters
    ----------
    hypotheses : dict of subject to list of (id, claims)
    """
    known: dict = {}
    for subject, said in hypotheses.items():
        whom = judge_subject(scene, subject) if subject else E
        if whom is None or (whom == C and dice.roll() < 0.7):
            continue
        for i, claims in said:
            verdict = whom
            for claim in claims:
                if claim not in known:
                    known[claim] = judge_claim(scene, claim)
                judged = known[claim]
                # of another subject, "not" says nothing clear, and what the premise leaves open may well be true
                if judged is None or (whom != E and not claim[2]) or (whom == C and judged == N):
                    break
                if judged > verdict:
                    verdict = judged
            else:
                yield i, verdict


# --- sentences


def _sentence(*words):
    text = " ".join(word for word in words if word)
    return text[0].upper() + text[1:] + "."


def _subject(dice, count, who, trait=None):
    noun = dice.pick(NOUNS[who].singular if count == "one" else NOUNS[who].plural)
    words = [dice.pick(TRAITS[trait][0]), noun] if trait else [noun]
    counted = dice.pick(COUNTS[count])
    return " ".join(["an" if counted == "a" and words[0][0] in "aeiou" else counted, *words])


def _dressed(garment):
    item, color = garment
    return f"without a {item}" if color == WITHOUT else f"in a {color} {item}" if color else f"in a {item}"


def _imagine(dice):
    """A scene that a reader would believe."""
    if dice.roll() < 0.06:
        return Scene("one", None, place=dice.pick(ANYWHERE), time=dice.pick(("morning", "night")))
    while True:
        count = dice.pick(("one", "one", "one", "one", "one", "two", "three", dice.pick(("some", "many"))))
        who = dice.pick(tuple(NOUNS))
        event = dice.maybe(0.8, tuple(EVENTS))
        place = dice.maybe(0.35 if event else 1, tuple(PLACES))
        if believable(who, event, place):
            break
    scene = Scene(count, who, event, place)
    detail = dice.pick(("time", "trait", "garment")) if dice.roll() < (0.3 if event and place else 0.6) else None
    if detail == "trait":
        return scene._replace(trait=dice.pick(NOUNS[who].traits))
    if detail == "garment" and count == "one" and not is_animal(who):
        return scene._replace(garment=(dice.pick(GARMENTS), dice.pick((None, WITHOUT, *COLORS))))
    if detail == "time":
        time = dice.pick(tuple(TIMES))
        inside = place and "indoors" in AREAS[place]
        if not (time in WEATHER and inside) and (time not in WET or believable(who, event, "outdoors")):
            return scene._replace(time=time)
    return scene


def _describe(dice, scene):
    """A scene as a caption."""
    place = dice.pick(PLACES[scene.place][0]) if scene.place else ""
    time = TIMES.get(scene.time, "")
    if scene.who is None:
        return _sentence(dice.pick(("nobody is", "there is nobody")), place, time)
    who = _subject(dice, scene.number, scene.who, scene.trait)
    if scene.garment:
        who += " " + _dressed(scene.garment)
    if scene.event is None:
        return _sentence(who, "is" if scene.number == "one" else "are", place, time)
    event = EVENTS[scene.event]
    if event.passive and dice.roll() < 0.1:
        return _sentence(*event.passive, "by", who, place, time)
    return _sentence(who, dice.pick(event.phrases), place, time)


_SUBJECTS = [("one", who) for who in NOUNS] + [
    (count, who) for count in ("two", "three", "some") for who in ("person", "child", "animal")
]


def _predicates(dice, who):
    """What may be claimed of a subject: (how often such a sentence is wanted, its words, its claims)."""
    for name, event in EVENTS.items():
        if not believable(who, name, None):
            continue
        phrase, done = dice.pick(event.phrases), ("event", name, True)
        yield 0.4, phrase, (done,)
        for place, (phrases, _) in PLACES.items():
            if believable(who, name, place):
                yield 0.01, f"{phrase} {dice.pick(phrases)}", (done, ("place", place, True))
    for place, (phrases, _) in PLACES.items():
        if believable(who, None, place):
            yield 0.4, dice.pick(phrases), (("place", place, True),)
    for trait in NOUNS[who].traits:
        yield 0.3, dice.pick(TRAITS[trait][0]), (("trait", trait, True),)


def _hypotheses(dice):
    """The sentences that are said of scenes, each of them of many."""
    for count, who in _SUBJECTS:
        one, subject = count == "one", (count, who)
        for chance, predicate, claims in _predicates(dice, who):
            if dice.roll() < chance * (1 if one else 0.35):
                text = _sentence(_subject(dice, count, who), "is" if one else "are", predicate)
                yield _Hypothesis(text, subject, claims)
        if not one:
            yield _Hypothesis(_sentence("there are", _subject(dice, count, who)), subject, (("present", None, True),))
            continue
        if is_animal(who):
            continue
        for name, event in EVENTS.items():
            if event.passive and dice.roll() < 0.15:
                thing, done = event.passive
                text = _sentence(thing, "is", done, "by", _subject(dice, count, who))
                yield _Hypothesis(text, subject, (("event", name, True),))
            if dice.roll() < 0.12:
                text = _sentence("the", dice.pick(NOUNS[who].singular), "is not", dice.pick(event.phrases))
                yield _Hypothesis(text, subject, (("event", name, False),))
        for item in GARMENTS:
            for color in (None, *COLORS):
                if dice.roll() < 0.3:
                    worn = f"wearing a {color} {item}" if color else f"wearing a {item}"
                    text = _sentence(_subject(dice, count, who), "is", worn)
                    yield _Hypothesis(text, subject, (("garment", (item, color), True),))
    for sentence in TIME_VERDICTS:
        yield _Hypothesis(_sentence(sentence), None, (("time", sentence, True),))
    for item in GARMENTS:
        for color in COLORS:
            yield _Hypothesis(_sentence("the", item, "is", color), None, (("color", (item, color), True),))
    for place in ANYWHERE:
        yield _Hypothesis(_sentence("the", place, "is empty"), None, (("empty", place, True),))


# --- a selection in which no sentence alone tells the label


def _all_pairs():
    """Pairs by threes: a premise with one hypothesis of each label, so that every hypothesis gets each about as often.

    A hypothesis may be used with a label at most three times more than with any other. Of those that may, a premise
    takes one whose use with this label lags behind, and rather a new one.
    """
    dice = _Dice(_SEED)
    hypotheses = list(_hypotheses(dice))
    by_subject: dict = {}
    for i, hypothesis in enumerate(hypotheses):
        by_subject.setdefault(hypothesis.subject, []).append((i, hypothesis.claims))
    used = [[0, 0, 0] for _ in hypotheses]
    seen = set()
    pairs: list = []
    while len(pairs) < 3 * _PREMISES:
        scene = _imagine(dice)
        premise = _describe(dice, scene)
        if premise in seen:
            continue
        seen.add(premise)
        best: dict = {}
        for i, verdict in _verdicts(scene, by_subject, dice):
            counts = used[i]
            count = counts[verdict]
            if count <= min(counts) + 2:
                cost = 2.3 * count - 2 * max(counts) + 1.5 * dice.roll()
                if verdict not in best or cost < best[verdict][0]:
                    best[verdict] = cost, i
        if len(best) == 3:
            for verdict, (_, i) in best.items():
                used[i][verdict] += 1
                pairs.append((premise, hypotheses[i].text, _LABELS[verdict]))
    return pairs


if __name__ == "__main__":
    main()
