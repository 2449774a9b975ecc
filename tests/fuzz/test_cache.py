"""Files of the cache of encoded pairs."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data import cache
from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.system.tensor_file import unpack_header
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

UNCASED = TokenizerSettings.gluonnlp(lower=True)

VOCAB = wordpiece_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "."])


@pytest.fixture
def encode(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(cache, "_SMALLEST_FILE", 0)
    path = tmp_path / "pairs.jsonl"
    rows = [{"sentence1": "a dog " * i, "sentence2": "dogs.", "gold_label": "neutral"} for i in range(1, 5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    encoder = PairEncoder(bert_tokenizer(VOCAB, UNCASED), VOCAB, 8)
    return lambda: encode_file(encoder, path)


@pytest.fixture
def stored(encode, tmp_path):
    """The file of the cache; what it was; what it stands for."""
    expected = encode()
    (path,) = (tmp_path / "xdg" / "gluonnlp_snli_plugin" / "encoded").iterdir()
    return path, path.read_bytes(), expected


def assert_same(result, expected):
    for name in ("input_ids", "offsets", "len_a", "len_b", "labels"):
        np.testing.assert_array_equal(getattr(result.encoded, name), getattr(expected.encoded, name))
    assert result[1:] == expected[1:] and result.encoded.num_truncated == expected.encoded.num_truncated


@settings.get_profile("fuzz")
@given(data=st.data())
def test_damage_is_noticed(data, damage, encode, stored):
    path, whole, expected = stored
    path.unlink(missing_ok=True)  # it may be mapped
    path.write_bytes(data.draw(damage.content(whole)))
    assert_same(encode(), expected)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_damaged_header_of_the_right_length_is_noticed(data, damage, encode, stored):
    path, whole, expected = stored
    header, begin = unpack_header(whole)
    header = data.draw(damage.json_bytes(header))
    path.unlink(missing_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + whole[begin:])
    assert_same(encode(), expected)


@pytest.mark.parametrize("length", [1 << 31, 1 << 60, (1 << 64) - 1])
def test_a_huge_length_of_the_header_takes_no_memory(encode, stored, length):
    path, whole, expected = stored
    path.write_bytes(length.to_bytes(8, "little") + whole[8:])
    tracemalloc.start()
    try:
        result = encode()
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert_same(result, expected)
