"""The page in a real browser: nothing to complain about, nothing fetched, good on a phone and in the dark."""

import pytest

from gluonnlp_snli_plugin import write_report

WIDTHS = [1280, 768, 390, 320]
OVERFLOWS = """[...document.querySelectorAll("main *")].filter(
    element => !element.closest(".box, .hidden, svg *") && element.getBoundingClientRect().right > innerWidth + 1
).map(element => element.outerHTML.slice(0, 80))"""
CONTRASTS = """(() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(value => value / 255).map(
            value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const paper = light(getComputedStyle(document.body).backgroundColor);
    return ["body", ".subtitle", "a", "thead th", "figcaption", "svg text"].map(selector => {
        const style = getComputedStyle(document.querySelector(selector));
        const ink = light(selector === "svg text" ? style.fill : style.color);
        return Math.max(paper, ink) / Math.min(paper, ink);
    });
})()"""


@pytest.fixture(scope="module")
def pages(run_in, hostile, tmp_path_factory):
    place = tmp_path_factory.mktemp("pages")
    one = run_in(place, "one", sets=["dev", "test"], texts=hostile, train_file="/a/very/long/" + "path" * 50)
    two = run_in(place, "two" * 30, seed=2, lr=1e-3)
    return [write_report(one), write_report([one, two], place / "both.html")]


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_its_window_and_needs_nothing_else(browser, pages, width, is_dark):
    for page in pages:
        browser.complaints.clear()
        browser.requests.clear()
        browser.open(page, width, is_dark)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(OVERFLOWS) == []
        assert browser.evaluate("document.title").endswith("fine-tuning on pairs of sentences")  # nobody has taken it
        assert browser.complaints == [] and browser.requests == [page.as_uri()]


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_page_follows_the_readers_scheme_and_can_be_read(browser, pages, is_dark):
    browser.open(pages[0], 1280, is_dark)
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 24, 26)" if is_dark else "rgb(253, 253, 251)")
    assert min(browser.evaluate(CONTRASTS)) > 4.5
    stroke = browser.evaluate("getComputedStyle(document.querySelector('figure svg [stroke^=var]')).stroke")
    assert stroke not in ("none", "rgb(0, 0, 0)")


def test_wide_tables_scroll_in_their_own_box(browser, pages):
    browser.open(pages[0], 320)
    wider = browser.evaluate("[...document.querySelectorAll('.box')].filter(b => b.scrollWidth > b.clientWidth).length")
    assert wider > 0
    assert browser.evaluate("[...document.querySelectorAll('.box')].every(b => b.tabIndex === 0)")


def test_a_screen_reader_is_told_what_drawings_show(browser, pages):
    browser.ask("Accessibility.enable")
    browser.open(pages[0], 1280)
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    images = [node["name"]["value"] for node in nodes if node["role"]["value"] in ("image", "img")]
    assert len(images) == 4 + 2 * 3 and all("accuracy" in name or "update" in name for name in images)
