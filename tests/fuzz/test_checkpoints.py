"""Checkpoints of a run: the newest sound one, whatever has happened to the folder."""

import hashlib
import json
import shutil
import tracemalloc

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.train.recovery.checkpoint import Checkpoints

FILES = ["arrays.safetensors", "state.json", "manifest.json"]
STATE = {"meter": {"seconds": 1.5, "texts": ["a", None]}, "metrics_size": 7}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with checkpoints of two updates."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    checkpoints = Checkpoints(folder, keep=2)
    for update in (1, 2):
        arrays = {"weight/a": mx.nd.full((2, 3), update), "b": mx.nd.arange(update, update + 2, dtype="int64")}
        checkpoints.write(update, arrays, {**STATE, "number": update})
    checkpoints.wait()
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """Makes a fresh copy."""

    def make():
        copy = tmp_path / "checkpoints"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(str(whole), str(copy))
        return copy

    return make


def assert_is(found, update):
    assert found.update == update and found.state == {**STATE, "number": update}
    np.testing.assert_array_equal(found.arrays["weight/a"], np.full((2, 3), update))
    np.testing.assert_array_equal(found.arrays["b"], np.arange(update, update + 2))


@settings.get_profile("fuzz")
@given(data=st.data())
def test_what_is_damaged_is_not_used(data, damage, folder):
    folder = folder()
    changed = set()
    for _ in range(data.draw(st.integers(1, 3))):
        update, name = data.draw(st.sampled_from([1, 2, 2])), data.draw(st.sampled_from(FILES))
        path = folder / f"{update:09d}" / name
        before = path.read_bytes()
        path.write_bytes(data.draw(damage.content(before)))
        changed |= {update} if path.read_bytes() != before else set()
    found = Checkpoints(folder, 2).newest()
    sound = {1, 2} - changed
    # A change of white space or the like, which the manifest may survive, is none.
    if found is None:
        assert not sound
    else:
        assert found.update >= max(sound, default=1)
        assert_is(found, found.update)


def sign(path):
    files = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in FILES[:2]}
    (path / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))


@settings.get_profile("fuzz")
@given(data=st.data())
def test_what_has_the_right_hash_and_makes_no_sense_is_not_used(data, damage, folder):
    folder = folder()
    path = folder / "000000002"
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_bytes(data.draw(damage.json_bytes(state)))
    if data.draw(st.booleans()):
        arrays = path / "arrays.safetensors"
        arrays.write_bytes(data.draw(damage.content(arrays.read_bytes())))
    sign(path)
    found = Checkpoints(folder, 2).newest()
    assert type(found.update) is int and isinstance(found.state, dict)
    if found.update == 1:
        assert_is(found, 1)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_manifest_is_right_or_not_used(data, damage, folder):
    folder = folder()
    path = folder / "000000002" / "manifest.json"
    path.write_bytes(data.draw(damage.json_bytes(json.loads(path.read_text()))))
    found = Checkpoints(folder, 2).newest()
    assert_is(found, found.update)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_what_else_lies_in_the_folder_is_left_alone(data, damage, folder):
    folder = folder()
    for name in data.draw(st.lists(st.one_of(damage.text(), st.from_regex(r"\A\d{9,12}(\.new)?\Z")), max_size=3)):
        name = name.replace("/", "").replace("\0", "").replace("\ud800", "")[:60]
        path = folder / name
        if name.strip(".") and not path.exists():
            path.mkdir() if data.draw(st.booleans()) else path.write_text("x")
    assert_is(Checkpoints(folder, 2).newest(), 2)


@pytest.mark.parametrize("size", [1 << 40, 1 << 60, (1 << 64) - 1])
def test_a_header_that_claims_much_takes_no_memory(folder, size):
    folder = folder()
    path = folder / "000000002"
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size // 4 * 4]}}).encode()
    for content in (size.to_bytes(8, "little") + b"{}", len(header).to_bytes(8, "little") + header):
        (path / "arrays.safetensors").write_bytes(content)
        sign(path)
        tracemalloc.start()
        try:
            assert_is(Checkpoints(folder, 2).newest(), 1)
            assert tracemalloc.get_traced_memory()[1] < 1 << 23
        finally:
            tracemalloc.stop()


def test_the_arrays_are_those_of_safetensors(whole):
    arrays = safetensors.numpy.load_file(str(whole / "000000002" / "arrays.safetensors"))
    assert set(arrays) == {"weight/a", "b"}


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, lawful):
    path = tmp_path / "checkpoints"
    assert Checkpoints(path, 2).newest() is None
    path.write_text("")
    lawful(Checkpoints(path, 2).newest, path)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file_is_not_used(folder, name):
    path = folder() / "000000002" / name
    path.unlink()
    path.mkdir()
    assert_is(Checkpoints(path.parent.parent, 2).newest(), 1)
