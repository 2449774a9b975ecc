"""The cache of encoded pairs: what comes out of it is what encoding gives, or it is not used."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import safetensors.numpy

from gluonnlp_snli_plugin.data import cache, truncation
from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.errors import DataError
from gluonnlp_snli_plugin.system.tensor_file import pack_header, unpack_header
from gluonnlp_snli_plugin.tasks.snli import LABELS
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab
from gluonnlp_snli_plugin.train.corpus import load_corpus
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS), "the", "dog", "."]
VOCAB = wordpiece_vocab(TOKENS)
ROWS = [(f"The {word} runs {'on ' * i}.", f"A dog is {word}.", LABELS[i % 3]) for i, word in enumerate("abcdefghijkl")]


def encoder(vocab=VOCAB, lower=True, max_len=20, strategy="longest_first"):
    return PairEncoder(bert_tokenizer(vocab, TokenizerSettings.gluonnlp(lower)), vocab, max_len, strategy)


def as_json(rows):
    lines = [json.dumps({"sentence1": a, "sentence2": b, "gold_label": label}) for a, b, label in rows]
    return "".join(line + "\n" for line in lines)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache of this test, which takes files of any size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(cache, "_SMALLEST_FILE", 0)
    return tmp_path / "xdg" / "gluonnlp_snli_plugin" / "encoded"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(as_json([*ROWS[:4], ("A.", "B.", "-"), *ROWS[4:], ("", "B.", "neutral")]))
    return path


@pytest.fixture
def encode(corpus):
    """Encode the corpus; with ``read=False`` it must come from the cache."""

    def run(read=None, **settings):
        with pytest.MonkeyPatch.context() as patch:
            reads = []
            original = PairEncoder.encode_parts
            patch.setattr(PairEncoder, "encode_parts", lambda *args: reads.append(1) or original(*args))
            result = encode_file(encoder(**settings), corpus, "skip")
        assert read is None or bool(reads) == read
        return result

    return run


@pytest.fixture
def stored(folder, encode):
    """The one file of the cache, whole."""
    encode(read=True)
    (path,) = folder.iterdir()
    return path


def assert_same(result, expected):
    assert result[1:] == expected[1:]
    for name in ("input_ids", "offsets", "len_a", "len_b", "labels"):
        array, other = (getattr(each.encoded, name) for each in (result, expected))
        np.testing.assert_array_equal(array, other)
        assert array.dtype == other.dtype
    assert result.encoded.num_truncated == expected.encoded.num_truncated
    assert result.encoded.padding_id == expected.encoded.padding_id


# Several files ------------------------------------------------------------------------------------------------------


def test_several_files_are_encoded_and_kept_as_one(folder, tmp_path):
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file, rows in zip(files, (ROWS[:5], ROWS[5:])):
        file.write_text(as_json(rows))
    (tmp_path / "both.jsonl").write_text(as_json(ROWS))
    whole = encode_file(encoder(), tmp_path / "both.jsonl")
    for _ in range(2):
        result = encode_file(encoder(), files, with_texts=True)
        np.testing.assert_array_equal(result.encoded.input_ids, whole.encoded.input_ids)
        assert result.texts == ([row[0] for row in ROWS], [row[1] for row in ROWS])
    assert len(list(folder.iterdir())) == 2
    hashes = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    assert result.sha256 == hashlib.sha256(hashes.encode()).hexdigest()


def test_chosen_rows_are_kept_apart_from_all_rows(folder, tmp_path):
    rows = [json.loads(line) for line in as_json(ROWS).splitlines()]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({**row, "fold": str(i % 2)}) for i, row in enumerate(rows)))
    assert [len(encode_file(encoder(), path, only=only).encoded) for only in (None, {"fold": "1"}) * 2] == [12, 6] * 2
    assert len(list(folder.iterdir())) == 2


def test_other_columns_come_with_the_texts_whether_or_not_the_pairs_are_kept(folder, tmp_path):
    rows = [json.loads(line) for line in as_json(ROWS).splitlines()]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({**row, "fold": i % 2}) for i, row in enumerate(rows)))
    for _ in range(2):
        result = encode_file(encoder(), path, with_texts=True, others=["fold"])
        assert result.others == [[0, 1] * 6] and result.texts[0] == [row[0] for row in ROWS]
    assert encode_file(encoder(), path, with_texts=True).others == []


def test_one_of_several_files_must_not_be_a_pipe(corpus, tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    with pytest.raises(DataError, match="pipe is not a regular file"):
        encode_file(encoder(), [corpus, tmp_path / "pipe"])


# Coming back --------------------------------------------------------------------------------------------------------


def test_what_comes_from_the_cache_is_what_encoding_gave(encode, corpus):
    first = encode(read=True)
    assert (len(first.encoded), first.num_unlabelled, first.num_bad) == (12, 1, 1)
    assert first.first_bad == "line 14: sentence1 is empty"
    assert first.encoded.num_truncated > 0
    assert first.sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert_same(encode(read=False), first)


def test_what_comes_from_the_cache_is_mapped_and_cannot_be_written_to(encode):
    encode()
    array = encode(read=False).encoded.input_ids
    assert not array.flags.owndata and not array.flags.writeable
    assert type(array) is np.ndarray


def test_a_file_replaced_or_removed_leaves_those_who_read_it_alone(encode, stored):
    result = encode(read=False)
    expected = result.encoded.input_ids.copy()
    stored.unlink()
    encode(read=True)
    np.testing.assert_array_equal(result.encoded.input_ids, expected)


def test_the_table_comes_back_too(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("gold_label\tsentence1\tsentence2\n" + "".join(f"{c}\t{a}\t{b}\n" for a, b, c in ROWS))
    assert_same(encode_file(encoder(), path), encode_file(encoder(), path))


def test_a_run_records_the_same_with_and_without_the_cache(corpus, folder):
    config = FinetuneConfig.of(output_dir="out", train_file=corpus, dev_file=corpus, on_bad_row="skip")
    runs = [load_corpus(config, encoder()) for _ in range(2)]
    assert len(list(folder.iterdir())) == 2  # what is scored may have labels that one cannot train on
    first, second = ({name: segment.provenance for name, segment in run.items()} for run in runs)
    assert first == second
    assert first["train"] == {
        "source": str(corpus),
        "sha256": hashlib.sha256(corpus.read_bytes()).hexdigest(),
        "pairs": 12,
        "rows_without_gold_label": 1,
        "bad_rows_left_out": 1,
        "truncated": runs[0]["train"].encoded.num_truncated,
    }


def test_the_sample_needs_no_cache(folder):
    corpus = load_corpus(FinetuneConfig.of(output_dir="out", sample=True), encoder())
    assert [len(corpus[name].encoded) for name in ("train", "dev")] == [9000, 600]
    assert not folder.exists()


def test_a_small_file_is_not_worth_the_cache(encode, folder, monkeypatch):
    monkeypatch.setattr(cache, "_SMALLEST_FILE", 1 << 20)
    encode(read=True)
    encode(read=True)
    assert not folder.exists()


def test_pairs_of_an_unknown_truncation_are_not_cached(corpus, folder):
    class Other(truncation.LongestFirst):
        pass

    first, second = (encode_file(encoder(strategy=Other()), corpus, "skip") for _ in range(2))
    assert_same(first, second)
    assert not folder.exists()


def test_pairs_of_other_settings_are_kept_apart(encode, folder):
    first = encode(read=True)
    assert encode(read=True, max_len=9).encoded.num_truncated > first.encoded.num_truncated
    assert_same(encode(read=False), first)
    assert len(list(folder.iterdir())) == 2


# Damage -------------------------------------------------------------------------------------------------------------


def assert_encoded_again(encode, stored, caplog):
    """The file is not used but written again, with one line about it."""
    caplog.clear()
    assert_same(encode(read=True), encode(read=False))
    (record,) = caplog.records
    assert record.name == "gluonnlp_snli_plugin" and str(stored) in record.getMessage()


def test_damage_in_every_region_is_noticed(encode, stored, caplog):
    whole = stored.read_bytes()
    regions = [0, 7, 8, 9, len(whole) // 2, len(whole) - 1, *range(16, len(whole), 41)]
    for position in regions:
        changed = bytearray(whole)
        changed[position] ^= 1
        stored.write_bytes(changed)
        assert_encoded_again(encode, stored, caplog)
        assert stored.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 200, -4, -1])
def test_a_file_cut_short_is_noticed(encode, stored, caplog, size):
    whole = stored.read_bytes()
    stored.write_bytes(whole[:size])
    assert_encoded_again(encode, stored, caplog)
    assert stored.read_bytes() == whole


@pytest.mark.parametrize("more", [b"\0", b"\0" * 4, b"x" * 1000])
def test_a_file_with_more_at_its_end_is_noticed(encode, stored, caplog, more):
    stored.write_bytes(stored.read_bytes() + more)
    assert_encoded_again(encode, stored, caplog)


def test_the_file_is_one_that_safetensors_reads(encode, stored):
    encoded = encode(read=False).encoded
    found = safetensors.numpy.load_file(stored)
    assert set(found) == {"input_ids", "len_a", "len_b", "labels"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, getattr(encoded, name))


def rewritten(whole, change):
    """The file with another header, and the right length of it."""
    header, begin = unpack_header(whole)
    change(header)
    return pack_header(header) + whole[begin:]


CHANGES = {
    "another key": lambda header: header["__metadata__"].update(key="0" * 64),
    "no hash": lambda header: header["__metadata__"].pop("sha256"),
    "no count": lambda header: header["__metadata__"].pop("truncated"),
    "another count": lambda header: header["__metadata__"].update(bad="2"),
    "no metadata": lambda header: header.pop("__metadata__"),
    "metadata that is a list": lambda header: header.update(__metadata__=[]),
    "no labels": lambda header: header.pop("labels"),
    "arrays exchanged": lambda header: header.update(len_a=header["len_b"], len_b=header["len_a"]),
    "huge offsets": lambda header: header["labels"].update(data_offsets=[0, 1 << 70]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_with_another_header_is_not_used(encode, stored, caplog, change):
    whole = stored.read_bytes()
    assert rewritten(whole, lambda header: None) == whole
    stored.write_bytes(rewritten(whole, CHANGES[change]))
    assert_encoded_again(encode, stored, caplog)
    assert stored.read_bytes() == whole


def test_a_sound_file_of_other_pairs_is_not_used(encode, stored, caplog):
    whole = stored.read_bytes()
    encode(read=True, max_len=9)
    (other,) = set(stored.parent.iterdir()) - {stored}
    stored.write_bytes(other.read_bytes())
    assert_encoded_again(encode, stored, caplog)
    assert stored.read_bytes() == whole


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'"' * 9, b"[" * 100000])
def test_a_header_that_is_not_json_is_not_used(encode, stored, caplog, text):
    whole = stored.read_bytes()
    stored.write_bytes(len(text).to_bytes(8, "little") + text + whole)
    assert_encoded_again(encode, stored, caplog)


def test_a_folder_in_the_place_of_a_file_is_survived(encode, stored, caplog):
    stored.unlink()
    stored.mkdir()
    assert len(encode(read=True).encoded) == 12
    assert all(record.levelno == logging.WARNING for record in caplog.records)


# Where the cache cannot be written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/proc/nowhere", "relative", "file"])
def test_a_cache_that_cannot_be_made_is_survived_with_one_line(encode, monkeypatch, tmp_path, caplog, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if place == "file" else place)
    assert len(encode(read=True).encoded) == 12
    (record,) = caplog.records
    assert record.name == "gluonnlp_snli_plugin" and "cache" in record.getMessage()


FULL_DISK = """
import resource, sys
from gluonnlp_snli_plugin.data import cache
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_wordpieces
cache._SMALLEST_FILE = 0
vocab = read_wordpieces(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))  # as full as a disk can be
encoder = PairEncoder(bert_tokenizer(vocab, TokenizerSettings.gluonnlp(lower=True)), vocab)
print(len(cache.encode_file(encoder, sys.argv[1], "skip").encoded))
"""


def test_a_full_disk_is_survived_with_one_line_and_leaves_nothing(corpus, folder, tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(TOKENS))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(corpus), str(vocab)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "12\n"
    assert len(done.stderr.splitlines()) == 1 and "cannot keep the encoded pairs" in done.stderr
    assert list(folder.iterdir()) == []


# Several at once, and the size of the folder ------------------------------------------------------------------------


def test_several_at_once_get_the_same(corpus, encode):
    expected = encode(read=True)
    results = []
    (path,) = cache.cache_folder("encoded").iterdir()

    def work(removes):
        for _ in range(40):
            if removes:
                path.unlink(missing_ok=True)
            results.append(encode_file(encoder(), corpus, "skip"))

    threads = [threading.Thread(target=work, args=(i == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    for result in results:
        assert_same(result, expected)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("change", [lambda path: path.write_text(as_json(ROWS)), os.unlink], ids=["written", "removed"])
def test_a_file_that_changes_while_it_is_read_is_not_cached(corpus, folder, monkeypatch, change):
    original = PairEncoder.encode_parts

    def changing(self, parts, classes=None):
        encoded = original(self, parts)
        change(corpus)
        return encoded

    monkeypatch.setattr(PairEncoder, "encode_parts", changing)
    assert len(encode_file(encoder(), corpus, "skip").encoded) == 12
    assert list(folder.iterdir()) == []


def test_the_files_used_longest_ago_give_way(encode, folder, monkeypatch):
    def age(seconds):
        for path in folder.iterdir():
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - seconds))

    encode(max_len=20)
    (first,) = folder.iterdir()
    age(100)
    encode(max_len=19)
    age(100)
    encode(max_len=20, read=False)  # used again
    monkeypatch.setattr(cache, "_KEPT_BYTES", 2 * first.stat().st_size + 100)
    encode(max_len=18)
    encode(max_len=20, read=False)
    encode(max_len=18, read=False)
    assert len(list(folder.iterdir())) == 2


def test_what_a_process_left_behind_that_died_is_removed(encode, folder):
    encode()
    old, other = folder / ".gluonnlp-snli-01234567", folder / "notes"
    for path in (old, other):
        path.write_text("half")
    encode(max_len=19)
    assert not old.exists() and other.exists()


# Files that are no plain files --------------------------------------------------------------------------------------


def test_a_pipe_is_read_once_and_hashed_as_it_goes(corpus, tmp_path, folder):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(corpus.read_bytes()))
    writer.start()
    result = encode_file(encoder(), pipe, "skip")
    writer.join()
    assert_same(result, encode_file(encoder(), corpus, "skip"))


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(DataError, match=f"^{tmp_path / name}: "):
        encode_file(encoder(), tmp_path / name)


def test_a_bad_row_is_an_error_and_nothing_is_kept(corpus, folder):
    with pytest.raises(DataError, match="line 14: sentence1 is empty"):
        encode_file(encoder(), corpus)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "content, why",
    [
        ("", ""),
        (as_json([("A.", "B.", "-")]), ": 1 row without gold label"),
        (
            as_json([("A.", "B.", "-"), ("A.", "", "neutral")]),
            ": 1 row .*, 1 row cannot be used; first, line 2: sent",
        ),
    ],
)
def test_no_labelled_pairs_are_an_error_that_says_why(tmp_path, content, why):
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=f"pairs.jsonl has no labelled pairs{why}"):
        encode_file(encoder(), path, "skip")
