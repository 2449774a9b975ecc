"""SNLI rows and files of pairs, in both formats."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.data.reader import PairReader, pairs
from gluonnlp_snli_plugin.errors import DataError
from gluonnlp_snli_plugin.system.filetypes import describe
from gluonnlp_snli_plugin.tasks.snli import SNLI
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

UNCASED = TokenizerSettings.gluonnlp(lower=True)

LABELS = ["entailment", "contradiction", "neutral", "-"]
ROW = {"sentence1": "A dog.", "sentence2": "A cat.", "gold_label": "neutral"}
TABLE = b"gold_label\tx\tsentence1\tsentence2\nneutral\t\tA dog.\tA cat.\n-\t1\tA.\tB.\r\nentailment\t\ta\tb\n"
VOCAB = wordpiece_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "."])


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "_BYTES_AT_ONCE", 100)  # so that a few rows are many blocks
    monkeypatch.setattr(pairs, "_PAIRS_AT_ONCE", 3)
    return lambda is_table: tmp_path / ("pairs.tsv" if is_table else "pairs.jsonl")


@pytest.fixture
def rows(damage):
    """Draws the content of a file, of rows that are good, bad, or damaged."""

    def draw(data, is_table):
        labels = st.one_of(st.sampled_from(LABELS), st.sampled_from(LABELS), damage.text())
        good = st.tuples(st.sampled_from(["a", "A dog."]), damage.text(), labels)
        if is_table:
            line = good.map(
                lambda row: "\t".join([row[2], "", row[0], row[1]]).encode("utf-8", "surrogatepass") + b"\n"
            )
        else:
            line = good.map(lambda row: dict(zip(("sentence1", "sentence2", "gold_label"), row)))
            line = st.one_of(line, damage.json(ROW), damage.json(ROW, more=["neutral", "a"]))
            line = line.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        lines = data.draw(st.lists(line, max_size=8))
        content = b"".join([TABLE] * is_table + lines)
        return data.draw(st.one_of(st.just(content), st.just(b"\xef\xbb\xbf" + content), damage.content(content)))

    return draw


@pytest.mark.parametrize("is_labelled", [True, False])
@pytest.mark.parametrize("is_table", [False, True])
@settings.get_profile("fuzz")
@given(data=st.data())
def test_good_rows_are_read_and_bad_ones_named(data, path, rows, expected_pairs, lawful, is_table, is_labelled):
    path, content = path(is_table), rows(data, is_table)
    path.write_bytes(content)
    expected = expected_pairs(content, is_table, is_labelled)
    if expected is None or describe(content):
        assert lawful(lambda: list(PairReader(path, "skip", is_labelled)), path) is None
        return
    good = [row for row in expected if isinstance(row, tuple)]
    bad = [row for row in expected if isinstance(row, int)]
    for on_bad_row in ("error", "skip"):
        pairs = PairReader(path, on_bad_row, is_labelled)
        read_by_row = lawful(lambda: list(pairs), path)  # noqa: B023
        counts = pairs.num_unlabelled, pairs.num_bad
        columns = lawful(lambda: list(pairs.columns()), path)  # noqa: B023
        read_by_column = columns and [row for part in columns for row in zip(*part)]
        if bad and on_bad_row == "error":
            assert read_by_row is None and columns is None
            with pytest.raises(DataError, match=f"line {bad[0]}: "):
                list(pairs)
            continue
        assert read_by_row == (read_by_column or []) == good
        assert counts == (pairs.num_unlabelled, pairs.num_bad) == (expected.count("-"), len(bad))


@settings.get_profile("fuzz")
@given(data=st.data())
def test_what_is_encoded_is_what_was_read(data, path, rows, expected_pairs, lawful):
    is_table = data.draw(st.booleans())
    path, content = path(is_table), rows(data, is_table)
    path.write_bytes(content)
    encoder = PairEncoder(bert_tokenizer(VOCAB, UNCASED), VOCAB, max_len=data.draw(st.sampled_from([5, 20])))
    result = lawful(lambda: encode_file(encoder, path, "skip"), path)
    dataset = lawful(lambda: SNLI(file=path, on_bad_row="skip"), path)
    expected = expected_pairs(content, is_table, True)
    good = [row for row in expected or () if isinstance(row, tuple) and not describe(content)]
    if result is None:
        assert not good
        return
    assert [tuple(row) for row in dataset] == good
    encoded, expected = result.encoded, [encoder(*row) for row in good]
    assert len(encoded) == len(expected)
    for pair, other in zip((encoded[i] for i in range(len(encoded))), expected):
        assert all((ours == theirs).all() for ours, theirs in zip(pair, other))


def test_every_nasty_and_every_long_text_comes_through(path, damage, expected_pairs):
    texts = [*damage.nasty.values(), *damage.long.values()]
    for is_table, text in itertools.product([False, True], texts):
        file = path(is_table)
        row = (
            f"neutral\t\t{text}\ta\n" if is_table else json.dumps({**ROW, "sentence1": text}, ensure_ascii=False) + "\n"
        )
        content = (TABLE.splitlines(keepends=True)[0] if is_table else b"") + row.encode("utf-8", "surrogatepass")
        file.write_bytes(content)
        expected = [row for row in expected_pairs(content, is_table, True) if isinstance(row, tuple)]
        assert list(PairReader(file, "skip")) == expected


@pytest.mark.parametrize("is_labelled", [True, False])
def test_a_name_that_can_be_none_is_an_error_that_names_it(damage, lawful, tmp_path, is_labelled):
    encoder = PairEncoder(bert_tokenizer(VOCAB, UNCASED), VOCAB)
    for name in [*damage.nasty.values(), "a" * 5000, "a/" * 5000]:
        path = tmp_path / "nowhere" / name.lstrip("/")
        shown = None if not str(path).isprintable() else path
        assert lawful(lambda: list(PairReader(path, labelled=is_labelled)), shown) is None  # noqa: B023
        assert lawful(lambda: encode_file(encoder, path), shown) is None  # noqa: B023


def test_a_folder_of_snli_that_cannot_be_is_an_error(damage, lawful, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNLI_URL", "http://127.0.0.1:9/snli.zip")
    monkeypatch.setattr("gluonnlp_snli_plugin.tasks.download.RETRY_DELAYS", ())
    for name in [*damage.nasty.values(), "a" * 5000, "~nobody-of-that-name"]:
        assert lawful(lambda: SNLI("dev", root=name or "empty"), None) is None  # noqa: B023
