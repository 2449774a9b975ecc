"""Explanations as people see them."""

import html.parser
import re

import pytest

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.evaluate import highlight
from gluonnlp_snli_plugin.evaluate.explanation import Explanation, Part
from gluonnlp_snli_plugin.evaluate.predictor import Prediction

PREDICTION = Prediction("contradiction", {"entailment": 0.02, "contradiction": 0.97, "neutral": 0.01})


def _explanation(*parts):
    return Explanation("contradiction", [Part(*part) for part in parts], [Part("b", 0.0)], [], 1.0, 0.0)


def test_the_strongest_word_has_the_strongest_colour_and_signs_are_told_apart():
    found, _ = highlight.strengths(_explanation(("a", 2.0), (" ", None), ("b", -2.0), ("c", 0.09), ("d", 0.5)))
    assert [strength for _, strength in found] == [5, 0, -5, 0, 2]


def test_where_nothing_contributes_nothing_is_coloured():
    found, _ = highlight.strengths(_explanation(("a", 0.0)))
    assert [strength for _, strength in found] == [0]


def test_in_a_terminal_words_are_coloured():
    shown = highlight.text(PREDICTION, _explanation(("not", 2.0), (" ", None), ("he", -1.0)), colours=True)
    assert re.search("\033\\[38;5;231;48;5;26mnot\033\\[0m \033\\[38;5;16;48;5;215mhe\033\\[0m", shown)
    assert re.sub("\033\\[[0-9;]*m", "", shown).splitlines()[1:] == ["  not he", "  b"]


def test_elsewhere_they_have_numbers():
    shown = highlight.text(PREDICTION, _explanation(("not", 2.0), (" ", None), ("he", -1.0)))
    assert shown.splitlines() == [
        "contradiction  (entailment 0.020  contradiction 0.970  neutral 0.010)",
        "  not[+2.00] he[-1.00]",
        "  b",
    ]


def test_a_contribution_that_rounds_to_nothing_has_no_number_and_no_sign(tmp_path):
    explanation = _explanation(("not", 0.004), (" ", None), ("he", -0.003))
    assert highlight.text(PREDICTION, explanation).splitlines()[1:] == ["  not he", "  b"]
    with highlight.page(tmp_path / "page.html") as add:
        add(PREDICTION, explanation)
    page = (tmp_path / "page.html").read_text()
    assert "<td>0.00" in page and 'title="0.00"' in page and "+0.00" not in page and "-0.00" not in page


def test_text_cannot_control_the_terminal():
    shown = highlight.text(PREDICTION, _explanation(("\x1b[2J\u202e\r\n\ud800", 2.0)))
    assert all(line.isprintable() for line in shown.split("\n")) and len(shown.split("\n")) == 3


@pytest.mark.parametrize("variables, expected", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(monkeypatch, variables, expected):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert highlight.has_colours(Terminal()) is expected
    assert not highlight.has_colours(None)


class _Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.text = set(), ""

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        assert not any(name.startswith("on") or name == "style" for name, _ in attributes)

    def handle_data(self, data):
        self.text += data


def test_the_page_is_self_contained_and_text_stays_text(tmp_path):
    hostile = "<script>alert(1)</script>\"'&\x1b\u202e\ud800"
    with highlight.page(tmp_path / "page.html") as add:
        add(PREDICTION, _explanation((hostile, 2.0), ("<img src=x onerror=y>", None), ("&lt;", -1.0)))
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(content)
    assert not tags.names & {"script", "img", "link", "iframe"} and "http" not in content
    assert "<script>alert(1)</script>" in tags.text and "<img src=x onerror=y>" in tags.text and "&lt;" in tags.text


def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(PluginError, match=r"nowhere/page\.html: No such file"), highlight.page(
        tmp_path / "nowhere/page.html"
    ):
        pass


def test_a_page_is_whole_or_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), highlight.page(tmp_path / "page.html"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
