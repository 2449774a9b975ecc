"""What ``predict --file -`` reads from standard input."""

import json
import os

import gluonnlp as nlp
import mxnet as mx
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.evaluate.predictor import Predictor
from gluonnlp_snli_plugin.formats.model_folder import Model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

UNCASED = TokenizerSettings.gluonnlp(lower=True)

ROW = {"sentence1": "a dog", "sentence2": "two cats"}


@pytest.fixture(scope="module")
def predictor(tiny_name):
    mx.random.seed(0)
    net, vocab = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    return Predictor(
        Model(net, vocab, ModelSettings("bert_2_16_2", {}, "mlp", 256, 0.1, UNCASED, 32, "ratio")),
        native=False,
    )


@pytest.fixture
def predict(predictor, monkeypatch, capsys, tmp_path):
    """Status, answers and complaint for some bytes on standard input."""
    monkeypatch.setattr(Predictor, "load", lambda *_, **__: predictor)

    def run(content, *options):
        (tmp_path / "input").write_bytes(content)
        with open(tmp_path / "input", encoding="utf-8") as file, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", file)
            status = main(["predict", "model", "--file", "-", *options])
        said = capsys.readouterr()
        return status, [json.loads(line) for line in said.out.split("\n")[:-1]], said.err

    return run


@settings.get_profile("fuzz")
@given(data=st.data())
def test_good_rows_are_answered_in_order(data, damage, predict, expected_pairs):
    row = st.one_of(damage.json(ROW), st.fixed_dictionaries({"sentence1": damage.text(), "sentence2": damage.text()}))
    line = row.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    content = b"".join(data.draw(st.lists(line, max_size=5)))
    content = data.draw(st.one_of(st.just(content), damage.content(content)))
    assume(content.lstrip().startswith(b"{"))  # otherwise it may be a table, or an array
    rows = expected_pairs(content, False, False)
    good, bad = [row[:2] for row in rows if isinstance(row, tuple)], [row for row in rows if isinstance(row, int)]
    status, answers, said = predict(content, "--on-bad-row", "skip")
    assert status == 0 and [(answer["sentence1"], answer["sentence2"]) for answer in answers] == good
    said = [line for line in said.splitlines() if not line.endswith("are cut")]
    assert len(said) == bool(bad)
    if bad:
        left_out = (
            f"standard input: {len(bad)} of {len(rows)} rows cannot be used and are left out; first, line {bad[0]}: "
        )
        assert said[0].startswith(left_out)
    status, answers, said = predict(content)
    assert status == bool(bad)
    if bad:
        assert len(said.splitlines()) == 1 and f"standard input, line {bad[0]}: " in said
    assert [(answer["sentence1"], answer["sentence2"]) for answer in answers] == good[: len(answers)]


@example(b"\n" * 100)
@example(b"\xef\xbb\xbf")
@example(b"\0")
@settings.get_profile("fuzz")
@given(st.binary(max_size=100))
def test_any_bytes_are_one_line(predict, content):
    status, answers, said = predict(content)
    assert answers == [] and said.count("\n") == status in (0, 1)


def test_a_long_line_in_many_blocks_is_one_row(predict, damage, monkeypatch):
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 1000)))
    for text in damage.long.values():
        status, answers, _ = predict(json.dumps({**ROW, "sentence1": text}, ensure_ascii=False).encode())
        assert status == 0 and [answer["sentence1"] for answer in answers] == [text]


def test_standard_input_that_is_closed_is_one_line(predict, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["predict", "model", "--file", "-"]) == 2
    assert capsys.readouterr().err == "gluonnlp-snli: error: --file - reads standard input, which is closed\n"


def test_standard_input_that_is_a_folder_is_one_line(predict, monkeypatch, capsys, tmp_path):
    class Folder:
        descriptor = os.open(tmp_path, os.O_RDONLY)

        def fileno(self):
            return self.descriptor

    monkeypatch.setattr("sys.stdin", Folder())
    assert main(["predict", "model", "--file", "-"]) == 1
    assert capsys.readouterr().err == "gluonnlp-snli: error: standard input: Is a directory\n"
    os.close(Folder.descriptor)
