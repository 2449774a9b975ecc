"""What clients send to the service: every answer is JSON, and none is a failure of ours."""

import asyncio
import json

import gluonnlp as nlp
import mxnet as mx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.evaluate.predictor import Predictor
from gluonnlp_snli_plugin.formats.model_folder import Model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

pytest.importorskip("starlette")

from gluonnlp_snli_plugin.serve.app import make_app
from gluonnlp_snli_plugin.serve.batching import Batcher
from gluonnlp_snli_plugin.serve.request import Limits

UNCASED = TokenizerSettings.gluonnlp(lower=True)

QUESTION = {"premise": "a dog", "hypothesis": "two cats", "explain": False}
QUESTIONS = {"pairs": [{"sentence1": "a dog", "sentence2": "two cats"}, {"premise": "a", "hypothesis": "b"}]}
LIMITS = Limits(
    connections=9, waiting=1000, seconds=30, pairs=20, explained_pairs=2, characters=1000, body_bytes=200_000
)


@pytest.fixture(scope="module")
def ask(tiny_name):
    """Status and JSON of an answer of the application, without a network."""

    def load():
        mx.random.seed(0)
        net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
        model = Model(net, vocab, ModelSettings("bert_2_16_2", {}, "mlp", 256, 0.1, UNCASED, 32, "ratio"))
        return Predictor(model, native=False)

    loop = asyncio.new_event_loop()
    batcher = Batcher(load, LIMITS.waiting)
    app = make_app(batcher, LIMITS, {})
    running = batcher.running()
    loop.run_until_complete(running.__aenter__())

    async def request(body, path, method):
        sent, parts = [], [body[i : i + 50_000] for i in range(0, len(body), 50_000)] or [b""]

        async def receive():
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": method, "path": path, "raw_path": b"", "query_string": b"", "client": None}
        await app(
            {**scope, "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "", "client": None},
            receive,
            send,
        )
        return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))

    yield lambda body, path="/predict", method="POST": loop.run_until_complete(request(body, path, method))
    loop.run_until_complete(running.__aexit__(None, None, None))
    loop.close()


def _check(status, answer):
    if status == 200:
        for found in answer.get("predictions", [answer]):
            assert found["label"] in found["probabilities"]
    else:
        assert 400 <= status < 500 and list(answer) == ["error"]
        assert len(answer["error"].splitlines()) == 1 and answer["error"].isprintable()


@settings.get_profile("fuzz")
@given(data=st.data(), whole=st.sampled_from([QUESTION, {**QUESTION, "explain": True}, QUESTIONS]))
def test_damaged_questions(data, ask, damage, whole):
    _check(*ask(data.draw(damage.json_bytes(whole, [True, QUESTION, [QUESTION] * 30]))))


@settings.get_profile("fuzz")
@given(data=st.data(), explains=st.booleans())
def test_any_text_is_answered_or_refused(data, ask, damage, explains):
    premise, hypothesis = data.draw(damage.text()), data.draw(damage.text())
    question = {"premise": premise, "hypothesis": hypothesis, "explain": explains}
    try:
        body = json.dumps(question, ensure_ascii=False).encode()
        is_good = all(text.strip() and len(text) <= LIMITS.characters for text in (premise, hypothesis))
    except UnicodeEncodeError:
        body, is_good = json.dumps(question).encode(), False
    status, answer = ask(body)
    _check(status, answer)
    assert (status == 200) == is_good
    if is_good and explains:
        assert "".join(part["text"] for part in answer["explanation"]["premise"]) == premise


@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b"\0")
@settings.get_profile("fuzz")
@given(st.binary(max_size=100))
def test_any_bytes_are_answered(ask, content):
    _check(*ask(content))


@settings.get_profile("fuzz")
@given(path=st.text(max_size=30).map(lambda text: "/" + text), method=st.sampled_from(["GET", "POST", "PUT", "BREW"]))
def test_any_path_and_method_are_answered(ask, path, method):
    if path.rstrip("\n") not in ("/", "/docs", "/page.js", "/page.css", "/openapi.json", "/healthz"):
        _check(*ask(b"{}", path, method))


def test_long_texts_are_refused(ask, damage):
    for text in damage.long.values():
        status, answer = ask(json.dumps({**QUESTION, "premise": text}).encode())
        _check(status, answer)
        assert status in (413, 422)
