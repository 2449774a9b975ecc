"""Files of the cache of encoded pairs."""

import hashlib
import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data import cache
from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

UNCASED = TokenizerSettings.gluonnlp(lower=True)

VOCAB = wordpiece_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "."])
HEAD = struct.Struct("<16s32sQ")


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


def signed(rest, json_size):
    """A file with this content behind its head, whose hash is right."""
    return HEAD.pack(b"SNLI pairs 0001\n", hashlib.sha256(rest).digest(), json_size) + rest


@settings.get_profile("fuzz")
@given(data=st.data())
def test_damage_is_noticed(data, damage, encode, stored):
    path, whole, expected = stored
    path.unlink(missing_ok=True)  # it may be mapped
    path.write_bytes(data.draw(damage.content(whole)))
    assert_same(encode(), expected)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_file_with_the_right_hash_that_makes_no_sense_is_not_used(data, damage, encode, stored):
    path, whole, expected = stored
    json_size = HEAD.unpack_from(whole)[2]
    header, rest = whole[HEAD.size : HEAD.size + json_size], whole[HEAD.size + json_size :]
    header = data.draw(damage.json_bytes(json.loads(header)))
    json_size = data.draw(st.sampled_from([len(header), len(header), len(header), 0, 1 << 60, (1 << 64) - 1]))
    path.unlink(missing_ok=True)
    path.write_bytes(signed(header + rest, json_size))
    encoded = encode().encoded
    assert len(encoded) == len(expected.encoded)
    np.testing.assert_array_equal(encoded.input_ids, expected.encoded.input_ids)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_numbers_that_make_no_sense_are_not_used(data, damage, encode, stored):
    path, whole, _ = stored
    json_size = HEAD.unpack_from(whole)[2]
    start = HEAD.size + json_size
    path.unlink(missing_ok=True)
    path.write_bytes(signed(whole[HEAD.size : start] + data.draw(damage.content(whole[start:])), json_size))
    encoded = encode().encoded
    assert encoded.input_ids.min() >= 0 and encoded.input_ids.max() < len(VOCAB)
    assert encoded.labels.min() >= 0 and encoded.labels.max() < 3
    assert encoded.offsets[-1] == len(encoded.input_ids) and encoded.valid_length.max() <= 8
    assert min(encoded.len_a.min(), encoded.len_b.min()) >= 0


@pytest.mark.parametrize("name", ["tokens", "pairs", "truncated", "unlabelled", "bad"])
def test_counts_that_nobody_could_hold_take_no_memory(encode, stored, name):
    path, whole, expected = stored
    json_size = HEAD.unpack_from(whole)[2]
    header = json.loads(whole[HEAD.size : HEAD.size + json_size])
    header = json.dumps({**header, name: 1 << 60}).encode()
    path.write_bytes(signed(header + whole[HEAD.size + json_size :], len(header)))
    tracemalloc.start()
    try:
        result = encode()
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(result.encoded.input_ids, expected.encoded.input_ids)
