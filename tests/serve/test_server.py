"""The real service under real clients."""

import concurrent.futures
import contextlib
import json
import re
import signal
import socket
import sys
import time

import pytest

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.formats import export

PAIR = {"premise": "The dog is running.", "hypothesis": "a dog is sleeping"}
HUGE = {"pairs": [{"premise": "The dog is running outside. " * 5, "hypothesis": "a dog is not red " * 5}] * 256}


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return Predictor.load(tiny_run)


@pytest.fixture(scope="module")
def pairs(pairs_file):
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    return [(row["sentence1"], row["sentence2"]) for row in rows]


def _is_answer(found, prediction):
    return found["label"] == prediction.label and found["probabilities"] == pytest.approx(
        prediction.probabilities, abs=1e-4
    )


def test_one_pair_by_either_name(service, predictor):
    expected = predictor([tuple(PAIR.values())])[0]
    for names in (("premise", "hypothesis"), ("sentence1", "sentence2")):
        status, found, _ = service.ask({**dict(zip(names, PAIR.values())), "gold_label": "neutral"})
        assert status == 200 and _is_answer(found, expected) and set(found) == {"label", "probabilities"}


def test_many_pairs_are_answered_in_their_order(service, predictor, pairs):
    status, found, _ = service.ask({"pairs": [{"premise": a, "hypothesis": b} for a, b in pairs]})
    assert status == 200 and len(found["predictions"]) == len(pairs)
    assert all(map(_is_answer, found["predictions"], predictor(pairs)))
    assert service.ask({"pairs": []})[:2] == (200, {"predictions": []})


def test_an_explanation_is_the_predictors(service, predictor):
    status, found, _ = service.ask({**PAIR, "explain": True})
    expected = predictor.explain(*PAIR.values()).to_dict()
    assert status == 200 and "".join(part["text"] for part in found["explanation"]["premise"]) == PAIR["premise"]
    values = [[token["contribution"] for token in each["tokens"]] for each in (found["explanation"], expected)]
    assert values[0] == pytest.approx(values[1], abs=1e-3)


def test_32_clients_at_once_each_get_the_right_answers(service, predictor, pairs):
    expected = predictor(pairs)

    def client(number):
        for i in range(number, number + 12):
            i %= len(pairs)
            some = [{"premise": a, "hypothesis": b} for a, b in pairs[i : i + 1 + number % 3]]
            status, found, _ = service.ask({"pairs": some})
            assert status == 200 and all(map(_is_answer, found["predictions"], expected[i:]))
            assert len(found["predictions"]) == len(some)

    with concurrent.futures.ThreadPoolExecutor(32) as clients:
        list(clients.map(client, range(32)))
    assert service.ask(None, "/healthz", "GET")[1]["waiting"] == 0


def test_health_says_what_is_served(service, tiny_run):
    status, found, headers = service.ask(None, "/healthz", "GET")
    assert status == 200 and found["status"] == "ready" and found["model"] == "out"
    assert found["labels"] == ["entailment", "contradiction", "neutral"] and found["versions"]["mxnet"] == "1.9.1"
    assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


@pytest.mark.parametrize(
    "content, status, complaint",
    [
        (b"", 400, "not valid JSON"),
        (b"no json", 400, "not valid JSON"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b'{"premise": NaN}', 400, "not valid JSON"),
        (b'{"premise": "\\ud800", "hypothesis": "b"}', 400, "not valid JSON"),
        (b"[" * 100_000, 400, "not valid JSON"),
        ([], 422, "the body is an array"),
        (None, 400, "not valid JSON"),
        (7, 422, "the body is a number"),
        ({}, 422, "premise is missing"),
        ({"premise": "a"}, 422, "hypothesis is missing"),
        ({**PAIR, "premise": ""}, 422, "premise is empty"),
        ({**PAIR, "premise": " \n\u3000"}, 422, "premise is empty"),
        ({**PAIR, "premise": None}, 422, "premise is null; it must be text"),
        ({**PAIR, "premise": ["a"]}, 422, "premise is an array; it must be text"),
        ({**PAIR, "premise": "a" * 10_001}, 422, "premise has 10001 characters; at most 10000 are allowed"),
        ({**PAIR, "sentence1": "a"}, 422, "premise and sentence1 mean the same"),
        ({**PAIR, "explain": 1}, 422, "explain is a number; it must be true or false"),
        ({"pairs": PAIR}, 422, "pairs is an object; it must be an array"),
        ({"pairs": [PAIR, 5]}, 422, "pairs[1]: a number; it must be an object"),
        ({"pairs": [PAIR, {"premise": "a"}]}, 422, "pairs[1]: hypothesis is missing"),
        ({"pairs": [PAIR], **PAIR}, 422, "give one or the other"),
        ({"pairs": [PAIR] * 257}, 422, "257 pairs; a request may have at most 256"),
        ({"pairs": [PAIR] * 9, "explain": True}, 422, "9 pairs; a request may have at most 8 with explain"),
        (b"x" * 10_000_000, 413, "the body is larger than 1048576 bytes"),
        ({"premise": "a" * 2_000_000}, 413, "the body is larger than 1048576 bytes"),
    ],
)
def test_a_request_that_is_wrong_is_told_so_in_one_line(service, content, status, complaint):
    found = service.ask(content)
    assert found[0] == status and list(found[1]) == ["error"]
    assert complaint in found[1]["error"] and len(found[1]["error"].splitlines()) == 1


@pytest.mark.parametrize("text", ["a\0b", "\u202edog", "\U0010ffff", "日本語", "e" + "\u0301" * 500, "x" * 10_000])
def test_strange_text_is_answered(service, text):
    assert service.ask({**PAIR, "hypothesis": text, "explain": True})[0] == 200


def test_other_paths_and_methods(service):
    assert service.ask(None, "/nowhere", "GET")[:2] == (404, {"error": "not found; see /docs"})
    assert service.ask(PAIR, "/predict/")[0] == 404
    status, found, headers = service.ask(None, "/predict", "GET")
    assert (
        status == 405 and found == {"error": "method GET is not allowed here; see /docs"} and headers["allow"] == "POST"
    )
    assert service.ask(PAIR, "/healthz")[0] == 405


def test_garbage_that_is_no_http_does_no_harm(service):
    for garbage in (b"\x16\x03\x01 hello", b"GET / HTTP/9\r\n\r\n", b"GET /" + b"a" * 200_000, b"\r\n" * 100):
        with socket.create_connection(("127.0.0.1", service.port), timeout=600) as connection:
            connection.sendall(garbage)
    assert service.ask(PAIR)[0] == 200
    assert not any("Traceback" in line for line in service.said)


def test_a_body_that_ends_early_or_never_ends_is_given_up(start, tiny_run):
    service = start(tiny_run, "--max-seconds", 1, open_files=128)
    assert re.search("at most [0-9]+ connections at a time, not 512: ulimit -n is 128", service.said[0])
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=600) as connection:
        connection.sendall(head + b"{")
    with socket.create_connection(("127.0.0.1", service.port), timeout=600) as connection:
        connection.sendall(head + b"{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    with contextlib.ExitStack() as stack:
        for begin in (b"", head[:30], head + b"{") * 100:
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=600))
            silent.sendall(begin)
        for _ in range(2):
            status = 503
            while status == 503:  # a busy machine may not have the answer within the second
                status, found, _ = service.ask(PAIR)
            assert status == 200, found
    assert len(service.said) < 10
    assert service.ask(None, "/healthz", "GET")[1]["waiting"] == 0
    assert not any("Traceback" in line for line in service.said)


def test_overload_is_refused_and_memory_stays_bounded(start, tiny_run):
    service = start(tiny_run, "--max-waiting", 300)
    service.ask(HUGE)
    before, statuses = service.resident_mib(), []

    def client(_):
        end = time.monotonic() + 1
        while time.monotonic() < end:
            status, found, headers = service.ask(HUGE)
            statuses.append(status)
            if status == 503:
                assert headers["retry-after"] == "1" and "too many pairs" in found["error"]

    with concurrent.futures.ThreadPoolExecutor(32) as clients:
        list(clients.map(client, range(32)))
    assert set(statuses) == {200, 503} and statuses.count(503) > statuses.count(200)
    assert service.resident_mib() < before + 150
    assert service.ask(PAIR)[0] == 200
    assert service.ask(None, "/healthz", "GET")[1]["waiting"] == 0


def test_what_takes_too_long_is_given_up(start, tiny_run):
    service = start(tiny_run, "--max-seconds", 0.001)
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: service.ask(HUGE), range(8)))
    assert {status for status, *_ in answers} <= {408, 503}
    assert any("within 0.001 s" in found["error"] for _, found, _ in answers)


@pytest.mark.parametrize(
    "number, status, options",
    [
        (signal.SIGTERM, 0, ["--dtype", "int8"]),
        (signal.SIGINT, 130, ["--host", "0.0.0.0", "--allow-host", "nli.local"]),
    ],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_signal_lets_requests_in_flight_finish(start, tiny_run, native_operators, number, status, options):
    service = start(tiny_run, "--max-waiting", 5000, "--max-seconds", 600, *options)
    if "--host" in options:
        assert service.said[0].startswith("everyone who can reach this machine can use the service")
        for host, known in (
            ("NLI.local:80", 200),
            (socket.gethostname(), 200),
            ("192.0.2.1", 200),
            ("nli.local.x", 421),
        ):
            assert service.ask(None, "/healthz", "GET", headers={"Host": host})[0] == known
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(service.ask, {**HUGE, "pairs": HUGE["pairs"][:8], "explain": True}) for _ in range(8)]
        arrived = 0
        while arrived < 8:
            arrived = sum(answer.done() for answer in answers)
            arrived += service.ask(None, "/healthz", "GET")[1]["waiting"] // (8 * 50)
        assert service.stop(number) == status
        for answer in answers:
            assert answer.result()[0] == 200 and len(answer.result()[1]["predictions"]) == 8
    assert not any("Traceback" in line for line in service.said)
    with pytest.raises(ConnectionRefusedError):
        service.ask(PAIR)


def test_it_listens_on_the_loopback_interface_by_default(service, tiny_run):
    assert service.said[0] == f"{tiny_run} is served at http://127.0.0.1:{service.port}/ (Ctrl-C stops)\n"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.x", "", "\x1b"]
)
def test_a_name_that_is_not_its_own_gets_no_answer(service, host):
    for content, path, method in ((PAIR, "/predict", "POST"), (None, "/", "GET")):
        status, found, _ = service.ask(content, path, method, headers={"Host": host})
        assert status == 421 and "--allow-host" in found["error"] and found["error"].isprintable()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.:8000", "127.0.0.1", "[::1]:80", "[fe80::1%eth0]", "10.1.2.3:1"]
)
def test_addresses_and_localhost_are_its_own(service, host):
    assert service.ask(PAIR, headers={"Host": host})[0] == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_what_is_not_declared_as_json_is_refused(service, kind):
    status, found, _ = service.ask(PAIR, kind=kind)
    assert (status, found) == (415, {"error": "the body must be JSON, declared as Content-Type: application/json"})


def test_what_is_declared_as_json_may_have_a_charset(service):
    assert service.ask(PAIR, kind="Application/JSON; charset=utf-8")[0] == 200


def test_a_port_in_use_is_one_line(service, tiny_run, capsys):
    assert main(["serve", str(tiny_run), "--port", str(service.port)]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"gluonnlp-snli: error: port {service.port} of 127.0.0.1: Address already in use")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--port", "70000"], "--port is 70000"),
        (["--host", "no such host"], "is neither an address nor a known name"),
        (["--max-waiting", "0"], "--max-waiting is 0"),
        (["--max-seconds", "nan"], "--max-seconds is nan"),
        (["--batch-size", "0", "--port", "0"], "--batch-size is 0"),
    ],
)
def test_options_that_make_no_sense_are_one_line(tiny_run, capsys, options, complaint):
    pytest.importorskip("uvicorn")
    assert main(["serve", str(tiny_run), *options]) == 2
    line = capsys.readouterr().err
    assert complaint in line and line.count("\n") == 1


def test_no_model_no_service(tmp_path, capsys):
    pytest.importorskip("uvicorn")
    assert main(["serve", str(tmp_path), "--port", "0"]) == 1
    assert "holds no model" in capsys.readouterr().err


def test_without_the_extra_there_is_one_line_that_says_how_to_get_it(tiny_run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not there
    for name in ("connections", "server"):
        monkeypatch.delitem(sys.modules, f"gluonnlp_snli_plugin.serve.{name}", raising=False)
        monkeypatch.delattr(f"gluonnlp_snli_plugin.serve.{name}", raising=False)
    assert main(["serve", str(tiny_run)]) == 2
    line = capsys.readouterr().err
    assert "serve needs uvicorn, which is not installed: pip install 'gluonnlp-snli-plugin[serve]'" in line


def test_an_onnx_folder_answers_and_is_not_explained(start, tiny_run, pairs_file, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = export(tiny_run, "onnx", tmp_path / "to", pairs_file).folder
    service = start(folder)
    status, found, _ = service.ask(PAIR)
    assert status == 200 and _is_answer(found, Predictor.load(tiny_run)([tuple(PAIR.values())])[0])
    status, found, _ = service.ask({**PAIR, "explain": True})
    assert status == 422 and found["error"] == "an ONNX model cannot be explained; leave out explain"
