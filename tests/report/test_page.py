"""Pages: whole, self-contained, and safe whatever the pairs say."""

import base64
import hashlib
import html.parser
import json
import re

import pytest

from gluonnlp_snli_plugin import write_report
from gluonnlp_snli_plugin.errors import DataError, PluginError, UsageError
from gluonnlp_snli_plugin.report import try_report

VOID = "meta link br hr img input col area base embed source track wbr".split()


class Outline(html.parser.HTMLParser):
    """Elements of a page, which must be closed in the order in which they were opened."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else None, data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def outline(run_in, tmp_path_factory):
    folder = run_in(tmp_path_factory.mktemp("page"), sets=["dev", "test"])
    return Outline(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_has_all_that_there_is_to_see(outline):
    words = " ".join(data for _, data in outline.texts)
    for text in (
        *("Loss", "Accuracy", "Learning rate", "Reliability", "Accuracy by length", "Accuracy by words in common"),
        *("Confusion matrix", "precision", "recall", "F1", "Wrong with the highest confidence", "Speed", "Settings"),
        *("Versions", "1.9.1", "Expected calibration error", "20.5 pairs/s", "truncated", "bert_2_16_2"),
        "gluonnlp-snli finetune --seed 0 --output-dir 'it'\"'\"'s here'",
    ):
        assert text in words, text


def test_the_page_is_made_for_readers_of_all_kinds(outline):
    assert outline.all("html") == [{"lang": "en"}] and len(outline.all("main")) == len(outline.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    assert len(outline.all("table")) == len(outline.all("caption")) > 5
    assert all(attributes.get("scope") in ("row", "col") for attributes in outline.all("th"))
    drawings = [attributes for attributes in outline.all("svg") if attributes.get("aria-hidden") != "true"]
    assert len(drawings) == len(outline.all("figure")) == len(outline.all("figcaption")) == 4 + 2 * 3
    assert all(drawing["role"] == "img" and re.search(r"\d", drawing["aria-label"]) for drawing in drawings)
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"] for attributes in outline.all("a")]
    assert len(targets) == 5 and all(target[1:] in ids for target in targets)


def test_the_page_needs_nothing_and_allows_nothing(outline):
    assert not outline.all("script") + outline.all("link") + outline.all("img") + outline.all("iframe")
    assert not [tag for tag, attributes in outline.elements if "style" in attributes or "src" in attributes]
    assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
    policy = next(meta["content"] for meta in outline.all("meta") if "http-equiv" in meta)
    (style,) = [data for tag, data in outline.texts if tag == "style"]
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{style_hash}'; base-uri 'none'; form-action 'none'"


def test_hostile_texts_stay_texts(make_run, hostile):
    plain = Outline(write_report(make_run("plain")).read_text(encoding="utf-8"))
    folder = make_run("<b>\u202e&amp;", texts=hostile, train_file=hostile[0], note=hostile)
    page = write_report(folder).read_text(encoding="utf-8")
    assert not re.search("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]", page)
    outline = Outline(page)
    tags = {tag for tag, _ in outline.elements}
    assert tags == {tag for tag, _ in plain.elements} and len(outline.all("main")) == 1
    words = " ".join(data for _, data in outline.texts)
    for shown in (hostile[0], hostile[1], r"\u202edlrow olleh \u0007\u001b[31m\u0000 {{ 7 * 7 }} {% raw %} &lt;b&gt;"):
        assert shown in words
    assert "a" * 700 + " … (5000 characters)" in words and "a" * 701 not in words


def test_a_run_without_answers_has_a_page(make_run):
    page = write_report(make_run(sets=[])).read_text(encoding="utf-8")
    assert "Learning" in page and "Answers" not in page and "dev accuracy" in page


def test_answers_without_a_run_have_a_page(make_run):
    folder = make_run()
    for name in ("config.json", "metrics.jsonl", "summary.json"):
        (folder / name).unlink()
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Answers" in page and "Learning" not in page


def test_one_pair_is_enough(make_run):
    assert "Answers" in write_report(make_run(num_pairs=1)).read_text(encoding="utf-8")


def test_many_pairs_make_a_small_page(make_run):
    folder = make_run(num_pairs=10_000, sets=["dev", "test", "third"])
    assert write_report(folder).stat().st_size < 1 << 18


def test_runs_are_compared(make_run, tmp_path):
    folders = [make_run("one", seed=1), make_run("two", seed=2, sets=["dev", "test"], lr=1e-3)]
    page = write_report(folders, tmp_path / "both.html").read_text(encoding="utf-8")
    outline = Outline(page)
    words = " ".join(data for _, data in outline.texts)
    for text in ("one", "two", "Settings that differ", "seed", "0.001", "5e-05", "dev: accuracy", "test: macro F1"):
        assert text in words, text
    assert "bert_2_16_2" not in words and len(outline.all("figure")) == 3
    assert all(label in outline.all("svg")[0]["aria-label"] for label in ("one", "two"))


def test_scores_by_a_column_are_a_table_of_the_section(make_run):
    folder = make_run(fields=["genre", "<b>"])
    outline = Outline(write_report(folder).read_text(encoding="utf-8"))
    words = " ".join(data for _, data in outline.texts)
    assert "genre 0" in words and "gold neutral" in words and "<b> 2" in words
    assert len(outline.all("table")) == len(outline.all("caption"))


def test_classes_that_were_merged_are_said(make_run):
    folder = make_run()
    record = folder / "predictions" / "dev.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "remark": "F has two classes: & so on"}))
    assert "F has two classes: &amp; so on</bdi>." in write_report(folder).read_text(encoding="utf-8")


def test_scores_of_different_classes_are_not_compared(make_run, tmp_path):
    three, two = make_run("one", sets=["dev", "test"]), make_run("two", seed=2, labels=("yes", "no"))
    page = write_report([three, two], tmp_path / "both.html").read_text(encoding="utf-8")
    words = re.sub(r"\s+", " ", " ".join(data for _, data in Outline(page).texts))
    assert "The runs have different classes on dev : these scores cannot be compared." in words
    assert "dev: classes entailment, contradiction, neutral yes, no" in words
    assert "test: classes" not in words and "<strong>" not in page
    same = write_report([three, make_run("three", seed=3)], tmp_path / "same.html").read_text(encoding="utf-8")
    assert "different classes" not in same and "<strong>" in same


def test_scores_on_different_pairs_of_one_name_are_not_compared(make_run, tmp_path):
    runs = [make_run("one", sets=["dev", "test"]), make_run("two", seed=2, num_pairs=200)]
    page = write_report(runs, tmp_path / "both.html").read_text(encoding="utf-8")
    words = re.sub(r"\s+", " ", " ".join(data for _, data in Outline(page).texts))
    assert "on different pairs under the name dev : these scores cannot be compared." in words
    assert "<strong>" not in page


def test_runs_of_one_name_are_told_apart(make_run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    folders = [str(make_run("a/_out$")), str(make_run("b/_out$"))]
    page = write_report(folders, tmp_path / "both.html").read_text(encoding="utf-8")
    assert all(page.count(folder) > 3 for folder in folders)


def test_where_the_page_of_several_goes_must_be_said(make_run):
    with pytest.raises(UsageError, match="--to FILE"):
        write_report([make_run("one"), make_run("two")])


def test_a_place_that_cannot_be_written_is_named(make_run, tmp_path):
    with pytest.raises(PluginError, match=r"cannot write to .*/nowhere/page.html: No such file"):
        write_report(make_run(), tmp_path / "nowhere" / "page.html")


def test_what_goes_wrong_is_a_line_where_there_are_results_to_keep(make_run, caplog):
    folder = make_run()
    (folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(DataError):
        write_report(folder)
    try_report(folder)
    assert caplog.messages == [f"no report: {folder / 'metrics.jsonl'} is damaged"]


def test_settings_may_be_anything(make_run):
    folder = make_run()
    record = json.loads((folder / "config.json").read_text())
    record.update(versions={"x": None, "y": [1]}, repeat="no list", data={"train": 3, "dev": {"pairs": [1]}}, ranks={})
    (folder / "config.json").write_text(json.dumps(record))
    (folder / "summary.json").write_text(
        '{"dev_accuracy": "high", "best_update": [], "seconds": "1", "best_epoch": {}}'
    )
    assert write_report(folder).exists()
