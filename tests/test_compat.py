"""Repairs for today's packages: each is needed, and each works."""

import mxnet as mx
import numpy as np
import pytest
from gluonnlp.data import SentencepieceTokenizer

import gluonnlp_snli_plugin

pytestmark = pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")


@pytest.fixture(scope="module")
def unigram_model(tmp_path_factory, train_sentencepiece):
    sentences = [f"the {a} sees the {b}" for a in ("dog", "cat", "man") for b in ("bird", "tree", "car")]
    return str(train_sentencepiece(tmp_path_factory.mktemp("sentencepiece") / "spm.model", sentences, settings={}))


@pytest.mark.parametrize("num_best", [0, 1])
def test_sentencepiece_works_without_sampling(unigram_model, num_best):
    pieces = SentencepieceTokenizer(unigram_model, num_best=num_best)("the dog sees the tree")
    assert "".join(pieces).replace("▁", " ").strip() == "the dog sees the tree"


def test_sentencepiece_still_samples_where_sampling_is_asked_for(unigram_model):
    tokenizer = SentencepieceTokenizer(unigram_model, num_best=-1, alpha=0.1)
    assert len({tuple(tokenizer("the dog sees the tree")) for _ in range(50)}) > 1


def test_without_the_repair_todays_sentencepiece_refuses(unigram_model):
    gluonnlp_snli_plugin.deactivate()
    try:
        with pytest.raises((RuntimeError, ValueError)):
            SentencepieceTokenizer(unigram_model)("the dog")
    finally:
        gluonnlp_snli_plugin.activate()


@pytest.fixture
def net():
    """Dense layers and a batch normalization, which has parameters that are no arguments, with random weights."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(4), mx.gluon.nn.BatchNorm(), mx.gluon.nn.Dense(3))
    net.initialize(mx.init.Normal(1))
    return net


@pytest.fixture
def data():
    return mx.nd.array(np.random.default_rng(0).normal(size=(2, 5)))


def _exported(block, path):
    """The files that a block is exported to, and the names of the parameters in them."""
    block.export(str(path))
    parameters = mx.nd.load(f"{path}-0000.params")
    return f"{path}-symbol.json", f"{path}-0000.params", parameters


def _imported(files, data):
    block = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])
    return block, block(data).asnumpy()


def test_a_net_that_has_run_is_exported_as_ever(net, data, tmp_path):
    net.hybridize()
    expected = net(data).asnumpy()
    gluonnlp_snli_plugin.deactivate()
    try:
        as_ever = _exported(net, tmp_path / "ever")[2]
    finally:
        gluonnlp_snli_plugin.activate()
    files = _exported(net, tmp_path / "net")
    assert set(files[2]) == set(as_ever) == set(_kinds(net))
    assert all((files[2][name] == as_ever[name]).asnumpy().all() for name in as_ever)
    np.testing.assert_array_equal(_imported(files, data)[1], expected)


def _kinds(net):
    """The names that parameters have in an export: arguments and auxiliary states."""
    return [f"{'aux' if 'running' in name else 'arg'}:{name}" for name in net.collect_params()]


@pytest.fixture
def never_run(net, data, tmp_path):
    """A SymbolBlock that has not run yet, its outputs and the names of its parameters."""
    net.hybridize()
    expected = net(data).asnumpy()
    files = _exported(net, tmp_path / "original")
    return mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1]), expected, set(files[2])


def test_a_net_from_files_is_exported_before_it_runs(never_run, data, tmp_path):
    block, expected, names = never_run
    files = _exported(block, tmp_path / "again")
    assert set(files[2]) == names
    np.testing.assert_array_equal(_imported(files, data)[1], expected)


def test_a_net_from_files_is_exported_at_any_time_and_runs_after(never_run, data, tmp_path):
    block, expected, names = never_run
    for i in range(2):
        assert set(_exported(block, tmp_path / f"before-{i}")[2]) == names
    for i in range(2):
        np.testing.assert_array_equal(block(data).asnumpy(), expected)
        files = _exported(block, tmp_path / f"after-{i}")
        assert set(files[2]) == names
    np.testing.assert_array_equal(_imported(files, data)[1], expected)


def test_an_export_that_fails_leaves_the_net_as_it_was(never_run, data, tmp_path):
    block, expected, names = never_run
    with pytest.raises(mx.MXNetError):
        block.export(str(tmp_path / "no such folder" / "net"))
    assert set(_exported(block, tmp_path / "again")[2]) == names
    np.testing.assert_array_equal(block(data).asnumpy(), expected)


def test_a_layer_that_has_run_without_being_hybridized_is_exported_whole(data, tmp_path):
    layer = mx.gluon.nn.Dense(4)
    layer.initialize()
    expected = layer(data).asnumpy()
    files = _exported(layer, tmp_path / "layer")
    assert set(files[2]) == set(_kinds(layer))
    np.testing.assert_array_equal(_imported(files, data)[1], expected)


def test_a_net_that_has_never_run_cannot_be_exported(net, tmp_path):
    with pytest.raises(RuntimeError, match="run forward"):
        net.export(str(tmp_path / "net"))
    net.hybridize()
    with pytest.raises(RuntimeError, match="run forward"):
        net.export(str(tmp_path / "net"))


def test_without_the_repair_a_net_from_files_loses_its_parameters(never_run, tmp_path):
    gluonnlp_snli_plugin.deactivate()
    try:
        assert not _exported(never_run[0], tmp_path / "again")[2]
    finally:
        gluonnlp_snli_plugin.activate()


def test_a_sparse_array_of_scipy_is_one_of_mxnet():
    """SciPy, of which MXNet imports nothing until then, see tests/cli/test_quick_answers.py."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix([[0, 2, 0], [1, 0, 0]], dtype=np.float32)
    for array in (mx.nd.array(matrix), mx.nd.sparse.array(matrix), mx.nd.sparse.csr_matrix(matrix)):
        assert array.stype == "csr"
        np.testing.assert_array_equal(array.asnumpy(), matrix.toarray())
        assert (array.asscipy() != matrix).nnz == 0


def test_mxnet_calibrates_by_scipys_entropy():
    stats = pytest.importorskip("scipy.stats")
    assert mx.contrib.quantization.stats.entropy is stats.entropy
