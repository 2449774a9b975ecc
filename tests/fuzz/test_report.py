"""Output folders from elsewhere: what a report is made of."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin import write_report
from gluonnlp_snli_plugin.evaluate.predictions import Pairs, Predictions, write_predictions
from gluonnlp_snli_plugin.tasks.snli import LABELS


@pytest.fixture
def folder(tmp_path):
    """The output folder of a small run."""
    config = {"settings": {"epochs": 1, "lr": 5e-5, "sample": False, "head": "mlp"}, "repeat": ["gluonnlp-snli"]}
    config.update(
        data={"train": {"source": "a.jsonl", "pairs": 3, "truncated": 0}}, versions={"mxnet": "1.9.1"}, ranks=1
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    summary = {
        "dev_accuracy": 0.5,
        "best_epoch": 1,
        "best_update": 9,
        "updates": 9,
        "seconds": 1.5,
        "peak_rss_mb": 99.5,
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    figures = {"epoch": 1, "update": 9, "loss": 1.1, "accuracy": 0.5}
    lines = [{"kind": "train", "lr": 1e-5, "pairs_per_second": 9.5, **figures}, {"kind": "dev", **figures}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = Pairs(["a man", "b"], ["a", "c"], np.array([0, 1]), np.array([9, 7]), np.array([True, False]), LABELS)
    about = {"source": "a.jsonl", "sha256": "00", "weights": None, "bad_rows_left_out": 0, "rows_without_gold_label": 1}
    write_predictions(tmp_path, "dev", Predictions.of(pairs, np.array([[0.5, 0.3, 0.2]] * 2), **about))
    return tmp_path


@settings.get_profile("slow fuzz")
@given(data=st.data())
@pytest.mark.parametrize(
    "name", ["config.json", "summary.json", "metrics.jsonl", "predictions/dev.json", "predictions/dev.jsonl"]
)
def test_a_page_is_made_or_the_file_is_named(data, damage, lawful, folder, name):
    path = folder / name
    whole = path.read_bytes()
    lines = whole.splitlines() if name.endswith("l") else [whole]
    number = data.draw(st.integers(0, len(lines) - 1))
    changed = data.draw(st.one_of(damage.json_bytes(json.loads(lines[number])), st.just(damage.nasty["BiDi"].encode())))
    try:
        path.write_bytes(b"".join(line + b"\n" for line in [*lines[:number], changed, *lines[number + 1 :]]))
        page = lawful(lambda: write_report(folder), folder)
    finally:
        path.write_bytes(whole)
    if page is not None:
        text = page.read_text(encoding="utf-8")
        assert text.endswith("</html>") and "\0" not in text and "\u202e" not in text


def test_a_page_shows_any_text_as_a_text(damage, folder):
    config = json.loads((folder / "config.json").read_text())
    config["settings"].update(damage.nasty)
    config["settings"].update(dict.fromkeys(damage.nasty.values(), 1))
    (folder / "config.json").write_text(json.dumps(config))
    text = write_report(folder).read_text(encoding="utf-8")
    for tag in ("main", "html", "body", "style", "h1"):
        assert text.count(f"</{tag}>") == 1
    assert "<script" not in text.lower() and "\u202e" not in text and "\0" not in text
