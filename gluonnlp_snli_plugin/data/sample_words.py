"""The words of the embedded sample and what they mean: a small lexicon with hypernyms, synonyms and opposites.

Every table maps a concept to the phrases that express it (synonyms, any of which a sentence may use) and to what
``sample.py`` has to know to tell entailment from contradiction. Nothing here is taken from a corpus.
"""

from __future__ import annotations

from typing import NamedTuple


class Noun(NamedTuple):
    """Someone a sentence is about: synonyms in both numbers, and the next wider concept."""

    singular: tuple
    plural: tuple
    parent: str | None = None


class Event(NamedTuple):
    """What someone does: synonyms, a passive (or none), the wider concept, where it happens, and whether animals do it."""

    phrases: tuple
    passive: str | None = None
    parent: str | None = None
    places: tuple = ()
    by_animals: bool = False
    suggests_place: bool = False


NOUNS = {
    "person": Noun(("person",), ("people",)),
    "adult": Noun(("adult",), ("adults",), "person"),
    "child": Noun(("child", "kid"), ("children", "kids"), "person"),
    "man": Noun(("man", "guy"), ("men", "guys"), "adult"),
    "woman": Noun(("woman", "lady"), ("women", "ladies"), "adult"),
    "boy": Noun(("boy",), ("boys",), "child"),
    "girl": Noun(("girl",), ("girls",), "child"),
    "animal": Noun(("animal",), ("animals",)),
    "dog": Noun(("dog",), ("dogs",), "animal"),
    "cat": Noun(("cat",), ("cats",), "animal"),
    "horse": Noun(("horse",), ("horses",), "animal"),
    "puppy": Noun(("puppy",), ("puppies",), "dog"),
    "kitten": Noun(("kitten",), ("kittens",), "cat"),
}

COUNTS = {"one": ("a",), "two": ("two",), "three": ("three",), "some": ("some", "several"), "many": ("many",)}

# (count in the premise, count in the hypothesis): what follows, where a reader would not hesitate
COUNT_VERDICTS = {
    "one": {"one": "E", "two": "C", "three": "C", "some": "C", "many": "C"},
    "two": {"two": "E", "three": "C", "some": "E", "many": "C"},
    "three": {"two": "C", "three": "E", "some": "E"},
    "some": {"two": "N", "three": "N", "some": "E", "many": "N"},
    "many": {"two": "C", "three": "C", "some": "E", "many": "E"},
}

PLACES = {
    "indoors": (("indoors", "inside", "in a building"), None),
    "outdoors": (("outdoors", "outside", "in the open air"), None),
    "kitchen": (("in the kitchen",), "indoors"),
    "bedroom": (("in the bedroom",), "indoors"),
    "office": (("in the office",), "indoors"),
    "classroom": (("in the classroom",), "indoors"),
    "park": (("in the park",), "outdoors"),
    "beach": (("on the beach",), "outdoors"),
    "street": (("on the street",), "outdoors"),
    "garden": (("in the garden",), "outdoors"),
    "field": (("in the field",), "outdoors"),
}

ROOMS = ("kitchen", "bedroom", "office", "classroom")
OPEN_AIR = ("park", "beach", "street", "garden", "field")
ANYWHERE = ROOMS + OPEN_AIR
ANIMAL_PLACES = {"dog": ("kitchen", "bedroom") + OPEN_AIR, "cat": ("kitchen", "bedroom") + OPEN_AIR, "horse": OPEN_AIR}

_GROUNDS = ("park", "beach", "street", "field")
_EATING = ("kitchen", "office", "classroom", "park", "beach", "street", "garden", "field")

EVENTS = {
    "music": Event(("playing an instrument", "making music"), "an instrument is being played", None, ANYWHERE),
    "guitar": Event(("playing a guitar",), "a guitar is being played", "music", ANYWHERE),
    "violin": Event(("playing a violin",), "a violin is being played", "music", ANYWHERE),
    "drum": Event(("playing a drum",), "a drum is being played", "music", ANYWHERE),
    "sport": Event(("playing a sport", "playing a game"), None, None, _GROUNDS, suggests_place=True),
    "soccer": Event(("playing soccer",), "soccer is being played", "sport", _GROUNDS, suggests_place=True),
    "tennis": Event(("playing tennis",), "tennis is being played", "sport", _GROUNDS, suggests_place=True),
    "eat": Event(("eating", "eating food"), "food is being eaten", None, _EATING, by_animals=True),
    "pizza": Event(("eating a pizza",), "a pizza is being eaten", "eat", _EATING),
    "apple": Event(("eating an apple",), "an apple is being eaten", "eat", _EATING),
    "read": Event(("reading", "reading something"), "something is being read", None, ANYWHERE),
    "book": Event(("reading a book",), "a book is being read", "read", ANYWHERE),
    "newspaper": Event(("reading a newspaper",), "a newspaper is being read", "read", ANYWHERE),
    "bike": Event(("riding a bike", "riding a bicycle"), "a bike is being ridden", None, _GROUNDS, suggests_place=True),
    "run": Event(("running",), None, None, OPEN_AIR, by_animals=True, suggests_place=True),
    "walk": Event(("walking", "taking a walk"), None, None, OPEN_AIR, by_animals=True, suggests_place=True),
    "sleep": Event(
        ("sleeping", "taking a nap"), None, None, ("bedroom", *OPEN_AIR), by_animals=True, suggests_place=True
    ),
    "cook": Event(
        ("cooking", "preparing a meal"), "a meal is being cooked", None, ("kitchen", "garden"), suggests_place=True
    ),
    "dance": Event(("dancing",), None, None, ANYWHERE),
    "paint": Event(("painting a picture", "making art"), "a picture is being painted", None, ANYWHERE),
}

# who plays soccer may well be running: no reader could tell these apart from neutral
UNCLEAR_EVENTS = {"sport", "soccer", "tennis"}, {"run", "walk"}

TRAITS = {
    "old": (("old", "elderly"), "young"),
    "young": (("young",), "old"),
    "happy": (("happy", "cheerful"), "sad"),
    "sad": (("sad", "unhappy"), "happy"),
    "tall": (("tall",), "short"),
    "short": (("short",), "tall"),
    "black": (("black",), "white"),
    "white": (("white",), "black"),
}
TRAITS_OF = {
    "person": ("old", "young", "happy", "sad", "tall", "short"),
    "adult": ("old", "young", "happy", "sad", "tall", "short"),
    "child": ("happy", "sad", "tall", "short"),
    "animal": ("black", "white"),
}

GARMENTS = ("hat", "shirt", "coat")
COLORS = ("red", "blue", "green")
BARE = "without"

WHEN = {
    "morning": ("in the morning",),
    "evening": ("in the evening",),
    "night": ("at night",),
    "day": ("during the day",),
    "rain": ("in the rain",),
    "snow": ("in the snow",),
    "sun": ("on a sunny day",),
    "cold": ("on a cold day",),
    "hot": ("on a hot day",),
}
WET = ("rain", "snow")

# a sentence about the time or the weather: what follows from each premise that says something of it (neutral otherwise)
WHEN_VERDICTS = {
    "it is morning": {"morning": "E", "evening": "C", "night": "C"},
    "it is evening": {"morning": "C", "evening": "E", "night": None},
    "it is night": {"morning": "C", "evening": None, "night": "E", "day": "C", "sun": "C", "cold": None, "hot": None},
    "it is daytime": {"morning": "E", "evening": None, "night": "C", "day": "E", "sun": "E", "cold": None, "hot": None},
    "it is raining": {"rain": "E", "snow": "C", "sun": "C"},
    "it is snowing": {"rain": "C", "snow": "E", "sun": "C", "hot": "C"},
    "it is cold": {"snow": "E", "cold": "E", "hot": "C", "sun": None},
    "it is hot": {"snow": "C", "cold": "C", "hot": "E", "sun": None, "rain": None},
    "the sun is shining": {"rain": "C", "snow": None, "sun": "E", "night": "C", "evening": None, "morning": None},
}
