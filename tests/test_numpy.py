"""MXNet and GluonNLP on any NumPy: they find what they ask for and compute what they did, and NumPy stays as it is."""

import ast
import ctypes
import importlib
import math
import pickle
import re
import reprlib
import subprocess
import sys
import types
import warnings
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from gluonnlp.vocab.subwords import NGramHashes
from mxnet.contrib import quantization

NUMPY_2 = int(np.__version__.split(".")[0]) >= 2

# NumPy 1.25 to 2.3 warn of what later ones refuse.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning")


# NumPy stays as it is -------------------------------------------------------------------------------------------------


def test_nothing_is_left_in_numpy():
    """Compared with a process that has imported NumPy alone; submodules are imported on demand."""
    command = [sys.executable, "-c", "import numpy; print(*vars(numpy))"]
    alone = subprocess.run(command, capture_output=True, text=True, check=True)
    new = set(vars(np)) - set(alone.stdout.split())
    assert [name for name in new if not isinstance(vars(np)[name], types.ModuleType)] == []


def test_the_booleans_of_numpy_are_its_own():
    if NUMPY_2:
        assert np.bool is np.bool_
    else:
        assert "bool" not in vars(np) or tuple(map(int, np.__version__.split(".")[:2])) < (1, 20)


# MXNet and GluonNLP find what they ask for ----------------------------------------------------------------------------


def _names_of_numpy(source):
    """What a module asks NumPy for: pairs of the module's name for NumPy and a dotted name such as ``linalg.norm``."""
    tree = ast.parse(source)
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "numpy"
    }
    for node in ast.walk(tree):
        path = []
        while isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.value
        if path and isinstance(node, ast.Name) and node.id in aliases:
            yield node.id, ".".join(path[:2])


def _modules_with_numpy():
    for package in (mx, nlp):
        folder = Path(package.__file__).parent
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            source = path.read_text(encoding="utf-8")
            if "tools" not in parts and re.search(r"^\s*import numpy", source, re.MULTILINE):
                yield ".".join(parts), source


@pytest.mark.filterwarnings("ignore")
def test_every_name_of_numpy_that_the_hosts_use_is_there():
    """All that their modules say, whether this project's tests call it or not."""
    missing = []
    for name, source in _modules_with_numpy():
        try:
            module = importlib.import_module(name)
        except (ImportError, AttributeError):  # parts for ONNX that want another package, or an old one
            continue
        for alias, attribute in set(_names_of_numpy(source)):
            numpy = getattr(module, alias, np)
            if attribute.split(".")[0] not in ("ndarray", "dtype") and not _has(numpy, attribute):
                missing.append(f"{name}: {alias}.{attribute}")
    assert missing == []


def _has(numpy, attribute):
    for part in attribute.split("."):
        if not hasattr(numpy, part):
            return False
        numpy = getattr(numpy, part)
    return True


def test_functions_that_numpy_removed_still_compute():
    ones = mx.np.array([[3, 1], [2, 4]])
    assert mx.np.in1d(np.array([[1, 2]]), [2]).tolist() == [False, True]
    assert mx.np.msort(np.array([[3, 1], [2, 4]])).tolist() == [[2, 1], [3, 4]]
    assert (mx.np.trapz([1, 2, 3]), bool(mx.np.alltrue([1, 0]))) == (4.0, False)
    assert np.any(ones).item() and np.sum(ones).item() == 10  # NumPy's own functions hand over to MXNet's
    with pytest.raises((RuntimeError, TypeError)):  # as ever since NumPy 1.20
        mx.np.npv()


def test_booleans_mean_what_they_did():
    assert mx.np.array([1, 2, 3])[mx.np.array([True, False, True], dtype=bool)].tolist() == [1, 3]
    assert (mx.np.bool, mx.np.PZERO, mx.np.NINF) == (bool, 0.0, -np.inf)


def test_axes_are_moved_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mx.nd.moveaxis(mx.nd.zeros((2, 3)), 0, 1).shape == (3, 2)


def test_spacy_needs_no_setuptools(monkeypatch):
    spacy = types.ModuleType("spacy")
    spacy.load = lambda name, disable: str.split
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    spacy.__version__ = "10.2"
    nlp.data.SpacyTokenizer()
    spacy.__version__ = "1.10"
    with pytest.raises(AssertionError, match="spacy>=2.0.0"):
        nlp.data.SpacyTokenizer()


# Arrays of one element ------------------------------------------------------------------------------------------------


@pytest.fixture(params=[(1,), (1, 1), (1, 1, 1)], ids=str)
def one(request):
    """An array of one element with dimensions, as MXNet gives it."""
    return mx.nd.full(request.param, 2.5).asnumpy()


@pytest.mark.parametrize(
    "convert, expected",
    [
        (int, 2),
        (float, 2.5),
        (complex, 2.5 + 0j),
        (math.sqrt, math.sqrt(2.5)),
        ("%d".__mod__, "2"),
        ("%.2f".__mod__, "2.50"),
        (lambda array: ctypes.c_float(array).value, 2.5),
    ],
    ids="int float complex math %d %f ctypes".split(),
)
def test_an_array_of_one_element_is_a_number(one, convert, expected):
    assert convert(one) == expected and type(convert(one)) is type(expected)


@pytest.mark.parametrize("dtype, expected", [("float32", 2.5), ("int32", 2), ("complex64", 2.5)])
def test_an_array_of_one_element_can_be_assigned_to_an_element(one, dtype, expected):
    numbers = np.zeros(2, dtype)
    numbers[1] = one
    assert numbers.tolist() == [0, expected]


def test_rows_slices_and_results_are_numbers_too():
    column = mx.nd.array([[3], [5]]).asnumpy()
    total = 0.0
    for row in column:
        total += row
    assert [int(row) for row in column] == [3, 5]
    assert (int(column[1:]), int(column.astype(np.int64)[0]), float(total / 2)) == (5, 3, 4.0)
    assert (float(np.exp(column[0] - 3)), float(-column.copy().max(axis=0))) == (1.0, -5.0)


def test_a_loss_with_dimensions_is_a_number():
    assert float(mx.nd.full((1, 1), 2.5).asscalar()) == 2.5


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("convert", [int, float, complex])
def test_an_array_of_no_or_several_elements_is_not_a_number(number, convert):
    with pytest.raises(TypeError, match="arrays can be converted to Python scalars"):
        convert(mx.nd.zeros(3).asnumpy()[:number])


def test_only_a_numpy_that_refuses_is_helped():
    try:
        float(np.zeros(1))
    except TypeError:
        assert type(mx.nd.zeros(2).asnumpy()) is not np.ndarray
    else:
        assert type(mx.nd.zeros(2).asnumpy()) is np.ndarray


def test_arrays_of_mxnet_are_otherwise_those_of_numpy(tmp_path):
    array = mx.nd.array([[1, 2], [3, 4]]).asnumpy()
    plain = np.array([[1, 2], [3, 4]], np.float32)
    assert isinstance(array, np.ndarray) and array.flags.c_contiguous and array.flags.writeable
    assert (repr(array), str(array)) == (repr(plain), str(plain))
    assert reprlib.repr(array) == reprlib.repr(plain)  # which looks at the name of the class
    for name in "sum mean max argmax std all".split():
        assert type(getattr(array, name)()) is type(getattr(plain, name)())
    for total in (np.linalg.norm, np.median, lambda array: array[0] @ array[1], lambda array: array[0, 0]):
        assert type(total(array)) is type(total(plain))
    np.save(tmp_path / "array.npy", array)
    assert (np.load(tmp_path / "array.npy") == plain).all()
    assert (mx.nd.array(array).asnumpy() == plain).all()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_of_mxnet_can_be_read_without_it(protocol):
    array = mx.nd.array([[1, 2], [3, 4]]).asnumpy()
    again = pickle.loads(pickle.dumps(array, protocol))
    assert type(again) is np.ndarray and (again == array).all()


def test_thresholds_of_calibration_by_entropy_are_numbers():
    histogram, edges = np.arange(1001, 0, -1, np.float32), np.linspace(-5, 5, 1002, dtype=np.float32)
    *_, threshold, divergence = quantization._get_optimal_threshold((histogram, edges, -4.0, 4.0, 5.0), "int8")
    assert list(mx.base.c_array(ctypes.c_float, [-threshold, threshold])) == [-5.0, 5.0]
    assert float(divergence) == pytest.approx(0.0109, abs=1e-4)


# Numbers as text ------------------------------------------------------------------------------------------------------


def test_shapes_may_hold_numbers_of_numpy():
    shape = (np.int64(2), np.int32(3))
    assert mx.nd.zeros(shape).shape == (2, 3)
    assert mx.sym.var("x", shape=shape).attr("__shape__") == "(2, 3)"
    layer = mx.gluon.nn.Dense(np.int64(4), in_units=np.int64(3))
    layer.initialize()
    layer.hybridize()
    assert layer(mx.nd.zeros(shape)).shape == (2, 4)


@pytest.mark.parametrize(
    "value, text",
    [
        ([np.float32(0.1), np.float64(1), np.float64("nan"), np.float16(-2)], "[0.1, 1.0, nan, -2.0]"),
        ((np.bool_(True), np.bool_(False), None, (np.uint8(7),)), "(True, False, None, (7,))"),
        ("np.float32(0.1)", "np.float32(0.1)"),
        ("", ""),
    ],
)
def test_numbers_reach_mxnet_as_they_are_written_in_python(value, text):
    assert list(mx.base.c_str_array([str(value)])) == [text.encode()]
    assert mx.base.c_str(str(value)).value == text.encode()


def test_lists_of_learning_rates_may_come_from_numpy():
    weights, gradients = [mx.nd.ones((2,)), mx.nd.ones((3,))], [mx.nd.ones((2,)), mx.nd.ones((3,))]
    arrays = [array for pair in zip(weights, gradients) for array in pair]
    mx.nd.multi_sgd_update(*arrays, lrs=list(np.full(2, 0.5)), wds=[0, 0], num_weights=2, out=weights)
    assert [weight.asnumpy().tolist() for weight in weights] == [[0.5, 0.5], [0.5, 0.5, 0.5]]


# Numbers in 64 bits ---------------------------------------------------------------------------------------------------


def test_a_metric_adds_up_more_than_float32_can():
    metric = mx.metric.Loss()
    for loss in (2.0**24, 1, 1, 1):
        metric.update(None, [mx.nd.array([loss])])
    assert (metric.sum_metric, metric.num_inst) == (2**24 + 3, 4)
    assert pickle.loads(pickle.dumps(metric)).get() == metric.get()
    metric.reset()
    assert (metric.sum_metric, metric.num_inst) == (0, 0)


def test_a_metric_counts_more_than_int32_can():
    metric = nlp.metric.MaskedAccuracy()
    labels = mx.nd.ones((4,))
    metric.update([labels], [labels], [labels])
    metric.num_inst += np.int32(2**31 - 1)
    metric.update([labels], [labels], [labels])
    assert metric.num_inst == 2**31 + 7


def test_a_custom_metric_may_add_up_arrays():
    metric = mx.metric.CustomMetric(lambda label, prediction: (prediction - label).astype(np.float32))
    metric.update([mx.nd.array([1, 2])], [mx.nd.array([1, 4])])
    assert metric.sum_metric.tolist() == [0, 2]


def test_learning_rates_by_layer_are_computed_in_64_bits():
    weight, gradient = mx.nd.array([3, 4]), mx.nd.array([6, 8])
    lars = mx.optimizer.create("lars", learning_rate=0.1, eta=0.001)
    assert lars._get_lars(0, weight, gradient, 0.1, 1e-4) == 0.001 * 5 / (10 + 1e-4 * 5 + lars.eps) * 0.1
    lbsgd = mx.optimizer.create("lbsgd", learning_rate=0.1)
    assert lbsgd._get_lars(weight, gradient, 1e-4) == math.sqrt(25 / (100 + 1e-4 * 25 + 1e-18))


def test_histograms_for_calibration_are_what_they_were():
    """As computed on NumPy 1.26."""
    collector = quantization._LayerHistogramCollector(num_bins=11, include_layer=["layer"])
    random = np.random.RandomState(0)
    for scale in (1, 3, 2, 7.3):
        array = mx.nd.array(random.normal(0, scale, 1000))
        collector.collect(b"layer", array.handle)
        array.handle = ctypes.c_void_p(None)  # the collector has freed it
    histogram, edges, least, most, threshold = collector.hist_dict["layer"]
    assert (len(histogram), histogram.sum(), histogram[48:52].tolist()) == (101, 4000, [316, 404, 445, 396])
    assert (edges.dtype, edges[0]) == (np.float32, np.float32(-27.969131469726562))
    assert (least, most, threshold) == (-27.302734375, 27.752119064331055, 27.96913168647072)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_padding_wraps_around():
    padded = nlp.data.batchify.Pad(pad_val=-1, dtype="uint8")([np.array([1, 2]), np.array([3])])
    assert padded.asnumpy().tolist() == [[1, 2], [3, 255]]


def test_subwords_hash_as_fasttext_does():
    hashes = [NGramHashes.fasttext_hash_asbytes(word) for word in ("", "test", "Zürich", "犬")]
    assert hashes == [2166136261, 2949673445, 3265985312, 299394136]
    assert NGramHashes(1000)(["Zürich"])[0][:6] == [452, 234, 361, 766, 744, 739]
