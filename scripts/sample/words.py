"""The words of the embedded sample and what they mean: hypernyms, synonyms, opposites, and what follows from a scene.

A table maps a concept to the phrases that express it (synonyms: a sentence may use any of them) and to what
has to be known to tell entailment from contradiction. Nothing here is taken from a corpus.
"""

import functools
from typing import Dict, NamedTuple, Optional, Tuple

E, N, C = range(3)  # entailed, neutral, contradicted: a claim of several parts is as doubtful as the worst of them


class Noun(NamedTuple):
    """Whom a sentence is about: the synonyms in both numbers, the next wider concept, and the traits it may have."""

    singular: Tuple[str, ...]
    plural: Tuple[str, ...]
    wider: Optional[str]
    traits: Tuple[str, ...]


class Event(NamedTuple):
    """What a subject does: synonyms, the next wider concept, where it happens, and what readers take for granted."""

    phrases: Tuple[str, ...]
    wider: Optional[str]
    places: Tuple[str, ...]
    passive: Optional[Tuple[str, str]] = None
    by_animals: bool = False
    suggests_place: bool = False


_OF_ADULTS = ("old", "young", "happy", "sad")
_OF_CHILDREN = ("happy", "sad")
_OF_ANIMALS = ("black", "white")

NOUNS = {
    "person": Noun(("person",), ("people",), None, _OF_ADULTS),
    "adult": Noun(("adult",), ("adults",), "person", _OF_ADULTS),
    "child": Noun(("child", "kid"), ("children", "kids"), "person", _OF_CHILDREN),
    "man": Noun(("man",), ("men",), "adult", _OF_ADULTS),
    "woman": Noun(("woman", "lady"), ("women", "ladies"), "adult", _OF_ADULTS),
    "boy": Noun(("boy",), ("boys",), "child", _OF_CHILDREN),
    "girl": Noun(("girl",), ("girls",), "child", _OF_CHILDREN),
    "animal": Noun(("animal",), ("animals",), None, _OF_ANIMALS),
    "dog": Noun(("dog",), ("dogs",), "animal", _OF_ANIMALS),
    "cat": Noun(("cat",), ("cats",), "animal", _OF_ANIMALS),
}

COUNTS = {"one": ("a",), "two": ("two",), "three": ("three",), "some": ("some", "several"), "many": ("many",)}

# the count in the premise, then in the hypothesis; left out where readers differ
COUNT_VERDICTS = {
    "one": {"one": E, "two": C, "three": C, "some": C},
    "two": {"two": E, "three": C, "some": E},
    "three": {"two": C, "three": E, "some": E},
    "some": {"two": N, "three": N, "some": E},
    "many": {"two": C, "three": C, "some": E},
}

ROOMS = ("kitchen", "bedroom")
OPEN_AIR = ("park", "beach", "street")
ANYWHERE = ROOMS + OPEN_AIR

# a place: its phrases and the next wider place
PLACES = {
    "indoors": (("indoors", "inside"), None),
    "outdoors": (("outdoors", "outside"), None),
    "kitchen": (("in the kitchen",), "indoors"),
    "bedroom": (("in the bedroom",), "indoors"),
    "park": (("in the park",), "outdoors"),
    "beach": (("on the beach",), "outdoors"),
    "street": (("on the street",), "outdoors"),
}

_NOT_IN_BED = ("kitchen", *OPEN_AIR)

EVENTS = {
    "music": Event(("playing an instrument", "making music"), None, ANYWHERE),
    "guitar": Event(("playing a guitar",), "music", ANYWHERE, ("a guitar", "played")),
    "violin": Event(("playing a violin",), "music", ANYWHERE, ("a violin", "played")),
    "sport": Event(("playing a sport",), None, OPEN_AIR, suggests_place=True),
    "soccer": Event(("playing soccer",), "sport", OPEN_AIR, suggests_place=True),
    "tennis": Event(("playing tennis",), "sport", OPEN_AIR, suggests_place=True),
    "eat": Event(("eating",), None, _NOT_IN_BED, by_animals=True),
    "pizza": Event(("eating a pizza",), "eat", _NOT_IN_BED, ("a pizza", "eaten")),
    "apple": Event(("eating an apple",), "eat", _NOT_IN_BED, ("an apple", "eaten")),
    "read": Event(("reading",), None, ANYWHERE),
    "book": Event(("reading a book",), "read", ANYWHERE, ("a book", "read")),
    "bike": Event(("riding a bike", "cycling"), None, OPEN_AIR, ("a bike", "ridden"), suggests_place=True),
    "swim": Event(("swimming",), None, ("beach",), by_animals=True, suggests_place=True),
    "sleep": Event(("sleeping", "napping"), None, ("bedroom", *OPEN_AIR), by_animals=True, suggests_place=True),
    "cook": Event(("cooking", "preparing food"), None, ("kitchen",), suggests_place=True),
    "dance": Event(("dancing",), None, ANYWHERE),
}

# a trait: its words and its opposite
TRAITS = {
    "old": (("old", "elderly"), "young"),
    "young": (("young",), "old"),
    "happy": (("happy",), "sad"),
    "sad": (("sad",), "happy"),
    "black": (("black",), "white"),
    "white": (("white",), "black"),
}

GARMENTS = ("hat", "shirt")
COLORS = ("red", "blue", "green")
WITHOUT = "without"

TIMES = {
    "morning": "in the morning",
    "night": "at night",
    "rain": "in the rain",
    "snow": "in the snow",
    "sun": "on a sunny day",
    "cold": "on a cold day",
    "hot": "on a hot day",
}
WEATHER = ("rain", "snow", "sun", "cold", "hot")
WET = ("rain", "snow")

# a sentence about time or weather, and what each time says of it: neutral where left out, None where readers differ
TIME_VERDICTS: Dict[str, Dict[str, Optional[int]]] = {
    "it is morning": {"morning": E, "night": C},
    "it is night": {"morning": C, "night": E, "sun": C, "cold": None, "hot": None},
    "it is daytime": {"morning": E, "night": C, "sun": E, "cold": None, "hot": None},
    "it is raining": {"rain": E, "snow": C, "sun": C},
    "it is snowing": {"rain": C, "snow": E, "sun": C, "hot": C},
    "it is cold": {"rain": None, "snow": E, "sun": None, "cold": E, "hot": C},
    "it is hot": {"rain": None, "snow": C, "sun": None, "cold": C, "hot": E},
    "the sun is shining": {"morning": None, "night": C, "rain": C, "snow": None, "sun": E, "hot": None},
}


class Scene(NamedTuple):
    """What a premise says, in the concepts of the tables; None for what it leaves open, ``who=None`` for nobody."""

    number: str
    who: Optional[str]
    event: Optional[str] = None
    place: Optional[str] = None
    time: Optional[str] = None
    trait: Optional[str] = None
    garment: Optional[Tuple[str, Optional[str]]] = None


def _with_wider(wider):
    """Each concept with all that are wider: ``{'man': ('man', 'adult', 'person'), ...}``."""

    def chain(concept):
        return (concept, *chain(wider[concept])) if concept else ()

    return {concept: chain(concept) for concept in wider}


_KINDS = _with_wider({name: noun.wider for name, noun in NOUNS.items()})
_ACTS = _with_wider({name: event.wider for name, event in EVENTS.items()})
AREAS = _with_wider({name: wider for name, (_, wider) in PLACES.items()})


def _compare(said, claimed, with_wider):
    """Entailed where the claim is as wide or wider, open where it is narrower, excluded on another branch."""
    return E if claimed in with_wider[said] else N if said in with_wider[claimed] else C


def is_animal(who):
    """Whether a noun names an animal."""
    return "animal" in _KINDS[who]


@functools.lru_cache(None)
def believable(who, event, place):
    """Whether a reader would believe it: nobody plays soccer in the kitchen, and no cat reads."""
    if event is None:
        return True
    happens = EVENTS[event]
    if is_animal(who) and not happens.by_animals:
        return False
    return place is None or any(place in AREAS[narrow] for narrow in happens.places)


def judge_subject(scene, subject):
    """What a scene says of the presence of a (count, noun): E, N, C, or None where readers differ."""
    count, who = subject
    if scene.who is None:
        return None if is_animal(who) else E
    if count not in COUNT_VERDICTS[scene.number]:
        return None
    return max(COUNT_VERDICTS[scene.number][count], _compare(scene.who, who, _KINDS))


def _judge_event(scene, event):
    verdict = _compare(scene.event, event, _ACTS) if scene.event else N
    return None if verdict == N and not believable(scene.who, event, scene.place) else verdict


def _judge_place(scene, place):
    known = scene.place or ("outdoors" if scene.time in WET else None)
    verdict = _compare(known, place, AREAS) if known else N
    if verdict == N:
        guessed = known is None and (scene.event is None or EVENTS[scene.event].suggests_place)
        return None if guessed or not believable(scene.who, scene.event, place) else N
    return verdict


def _judge_trait(scene, trait):
    if trait not in NOUNS[scene.who].traits:
        return None
    return E if trait == scene.trait else C if scene.trait == TRAITS[trait][1] else N


def _judge_garment(scene, garment):
    item, color = garment
    if is_animal(scene.who):
        return None
    if scene.garment is None or scene.garment[0] != item:
        return N
    worn = scene.garment[1]
    return C if worn == WITHOUT else E if color in (None, worn) else N if worn is None else C


def _judge_present(scene, _):
    return E


def _judge_color(scene, garment):
    mentioned = scene.garment and scene.garment[0] == garment[0] and scene.garment[1] != WITHOUT
    return _judge_garment(scene, garment) if mentioned else None


def _judge_empty(scene, place):
    if scene.place not in ANYWHERE:
        return None
    anyone = scene.who is not None
    return (C if anyone else E) if scene.place == place else N if anyone else None


def _judge_time(scene, sentence):
    return TIME_VERDICTS[sentence].get(scene.time, N)


_JUDGES = {
    "present": _judge_present,
    "event": _judge_event,
    "place": _judge_place,
    "trait": _judge_trait,
    "garment": _judge_garment,
    "color": _judge_color,
    "empty": _judge_empty,
    "time": _judge_time,
}


def judge_claim(scene, claim):
    """What a scene says of a claim, an (aspect, value, affirmed): E, N, C, or None where readers differ."""
    aspect, value, affirmed = claim
    if scene.who is None and aspect not in ("empty", "time"):
        return C if (aspect, value) == ("place", scene.place) else None
    verdict = _JUDGES[aspect](scene, value)
    return verdict if affirmed or verdict is None else C - verdict
