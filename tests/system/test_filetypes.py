"""What a file is, where something else was expected."""

import bz2
import gzip
import io
import pickle
import tarfile
import zipfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from safetensors.numpy import save

from gluonnlp_snli_plugin.system.filetypes import describe, what_is


def _zip(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x" * 40)
    return content.getvalue()


def _tar():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return content.getvalue()


def _npy():
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", "git lfs pull"),
        ("premise\thypothesis\n".encode("utf-16"), "UTF-16 text"),
        ("premise\thypothesis\n".encode("utf-16-le"), "UTF-16 text"),
        ("premise\thypothesis\n".encode("utf-16-be"), "UTF-16 text"),
        ("premise".encode("utf-32"), "UTF-32 text"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (bz2.compress(b"x"), "bzip2"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\n<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"<html lang=en>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "XML"),
        (_zip("[Content_Types].xml"), "xlsx"),
        (_zip("archive/data.pkl"), "pickle"),
        (_zip("weights.txt"), "a ZIP archive"),
        (_tar(), "a tar archive"),
        (_npy(), "a NumPy file"),
        (pickle.dumps({"a": 1}, protocol=2), "pickle"),
        (save({"a": np.zeros(3)}), "safetensors"),
    ],
)
def test_it_is_told_what_a_file_is(content, said, tmp_path):
    assert said in describe(content)
    assert said in describe(content[:512])
    (tmp_path / "file").write_bytes(content)
    assert said in what_is(tmp_path / "file")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        b"{}",
        b'{"gold_label": "neutral"}\n',
        b"[PAD]\n[UNK]\n",
        "\ufeffsentence1\t".encode(),
        b"<s>\n<pad>\n",
    ],
)
def test_text_is_what_was_expected(content):
    assert describe(content) is None


@hypothesis.given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1), st.booleans())
def test_no_json_lines_are_taken_for_something_else(text, is_list):
    assert describe(orjson.dumps([text] if is_list else {"sentence1": text})) is None


def test_what_cannot_be_opened_is_not_described(tmp_path):
    assert what_is(tmp_path) is what_is(tmp_path / "missing") is what_is("\0") is None
