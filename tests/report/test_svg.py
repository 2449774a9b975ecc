"""Drawings fit into the page: its colours, no styles, nothing from outside."""

import re
from xml.etree import ElementTree

import matplotlib
import pytest

from gluonnlp_snli_plugin.report import plots, svg


@pytest.fixture
def drawing():
    return plots.curves(
        "c", 'Falls from 1 to 0 "soon".', [plots.Line("a", [1, 9], [1, 0]), plots.Line("b", [1], [1])], "loss"
    )


def test_a_drawing_says_what_it_shows(drawing):
    root = ElementTree.fromstring(drawing)
    assert (root.get("role"), root.get("aria-label")) == ("img", 'Falls from 1 to 0 "soon".')
    assert {"update", "loss", "a", "b"} <= {"".join(text.itertext()) for text in root.iter("text")}


def test_a_drawing_has_the_pages_colours_and_no_styles(drawing):
    assert not re.search(r"style|<metadata|<!DOCTYPE|<\?xml|xlink|https?:|font-family|DejaVu", drawing)
    assert not re.search(r"(fill|stroke)=\"#", drawing)
    assert {"var(--series-1)", "var(--series-2)", "var(--muted)", "var(--line)"} <= set(
        re.findall(r"var\([^)]*\)", drawing)
    )


def test_names_within_a_drawing_are_its_own(drawing):
    ids = re.findall(r' id="([^"]*)"', drawing)
    assert len(ids) == len(set(ids)) and all(name.startswith("c-") for name in ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', drawing)) == set(ids)


def test_a_drawing_is_the_same_each_time(drawing):
    lines = [plots.Line("a", [1, 9], [1, 0]), plots.Line("b", [1], [1])]
    assert plots.curves("c", 'Falls from 1 to 0 "soon".', lines, "loss") == drawing


def test_settings_of_the_user_have_no_effect_and_stay_as_they_are(drawing):
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "red", "svg.fonttype": "path"}):
        lines = [plots.Line("a", [1, 9], [1, 0]), plots.Line("b", [1], [1])]
        assert plots.curves("c", 'Falls from 1 to 0 "soon".', lines, "loss") == drawing
        assert matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["svg.fonttype"] == "path"


@pytest.mark.parametrize("name", ["_hidden", "$x^{", "<b>&", "名前", "x" * 99, ""])
def test_any_name_can_stand_in_a_legend(name, recwarn):
    drawing = plots.curves("c", name, [plots.Line(name, [1, 2], [1, 2]), plots.Line("b", [1], [1])], "loss")
    shown = ["".join(text.itertext()).strip() for text in ElementTree.fromstring(drawing).iter("text")]
    assert not name or any(text.startswith(name[:20]) for text in shown)
    assert not recwarn.list


def test_a_long_run_makes_no_large_drawing():
    updates = list(range(50_000))
    assert len(plots.curves("c", "", [plots.Line("a", updates, [i % 97 for i in updates])], "loss")) < 40_000


def test_thinning_keeps_the_mean():
    x, y = plots._thinned(list(range(1000)), [float(i) for i in range(1000)])
    assert len(x) <= 400 and list(x) == list(y) and x[0] == 1.0


def test_nothing_of_pyplot_is_touched():
    import subprocess
    import sys

    code = "import sys, gluonnlp_snli_plugin.report.page; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_colour_to_draw_with_is_one_of_the_pages():
    assert len(set(svg._PAGE_COLOURS.values())) == len(svg._PAGE_COLOURS) == 10
