"""The embedded sample: synthetic pairs in SNLI's format, so that a run needs neither a download nor a pretrained model.

The pairs are *synthetic*: a small grammar writes a scene as a premise and says of it what follows, what cannot be and
what may be. They are for demonstrations, tests and a first look at the program, never for a result about English. Each
premise comes with one hypothesis of every label, and each hypothesis occurs with all labels about equally often, so
that neither sentence alone tells the label (the flaw of SNLI itself that Gururangan et al. 2018 and Poliak et al. 2018
measured).
"""

from __future__ import annotations

import random

from typing import NamedTuple

from .sample_words import (
    ANIMAL_PLACES,
    ANYWHERE,
    BARE,
    ROOMS,
    COLORS,
    COUNT_VERDICTS,
    COUNTS,
    EVENTS,
    GARMENTS,
    NOUNS,
    OPEN_AIR,
    PLACES,
    TRAITS,
    TRAITS_OF,
    UNCLEAR_EVENTS,
    WET,
    WHEN,
    WHEN_VERDICTS,
)

_SEED = 20
_PREMISES = {"train": 1600, "dev": 200}
_LABELS = {"E": "entailment", "C": "contradiction", "N": "neutral"}


class Scene(NamedTuple):
    """What a premise says; None for what it leaves open."""

    count: str
    who: str | None
    trait: str | None = None
    garment: tuple | None = None
    event: str | None = None
    place: str | None = None
    when: str | None = None


class Claim(NamedTuple):
    """One thing that a hypothesis says: ``Claim("event", "sleep", affirmed=False)`` for "is not sleeping"."""

    aspect: str
    value: object
    affirmed: bool = True


class Hypothesis(NamedTuple):
    """A sentence, whom it is about (count and noun; None for the weather, say), and what it claims."""

    text: str
    subject: tuple | None
    claims: tuple


class _Dice:
    """Choices made from ``random.Random.random`` alone, which gives the same numbers in every Python version."""

    def __init__(self, seed):
        self.chance = random.Random(seed).random

    def pick(self, options):
        return options[int(self.chance() * len(options))]

    def maybe(self, share, value):
        return value if self.chance() < share else None


# --- what follows from a scene: E, C, N, or None where readers would not agree


def _wider(parents):
    """Every concept with itself and all that are wider: ``{"puppy": ("puppy", "dog", "animal")}``."""

    def lineage(concept):
        return (concept, *lineage(parents[concept])) if concept else ()

    return {concept: lineage(concept) for concept in parents}


_KINDS = _wider({name: noun.parent for name, noun in NOUNS.items()})
_ACTS = _wider({name: event.parent for name, event in EVENTS.items()})
_AREAS = _wider({name: parent for name, (_, parent) in PLACES.items()})
_OPPOSITE = {"E": "C", "C": "E", "N": "N", None: None}


def _compare(said, claimed, wider):
    """Entailed where the claim is as wide or wider, open where it is narrower, excluded on another branch."""
    return "E" if claimed in wider[said] else "N" if said in wider[claimed] else "C"


def _within(places, place):
    return place is None or any(place in _AREAS[narrow] for narrow in places)


def _possible(who, event, place):
    """Whether a reader would believe it: nobody plays soccer in the kitchen, and no horse reads."""
    if "animal" in _KINDS[who]:
        homes = next((ANIMAL_PLACES[kind] for kind in _KINDS[who] if kind in ANIMAL_PLACES), OPEN_AIR)
        if not _within(homes, place) or (event and not EVENTS[event].by_animals):
            return False
    return event is None or _within(EVENTS[event].places, place)


def _traits(who):
    return next(TRAITS_OF[kind] for kind in _KINDS[who] if kind in TRAITS_OF)


def _judge_subject(scene, subject):
    count, who = subject
    counted, same = COUNT_VERDICTS[scene.count].get(count), _compare(scene.who, who, _KINDS)
    return None if counted is None else max(counted, same, key="ENC".index)


def _judge_event(scene, event):
    if scene.event:
        first, second = UNCLEAR_EVENTS
        if (scene.event in first and event in second) or (scene.event in second and event in first):
            return None
        verdict = _compare(scene.event, event, _ACTS)
        if verdict != "N":
            return verdict
    return "N" if _possible(scene.who, event, scene.place) else None


def _judge_place(scene, place):
    known = scene.place or ("outdoors" if scene.when in WET else None)
    verdict = _compare(known, place, _AREAS) if known else "N"
    if verdict != "N":
        return verdict
    told = known or (scene.event and not EVENTS[scene.event].suggests_place)
    return "N" if told and _possible(scene.who, scene.event, place) else None


def _judge_trait(scene, trait):
    if trait not in _traits(scene.who):
        return None
    return "E" if trait == scene.trait else "C" if scene.trait == TRAITS[trait][1] else "N"


def _judge_garment(scene, garment):
    item, color = garment
    if "animal" in _KINDS[scene.who]:
        return None
    if scene.garment is None or scene.garment[0] != item:
        return "N"
    worn = scene.garment[1]
    return "C" if worn == BARE else "E" if color in (None, worn) else "N" if worn is None else "C"


def _judge_color(scene, garment):
    worn = scene.garment and scene.garment[0] == garment[0] and scene.garment[1] != BARE
    return _judge_garment(scene, garment) if worn else None


def _judge_empty(scene, place):
    if scene.place not in ANYWHERE:
        return None
    if scene.who is None:
        return "E" if scene.place == place else None
    return "C" if scene.place == place else "N"


def _judge_when(scene, sentence):
    return WHEN_VERDICTS[sentence].get(scene.when, "N")


_JUDGES = {
    "event": _judge_event,
    "place": _judge_place,
    "trait": _judge_trait,
    "garment": _judge_garment,
    "color": _judge_color,
    "empty": _judge_empty,
    "when": _judge_when,
}


def _judge(scene, subject, claims, known):
    """The label of a hypothesis about a scene; ``known`` remembers the verdicts on this scene's single claims."""
    if subject is None:
        verdicts = []
    elif scene.who is None:
        return "C" if Claim("place", scene.place) in claims else None
    else:
        if subject not in known:
            known[subject] = _judge_subject(scene, subject)
        verdicts = [known[subject]]
        if verdicts[0] is None:
            return None
    for claim in claims:
        if claim not in known:
            if scene.who is None and claim.aspect not in ("when", "empty"):
                known[claim] = None
            else:
                verdict = _JUDGES[claim.aspect](scene, claim.value)
                known[claim] = verdict if claim.affirmed else _OPPOSITE[verdict]
        verdicts.append(known[claim])
    if None in verdicts:
        return None
    if subject and claims and verdicts[0] != "E":
        # somebody else is no contradiction of its own where the rest is open, nor is "not" about somebody else
        if not all(claim.affirmed for claim in claims) or (verdicts[0] == "C" and "N" in verdicts):
            return None
    return max(verdicts, key="ENC".index)


# --- sentences


def _subject(dice, count, who, trait=None):
    noun = NOUNS[who]
    words = [dice.pick(TRAITS[trait][0])] if trait else []
    words.append(dice.pick(noun.singular if count == "one" else noun.plural))
    counted = dice.pick(COUNTS[count])
    return " ".join(["an" if counted == "a" and words[0][0] in "aeiou" else counted, *words])


def _dressed(garment):
    item, color = garment
    return f"without a {item}" if color == BARE else f"in a {color} {item}" if color else f"in a {item}"


def _sentence(*words):
    text = " ".join(word for word in words if word)
    return text[0].upper() + text[1:] + "."


def _write(dice, scene):
    """A premise for a scene."""
    place = dice.pick(PLACES[scene.place][0]) if scene.place else ""
    when = dice.pick(WHEN[scene.when]) if scene.when else ""
    if scene.who is None:
        return _sentence(dice.pick(("nobody is", "there is nobody")), place, when)
    who = _subject(dice, scene.count, scene.who, scene.trait)
    if scene.garment:
        who += " " + _dressed(scene.garment)
    be = "is" if scene.count == "one" else "are"
    front, back = (when + ",", "") if when and dice.chance() < 0.25 else ("", when)
    if scene.event is None:
        return _sentence(front, *dice.pick(((who, be), ("there", be, who))), place, back)
    event = EVENTS[scene.event]
    if event.passive and dice.chance() < 0.2:
        return _sentence(front, event.passive, "by", who, place, back)
    return _sentence(front, who, be, dice.pick(event.phrases), place, back)


def _scene(dice):
    """A scene that a reader would believe."""
    if dice.chance() < 0.04:
        return Scene("one", None, place=dice.pick(ANYWHERE), when=dice.maybe(0.8, dice.pick(tuple(WHEN))))
    while True:
        count = dice.pick(("one", "one", "one", "two", "three", dice.pick(("some", "many"))))
        who, event = dice.pick(_PREMISE_NOUNS), dice.maybe(0.8, dice.pick(tuple(EVENTS)))
        place = dice.maybe(0.6 if event else 1, dice.pick(tuple(PLACES)))
        if _possible(who, event, place):
            break
    trait = dice.maybe(0.3, dice.pick(_traits(who)))
    garment = None
    if count == "one" and "animal" not in _KINDS[who]:
        garment = dice.maybe(0.3, (dice.pick(GARMENTS), dice.pick((None, BARE, *COLORS))))
    when = dice.maybe(0.3, dice.pick(tuple(WHEN)))
    if when and when not in ("morning", "evening", "night", "day") and place and "indoors" in _AREAS[place]:
        when = None
    if when in WET and not _possible(who, event, "outdoors"):
        when = None
    return Scene(count, who, trait, garment, event, place, when)


def _hypotheses(dice):
    """The sentences that are said of scenes, each of many of them."""
    for count, who in _SUBJECTS:
        be = "is" if count == "one" else "are"
        subject = (count, who)

        def about(share, predicate, *claims, trait=None):
            if dice.chance() < share:
                yield Hypothesis(_sentence(_subject(dice, count, who, trait), be, predicate), subject, claims)

        for name, event in EVENTS.items():
            if not _possible(who, name, None):
                continue
            done, phrase = Claim("event", name), dice.pick(event.phrases)
            yield from about(0.2, phrase, done)
            if event.passive and dice.chance() < 0.08:
                yield Hypothesis(_sentence(event.passive, "by", _subject(dice, count, who)), subject, (done,))
            if count == "one" and dice.chance() < 0.12:
                text = _sentence("the", dice.pick(NOUNS[who].singular), "is not", phrase)
                yield Hypothesis(text, subject, (Claim("event", name, False),))
            for place, (phrases, _) in PLACES.items():
                if _possible(who, name, place):
                    yield from about(0.01, f"{phrase} {dice.pick(phrases)}", done, Claim("place", place))
            trait = dice.pick(_traits(who))
            yield from about(0.03, phrase, done, Claim("trait", trait), trait=trait)
        for place, (phrases, _) in PLACES.items():
            if _possible(who, None, place):
                yield from about(0.3, dice.pick(phrases), Claim("place", place))
        for trait in _traits(who):
            yield from about(0.3, dice.pick(TRAITS[trait][0]), Claim("trait", trait))
        if count == "one" and "animal" not in _KINDS[who]:
            for item in GARMENTS:
                for color in (None, *COLORS):
                    worn = f"wearing a {color} {item}" if color else f"wearing a {item}"
                    yield from about(0.3, worn, Claim("garment", (item, color)))
        if count != "one":
            yield Hypothesis(_sentence("there are", _subject(dice, count, who)), subject, ())
    for sentence in WHEN_VERDICTS:
        yield Hypothesis(_sentence(sentence), None, (Claim("when", sentence),))
    for item in GARMENTS:
        for color in COLORS:
            yield Hypothesis(_sentence("the", item, "is", color), None, (Claim("color", (item, color)),))
    for place in ROOMS + OPEN_AIR:
        yield Hypothesis(_sentence("the", place, "is empty"), None, (Claim("empty", place),))


# --- a selection in which no sentence alone tells the label


def _select(dice, hypotheses, premises, wanted):
    """Give each premise one hypothesis of each label so that each hypothesis gets all labels equally often."""
    used = {hypothesis.text: dict.fromkeys("ECN", 0) for hypothesis in hypotheses}
    pairs = []
    for scene, premise in premises:
        known, best = {}, {}
        for text, subject, claims in hypotheses:
            label = _judge(scene, subject, claims, known)
            if label is None:
                continue
            counts = used[text]
            if counts[label] > min(counts.values()):
                continue
            cost = counts[label] - 0.7 * (max(counts.values()) > counts[label]) + 0.5 * dice.chance()
            if label not in best or cost < best[label][0]:
                best[label] = cost, text
        if len(best) == 3:
            for label, (_, text) in best.items():
                used[text][label] += 1
                pairs.append([premise, text, _LABELS[label]])
            if len(pairs) == 3 * wanted:
                break
    return pairs


_PREMISE_NOUNS = tuple(NOUNS)
_SUBJECTS = [("one", who) for who in NOUNS] + [
    (count, who)
    for count in ("two", "three", "some")
    for who in ("person", "child", "man", "woman", "boy", "girl", "animal", "dog")
]


def _make():
    dice = _Dice(_SEED)
    hyps = list(_hypotheses(dice))
    seen = set()

    def premises():
        while True:
            scene = _scene(dice)
            text = _write(dice, scene)
            if text not in seen:
                seen.add(text)
                yield scene, text

    return {seg: _select(dice, hyps, premises(), n) for seg, n in _PREMISES.items()}, hyps
