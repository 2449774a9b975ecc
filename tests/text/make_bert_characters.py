"""Writes gluonnlp_snli_plugin/text/bert_characters.json: what Hugging Face's `tokenizers` knows of Unicode.

    python3.8 tests/text/make_bert_characters.py letters LETTERS.json
    python tests/text/make_bert_characters.py table LETTERS.json

The first, by the oldest supported Python, writes the letters whose lower case that Python knows; the second asks
`tokenizers`. A release of it with other tables fails ``test_tokenizer_tables.py``.
"""

import itertools
import json
import sys
import unicodedata
from pathlib import Path

TABLE = Path(__file__).parents[2] / "gluonnlp_snli_plugin" / "text" / "bert_characters.json"
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def normalizer(**settings):
    """A BertNormalizer that does one thing only; a function of str."""
    from tokenizers import normalizers

    nothing = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**nothing, **settings}).normalize_str


def table(letters):
    from tokenizers import normalizers, pre_tokenizers

    clean, strip, lower = normalizer(clean_text=True), normalizer(strip_accents=True), normalizer(lowercase=True)
    nfd, divide = normalizers.NFD().normalize_str, pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    dropped = [c for c in CHARACTERS if clean(c) == ""]
    return {
        "dropped": ranges(dropped),
        "nonspacing": ranges(c for c in CHARACTERS if nfd(c) == c and strip(c) == ""),
        "punctuation": ranges(c for c in CHARACTERS if len(divide(f"a{c}b")) == 3),
        "decomposed": ranges(c for c in CHARACTERS if nfd(c) != c),
        # Behind a mark of another class a combining one changes places with it; classes 1 and 240 are the outermost.
        "combining": ranges(
            c for c in CHARACTERS if nfd(c) == c and any(nfd(a + b) != a + b for a, b in (("\u0345", c), (c, "\u0334")))
        ),
        "lower": {c: lower(c) for c in CHARACTERS if lower(c) != letters.get(c, c)},
    }


def ranges(characters):
    """First and last code points of runs, one after the other."""
    numbered = enumerate(map(ord, characters))
    runs = [list(run) for _, run in itertools.groupby(numbered, lambda item: item[1] - item[0])]
    return [bound for run in runs for bound in (run[0][1], run[-1][1])]


if __name__ == "__main__":
    what, path = sys.argv[1:]
    if what == "letters":
        print("Unicode", unicodedata.unidata_version)
        Path(path).write_text(json.dumps({c: c.lower() for c in CHARACTERS if c.lower() != c}))
    else:
        content = table(json.loads(Path(path).read_text()))
        lines = (f'  "{name}": {json.dumps(value, separators=(",", ":"))}' for name, value in content.items())
        TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
