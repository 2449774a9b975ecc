"""The model store: its index and its files."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin import store


@pytest.fixture
def root(store_root, tmp_path):
    """Makes a fresh copy."""

    def make():
        copy = tmp_path / "models"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(str(store_root), str(copy))
        return copy

    return make


MORE = ["bert_2_16_2", "bert_2_16_4", "../tiny_uncased", "tiny_cased", ".spiece", ".vocab", ["pooler"], {"units": 3}]


@settings.get_profile("fuzz")
@given(data=st.data())
def test_an_index_says_what_it_says_or_is_refused(data, damage, lawful, root):
    path = root() / store.INDEX
    content = data.draw(damage.json_bytes(json.loads(path.read_text()), MORE))
    path.write_bytes(content)
    found = lawful(lambda: store.checkpoints(path.parent), path)
    if found is not None:
        assert len(found) <= len(json.loads(content)["checkpoints"])
        lawful(lambda: store.vocabulary("tiny_uncased", path.parent), None)
        lawful(lambda: store.require("bert_2_16_2", "tiny_uncased", path.parent), None)


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_what_an_index_describes_is_built_or_refused(data, damage, worker, root):
    path = root() / store.INDEX
    path.write_bytes(data.draw(damage.json_bytes(json.loads(path.read_text()), MORE)))
    found = worker("pretrained", path.parent, names_path=False, backbone="bert_2_16_2", dataset_name="tiny_uncased")
    assert found is None or found["shapes"] == [[1, 3, 16], [1, 16]]


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_damaged_file_is_noticed(data, damage, worker, root):
    root = root()
    path = data.draw(st.sampled_from(sorted(path for path in root.iterdir() if path.name.startswith(("bert", "tiny")))))
    whole = path.read_bytes()
    path.write_bytes(data.draw(damage.content(whole)))
    found = worker("pretrained", root, names_path=False, backbone="bert_2_16_2", dataset_name="tiny_uncased")
    assert (found is None) == (path.read_bytes() != whole)
