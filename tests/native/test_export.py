"""Export of nets with the C++ operators in their layers: what is written has MXNet's own."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from accelerated_nets import assert_same_results, results_of

from gluonnlp_snli_plugin.native import accelerate, is_accelerated

pytestmark = pytest.mark.usefixtures("native_operators")

_IMPORT = """
import sys
import numpy as np
import mxnet as mx
path, = sys.argv[1:]
net = mx.gluon.SymbolBlock.imports(path + "-symbol.json", ["data0", "data1", "data2"], path + "-0000.params")
arrays = np.load(path + ".npz")
inputs = [mx.nd.array(arrays[name], dtype=arrays[name].dtype) for name in ("ids", "segments", "lengths")]
out = net(*inputs).asnumpy()
assert not any(name.startswith("gluonnlp_snli_plugin.native") for name in sys.modules)
assert np.abs(out - arrays["logits"]).max() <= 5e-6 * np.abs(arrays["logits"]).max(), (out, arrays["logits"])
"""


def _exported(net, inputs, path):
    net.hybridize(static_alloc=True)
    logits = net(*inputs).asnumpy()
    net.export(str(path))
    ids, segments, lengths = (array.asnumpy() for array in inputs)
    np.savez(f"{path}.npz", ids=ids, segments=segments, lengths=lengths, logits=logits)
    return (path.parent / f"{path.name}-symbol.json").read_text()


@pytest.mark.parametrize("kind", ["mlp", "gluonnlp"])
def test_an_exported_net_is_of_mxnets_own_operators_and_runs_without_the_plugin(
    nets, bert_inputs, repair_mxnet, kind, tmp_path
):
    net = nets(kind, dropout=0.1)
    accelerate(net)
    assert "_snli_" not in _exported(net, bert_inputs(), tmp_path / "net")
    command = [sys.executable, "-c", repair_mxnet + _IMPORT, str(tmp_path / "net")]
    subprocess.run(command, check=True, cwd=str(tmp_path), env=dict(os.environ))


def test_an_exported_net_is_the_one_that_a_net_as_gluonnlp_made_it_exports(nets, bert_inputs, tmp_path):
    net = nets("mlp", dropout=0.1)
    restored = _exported(net, bert_inputs(), tmp_path / "stock")
    accelerate(net)
    accelerated = _exported(net, bert_inputs(), tmp_path / "accelerated")
    assert [line for line in accelerated.splitlines() if '"op"' in line] == [
        line for line in restored.splitlines() if '"op"' in line
    ]
    one, other = (mx.nd.load(str(tmp_path / f"{name}-0000.params")) for name in ("stock", "accelerated"))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).asnumpy().all() for name in one)


def test_an_exported_net_trains_on_accelerated(nets, bert_inputs, tmp_path):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net)
    expected = results_of(net, inputs, mode="static")
    net.export(str(tmp_path / "net"))
    assert is_accelerated(net) and "_snli_" in net._cached_graph[1].tojson()
    assert_same_results(results_of(net, inputs), expected, 0)
    assert_same_results(results_of(net, bert_inputs(2, 5)), results_of(net, bert_inputs(2, 5)), 0)


def test_an_export_that_fails_leaves_the_net_accelerated(nets, bert_inputs, tmp_path):
    net, inputs = nets("mlp"), bert_inputs()
    accelerate(net)
    net.hybridize()
    expected = net(*inputs).asnumpy()
    with pytest.raises(mx.MXNetError):
        net.export(str(tmp_path / "no such folder" / "net"))
    assert is_accelerated(net)
    np.testing.assert_array_equal(net(*inputs).asnumpy(), expected)
