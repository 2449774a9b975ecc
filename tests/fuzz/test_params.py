"""The .params files of GluonNLP: MXNet's loader, which is C++, gets only what has been checked."""

import math
import struct

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

TYPES = {0: "<f4", 1: "<f8", 2: "<f2"}
ARRAYS = {"a.weight": np.arange(6, dtype="float32").reshape(2, 3), "b": np.ones(2, "float16"), "c": np.ones(1)}


def expected(content):
    """The arrays in a parameter file, read as simply as can be; raises something if there is anything wrong."""
    place = 0

    def take(layout):
        nonlocal place
        place += struct.calcsize(layout)
        return struct.unpack(layout, content[place - struct.calcsize(layout) : place])

    magic, _, count = take("<QQQ")
    assert magic == 0x112
    arrays = []
    for _ in range(count):
        assert take("<Ii") == (0xF993FAC9, 0)
        shape = take(f"<{take('<i')[0]}q")
        dtype = np.dtype(TYPES[take("<iii")[2]])
        numbers = take(f"<{math.prod(shape) * dtype.itemsize}s")[0]
        arrays.append(np.frombuffer(numbers, dtype).reshape(shape).astype("float32"))
    names = [take(f"<{take('<Q')[0]}s")[0].decode() for _ in range(take("<Q")[0])]
    assert place == len(content) and len(names) == len(arrays) == len(set(names))
    assert all(np.isfinite(array).all() for array in arrays)
    return dict(zip(names, (array.tolist() for array in arrays)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("params") / "small.params"
    mx.nd.save(str(path), {name: mx.nd.array(array, dtype=array.dtype) for name, array in ARRAYS.items()})
    return path.read_bytes()


def test_the_reference_is_right(small):
    assert expected(small) == {name: array.tolist() for name, array in ARRAYS.items()}


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_file_gives_what_it_holds_or_is_refused(data, damage, worker, tmp_path, small):
    path, content = tmp_path / "small.params", data.draw(damage.content(small))
    path.write_bytes(content)
    found = worker("parameters", path)
    if found is not None:
        assert found == expected(content)
    elif content == small:
        raise AssertionError("a good file was refused")


def one_array(shape, kind=0, data=b"", dimensions=None, magic=0xF993FAC9, storage=0, context=1, name=b"a"):
    array = struct.pack("<Iii", magic, storage, len(shape) if dimensions is None else dimensions)
    array += struct.pack(f"<{len(shape)}q", *shape) + struct.pack("<iii", context, 0, kind) + data
    return struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, len(name)) + name


@example(one_array([1 << 40]))
@example(one_array([1 << 60, 0]))
@example(one_array([1 << 32, 1 << 32]))
@example(one_array([-1]))
@example(one_array([]))
@example(one_array([2], dimensions=1 << 30))
@example(one_array([2], dimensions=-1))
@example(one_array([2], kind=77, data=b"\0" * 8))
@example(one_array([2], storage=1, data=b"\0" * 8))
@example(one_array([2], storage=-1, data=b"\0" * 8))
@example(one_array([2], context=-7, data=b"\0" * 8))
@example(one_array([2], magic=0xF993FAC8, data=b"\0" * 8))
@example(one_array([2], magic=0xF993FACA, data=b"\0" * 8))
@example(one_array([2], magic=3, data=b"\0" * 8))
@example(one_array([1], data=b"\0" * 4, name=b"a\0b"))  # MXNet ends the name there
@example(one_array([1], data=b"\0" * 4, name=b"\xff"))
@example(struct.pack("<QQQ", 0x112, 0, 1 << 60))
@example(struct.pack("<QQQQ", 0x112, 0, 0, 1 << 60))
@example(struct.pack("<QQQQ", 0x112, 0, 0, 0))
@settings.get_profile("fuzz")
@given(
    st.builds(
        one_array,
        st.lists(st.sampled_from([0, 1, 2, -1, 1 << 20, 1 << 31, 1 << 62]), max_size=4),
        st.integers(-1, 13),
        st.binary(max_size=16),
        st.sampled_from([None, None, 0, 1, 2, 33, -1]),
    )
)
def test_what_an_array_claims_takes_no_memory(worker, tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "claims.params"
    path.write_bytes(content)
    found = worker("parameters", path, mebibytes=16)
    if found is not None:
        assert found == expected(content)


@pytest.fixture(scope="module")
def bert(tiny_bert, tmp_path_factory):
    """A BERT saved by GluonNLP, by the names of its parameters; and its vocabulary."""
    vocab = tiny_bert / "vocab.txt"
    tokens = vocab.read_text().split()
    index = {token: i for i, token in enumerate(tokens)}
    net, _ = nlp.model.get_model(
        "bert_2_16_2",
        vocab=nlp.vocab.BERTVocab(nlp.data.count_tokens(tokens), token_to_idx=index),
        pretrained=False,
        use_decoder=False,
        use_classifier=False,
        hidden_size=24,
        max_length=40,
        hparam_allow_override=True,
    )
    net.initialize(mx.init.Normal(0.1))
    net(mx.nd.ones((1, 2)), mx.nd.ones((1, 2)), mx.nd.ones(1))
    path = tmp_path_factory.mktemp("bert") / "bert.params"
    nlp.utils.save_parameters(net, str(path))
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}, vocab


CHANGES = ("remove", "rename", "shape", "type", "number", "layer")
SHAPES = st.lists(st.sampled_from([1, 2, 3, 15, 16, 17, 24, 77]), min_size=1, max_size=3)


@pytest.fixture
def changed(damage):
    """Draws parameters that were those of `arrays` once; of names that MXNet can write."""

    def draw(data, arrays):
        arrays = dict(arrays)
        for name in data.draw(st.lists(st.sampled_from(sorted(arrays)), max_size=2, unique=True)):
            array, what = arrays.pop(name), data.draw(st.sampled_from(CHANGES))
            if what == "rename":
                name = data.draw(st.one_of(damage.text(), st.sampled_from(sorted(arrays))))
                name = name.replace("\0", "").encode("utf-8", "replace").decode()
            elif what == "shape":
                array = np.zeros(data.draw(SHAPES), array.dtype)
            elif what == "type":
                array = array.astype(data.draw(st.sampled_from(["float16", "float64", "int8", "int64"])))
            elif what == "number":
                array = np.full_like(array, data.draw(st.sampled_from([np.nan, np.inf, 1e38])))
            elif what == "layer":
                name = name.replace("cells.1", f"cells.{data.draw(st.sampled_from([2, 9, 9999, 10**9]))}")
            if what != "remove":
                arrays[name] = array
        return arrays

    return draw


def write(path, arrays):
    mx.nd.save(str(path), {name: mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()})


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_bert_is_imported_as_it_is_or_refused(data, changed, worker, tmp_path, bert):
    arrays, vocab = bert
    arrays = changed(data, arrays)
    path = tmp_path / "bert.params"
    write(path, arrays)
    backbone = data.draw(st.sampled_from(["bert_2_16_2", "bert_2_16_4", "bert_3_16_2"]))
    found = worker("imported", path, root=str(tmp_path / "root"), vocab=str(vocab), backbone=backbone)
    if found is not None:
        for name, values in found["parameters"].items():
            is_new = name.startswith("pooler.") and not {"pooler.weight", "pooler.bias"} & set(arrays)
            if not is_new:
                np.testing.assert_array_equal(np.array(values, "float32"), arrays[name].astype("float32"))


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_classifier_of_gluonnlps_answers_or_is_refused(data, changed, worker, tmp_path, bert, store_root):
    random = np.random.default_rng(0)
    arrays = {f"bert.{name}": array for name, array in bert[0].items()}
    layer = data.draw(st.sampled_from([0, 1]))
    arrays[f"classifier.{layer}.weight"] = random.normal(0, 1, (3, 16)).astype("float32")
    arrays[f"classifier.{layer}.bias"] = np.zeros(3, "float32")
    path = tmp_path / "classifier.params"
    write(path, changed(data, arrays))
    options = {"dataset_name": "tiny_uncased", "backbone": data.draw(st.sampled_from([None, "bert_2_16_4"]))}
    options.update(root=str(store_root), names_path=False)  # of answers that are not finite
    found = worker("answers", path, pairs=[["a dog", "a cat"]], **options)
    assert found is None or abs(sum(found[0].values()) - 1) < 1e-4


@pytest.mark.parametrize("option", ["vocab", "backbone"])
def test_options_of_the_import_that_can_be_nothing_are_refused(damage, worker, tmp_path, bert, option):
    arrays, vocab = bert
    path = tmp_path / "bert.params"
    write(path, arrays)
    for text in [*damage.nasty.values(), "a" * 5000, "bert_99999999_16_2", "bert_" + "2" * 5000 + "_1_1"]:
        options = {"vocab": str(vocab), "backbone": "bert_2_16_2", option: text}
        assert worker("imported", path, root=str(tmp_path / "root"), names_path=False, **options) is None
