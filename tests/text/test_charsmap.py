"""The table of characters of a SentencePiece model: a whole one passes, and none that leads out of itself does."""

import struct

import pytest

from gluonnlp_snli_plugin.text.charsmap import _fields, require_sound_charsmaps

RULES = ["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "identity"]


def _message(charsmap, rest=b""):
    def field(number, content):
        size, length = len(content), b""
        while size >= 0x80:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    return field(3, field(1, b"name") + field(2, charsmap)) + rest


def _charsmap(*units, text=b"a\0bc\0"):
    units = [*units, *[0] * (256 - len(units))]
    return struct.pack("<I256I", 1024, *units) + text


@pytest.mark.parametrize("rule", RULES)
def test_the_tables_of_sentencepiece_pass(train_sentencepiece, tmp_path, rule):
    sentences = ["a man is sleeping outside", "the woman eats", "two dogs run"] * 20
    path = train_sentencepiece(tmp_path / "pieces.model", sentences, settings={"normalization_rule_name": rule})
    content = path.read_bytes()
    require_sound_charsmaps(content)
    spec = next(spec for number, spec in _fields(memoryview(content)) if number == 3)
    assert any(number == 2 and len(table) > 1024 for number, table in _fields(spec)) == (rule != "identity")


def test_a_small_table_passes():
    require_sound_charsmaps(_message(_charsmap(1 << 31, 1 << 31 | 2, 0xFF << 10)))
    require_sound_charsmaps(b"")


@pytest.mark.parametrize(
    "charsmap",
    [
        _charsmap(1 << 31 | 5),  # behind the texts
        _charsmap(1 << 31 | 1),  # not at the beginning of one
        _charsmap(1 << 18),  # a unit behind the table
        _charsmap(text=b"a\0b"),
        _charsmap(text=b"\xff\0"),
        _charsmap(text=b""),
        _charsmap()[:500],
        b"\0\0\0\0a\0",
        b"\xff",
    ],
)
def test_one_that_leads_astray_does_not(charsmap):
    with pytest.raises(ValueError):
        require_sound_charsmaps(_message(charsmap))


@pytest.mark.parametrize("rest", [b"\x1a\xff", b"\x1a\xff\xff\x03ab", b"\x1a", b"\x80" * 12, b"\x1b"])
def test_a_message_that_is_damaged_does_not(rest):
    with pytest.raises(ValueError):
        require_sound_charsmaps(_message(_charsmap(), rest))
