"""Small files of SNLI's two formats."""

import json

ROWS = [
    ["A man sleeps.", "A person rests.", "entailment"],
    ["A man sleeps.", "A man runs.", "contradiction"],
    ["Two dogs play.", "Two dogs play outside.", "neutral"],
]


def json_line(premise, hypothesis, label, **kwargs):
    return json.dumps({"sentence1": premise, "sentence2": hypothesis, "gold_label": label}, **kwargs)


def as_json(rows=ROWS, **kwargs):
    return "".join(json_line(*row, **kwargs) + "\n" for row in rows)


def as_table(rows=ROWS):
    lines = [("gold_label", "sentence1", "sentence2"), *((label, a, b) for a, b, label in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
