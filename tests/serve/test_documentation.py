"""The documentation of the service names the classes of its model."""

import pytest

pytest.importorskip("starlette")

from gluonnlp_snli_plugin.serve import app
from gluonnlp_snli_plugin.serve.documentation import as_page, openapi
from gluonnlp_snli_plugin.serve.request import Limits

LIMITS = Limits(connections=8, waiting=8, seconds=1, pairs=8, explained_pairs=8, characters=100, body_bytes=1000)


def _answer(document):
    (content,) = document["paths"]["/predict"]["post"]["responses"]["200"]["content"].values()
    return content["schema"]["oneOf"][0]


@pytest.mark.parametrize(
    ("labels", "example"),
    [
        (("entailment", "contradiction", "neutral"), "contradiction"),
        (("entails", "neutral"), "entails"),
    ],
)
def test_the_labels_are_those_of_the_model(labels, example):
    document = openapi(LIMITS, labels)
    answer = _answer(document)
    assert answer["properties"]["label"]["enum"] == list(labels)
    assert answer["example"]["label"] == example
    assert list(answer["example"]["probabilities"]) == list(labels)
    assert sum(answer["example"]["probabilities"].values()) == pytest.approx(1)
    assert " or ".join(labels) in as_page(document)


def test_the_page_names_the_labels_of_the_model():
    page = app._page(["entails", "<b>neutral"])
    assert "The model answers <em>entails</em> or <em>&lt;b&gt;neutral</em>." in page
    assert "{" not in page.partition("<form")[0]
