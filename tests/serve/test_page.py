"""The pages of the service in a real browser."""

import html
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --virtual-time-budget=20000""".split()


@pytest.fixture
def browse(service, tmp_path):
    """The document that a browser makes of a page, once its scripts have run."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")

    def run(path, *flags):
        url = f"http://127.0.0.1:{service.port}{path}"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, "--dump-dom", url]
        done = subprocess.run(command, capture_output=True, timeout=600)
        return done.stdout.decode()

    return run


def _link(premise, hypothesis):
    return "/?" + urllib.parse.urlencode({"premise": premise, "hypothesis": hypothesis})


def test_a_pair_is_asked_and_explained(browse, service):
    page = browse(_link("The dog is not running.", "a dog is sleeping"))
    answer = service.ask({"premise": "The dog is not running.", "hypothesis": "a dog is sleeping"})[1]
    assert f'<h2 id="label">{answer["label"]}</h2>' in page and '<section id="answer" aria-labelledby="label">' in page
    assert f"{answer['probabilities']['neutral']:.3f}" in page
    (premise,) = re.findall('<span id="premise-parts">(.*?)</span>', page)
    assert re.search('<mark class="(for|against)5" title="[+−]', page)
    assert re.sub("<[^>]*>", "", premise) == "The dog is not running."


def test_hostile_text_stays_text(browse):
    hostile = "<img src=x onerror=alert(1)> </textarea><script>document.title='owned'</script>"
    page = browse(_link(hostile, "a dog"))
    assert "<img" not in page and "<title>Natural language inference</title>" in page
    (premise,) = re.findall('<span id="premise-parts">(.*?)</span>', page)
    assert html.unescape(re.sub("<[^>]*>", "", premise)) == hostile


def test_a_refusal_is_shown(browse):
    page = browse(_link("a" * 10_001, "a dog"))
    assert (
        '<p id="status" role="status" class="wrong">premise has 10001 characters; at most 10000 are allowed</p>' in page
    )


def test_the_page_about_the_service_needs_no_network(browse, service):
    page = browse("/docs")
    assert "POST /predict" in page and "http://127.0.0.1:8000/predict" in page and "<script" not in page
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/openapi.json") as response:
        document = json.loads(response.read())
    assert document["openapi"].startswith("3.") and set(document["paths"]) == {"/predict", "/healthz"}


def test_nothing_is_loaded_from_elsewhere(service):
    for path in ("/", "/docs", "/page.css", "/page.js"):
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}{path}") as response:
            assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert not re.search(r"""(?:src|href|url)[=(]["']?(?:https?:)?//""", response.read().decode())
