"""From text to words as Hugging Face's BERT tokenizers (`tokenizers`, in Rust) find them, character for character.

What a letter, an accent or punctuation is stands in ``bert_characters.json``, so that it depends neither on Python's
version of Unicode nor on that of `tokenizers`: its crates know of combining marks and punctuation what Unicode 8 knew.
"""

import bisect
import functools
import json
import re
import unicodedata
from pathlib import Path
from typing import Any, Callable, Dict, List

from .tokenizer_settings import TokenizerSettings

_SPACES = {chr(c) for c in (0x20, 0x9, 0xA, 0xD, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F)}
_SPACES.add("\u3000")
# From 0x2b920 on where Google's code, and GluonNLP's, has 0x2b820.
_CHINESE = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f])"
)


class BertWords:
    """Divides text into words: cleaned, lower-cased, stripped of accents, punctuation and Chinese characters apart.

    Parameters
    ----------
    settings : TokenizerSettings
    """

    def __init__(self, settings: TokenizerSettings) -> None:
        self.settings = settings
        self._normalized = _Translation(self._normalize)
        self._spaced = _Translation(lambda text: self.spaced(self._normalize(text)))

    def __call__(self, text: str) -> List[str]:
        """The words of `text`."""
        if self.settings.strip_accents and _tables()["moving"](text):
            return self.spaced(self._normalize(text)).split()
        return text.translate(self._spaced).split()

    tokenize = __call__  # as it is called in GluonNLP

    def normalized(self, text: str) -> str:
        """`text` before it is divided."""
        if self.settings.strip_accents and _tables()["moving"](text):
            return self._normalize(text)
        return text.translate(self._normalized)

    @staticmethod
    def spaced(normalized: str) -> str:
        """Spaces around punctuation."""
        is_punctuation = _tables()["punctuation"]
        return "".join(f" {c} " if is_punctuation(c) else c for c in normalized)

    def _normalize(self, text: str) -> str:
        tables = _tables()
        text = "".join(" " if c in _SPACES else c for c in text if not tables["dropped"](c))
        if self.settings.chinese_characters:
            text = _CHINESE.sub(r" \1 ", text)
        if self.settings.strip_accents:
            text = _without_accents(text)
        if self.settings.lower:  # letter by letter: a final sigma is a sigma
            text = "".join(tables["lower"].get(c) or c.lower() for c in text)
        return text

    def __reduce__(self) -> Any:
        return BertWords, (self.settings,)


class _Translation(Dict[int, str]):
    """What becomes of each character, for ``str.translate``; found when it is first met, for characters are many."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, code_point: int) -> str:
        self[code_point] = self._function(chr(code_point))
        return self[code_point]


def _without_accents(text: str) -> str:
    """Canonical decomposition without non-spacing marks."""
    tables = _tables()
    run: List[str] = []  # combining marks, which are sorted by their class before any of them goes
    result: List[str] = []
    for character in text:
        parts = unicodedata.normalize("NFD", character) if tables["decomposed"](character) else character
        for part in parts:
            if tables["combining"](part):
                run.append(part)
            else:
                result += [*sorted(run, key=unicodedata.combining), part]
                run = []
    result += sorted(run, key=unicodedata.combining)
    return "".join(c for c in result if not tables["nonspacing"](c))


@functools.lru_cache(maxsize=None)
def _tables() -> Dict[str, Any]:
    content = json.loads(Path(__file__).with_name("bert_characters.json").read_text(encoding="utf-8"))
    tables: Dict[str, Any] = {name: _member(bounds) for name, bounds in content.items() if name != "lower"}
    tables["lower"] = content["lower"]  # where the Unicode of Python 3.8 has none
    tables["dropped"] = _member(sorted([*content["dropped"], 0xD800, 0xDFFF]))  # which `tokenizers` does not take
    # Marks that stay, and so may change places with one another.
    combining = (c for a, b in _pairs(content["combining"]) for c in map(chr, range(a, b + 1)))
    moving = "".join(c for c in combining if not tables["nonspacing"](c))
    tables["moving"] = re.compile(f"[{re.escape(moving)}]").search
    return tables


def _member(bounds: List[int]) -> Callable[[str], bool]:
    """Whether a character is in one of some ranges, given by their first and last code points."""
    edges = [edge for first, last in _pairs(bounds) for edge in (first, last + 1)]
    return lambda character: bisect.bisect_right(edges, ord(character)) % 2 == 1


def _pairs(bounds: List[int]) -> Any:
    return zip(bounds[::2], bounds[1::2])
