"""MXNet's symbol: loaded by MXNet alone."""

import json

import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.tasks.snli import SNLI

HEADS = ("mlp", "pooled", "mean")
ASK = f"""
import json
import mxnet as mx
names = ["input_ids", "segment_ids", "valid_length"]
logits = {{}}
for head in {HEADS}:
    net = mx.gluon.SymbolBlock.imports(f"{{head}}/model-symbol.json", names, f"{{head}}/model-0000.params")
    logits[head] = []
    for ids, segments in json.load(open(f"{{head}}/pairs.json")):
        inputs = mx.nd.array([ids], dtype="int32"), mx.nd.array([segments], dtype="int32"), mx.nd.array([len(ids)])
        logits[head] += net(*inputs).asnumpy().tolist()
print(json.dumps(logits))
"""


def test_mxnet_alone_gives_the_same_logits(make_model, pairs_file, run_without, repair_mxnet, tmp_path):
    """For every head, in one process."""
    expected = {}
    for head in HEADS:
        model = make_model(head)
        export(model, "symbol", tmp_path / head, pairs_file)
        predictor = Predictor.load(model)
        encoded = predictor.encoder.encode(*zip(*(row[:2] for row in list(SNLI(file=pairs_file))[:20])))
        pairs = [[part.tolist() for part in encoded[i][:2]] for i in range(20)]
        (tmp_path / head / "pairs.json").write_text(json.dumps(pairs))
        expected[head] = predictor.logits(encoded)
    logits = json.loads(run_without(repair_mxnet + ASK, "gluonnlp", cwd=tmp_path))
    for head in HEADS:
        np.testing.assert_allclose(logits[head], expected[head], atol=1e-5, err_msg=head)


@pytest.mark.parametrize("backbone", ["bert_2_24_4", "distilbert_2_24_4"])
def test_its_code_in_the_readme_runs(make_model, pairs_file, run_without, repair_mxnet, tmp_path, backbone):
    export(make_model(backbone=backbone), "symbol", tmp_path / "to", pairs_file)
    readme = (tmp_path / "to" / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0].split("import mxnet as mx\n")[1]
    program = f"{repair_mxnet}import mxnet as mx\nimport numpy as np\n{code}print(logits.shape)"
    assert run_without(program, "gluonnlp", cwd=tmp_path / "to") == "(1, 3)\n"


def test_no_operator_is_one_of_ours(make_model, pairs_file, tmp_path):
    model = make_model()
    export(model, "symbol", tmp_path / "to", pairs_file)
    nodes = json.loads((tmp_path / "to" / "model-symbol.json").read_text())["nodes"]
    assert not [node["op"] for node in nodes if node["op"].startswith("_snli")]
    assert {"input_ids", "segment_ids", "valid_length"} < {node["name"] for node in nodes}


def test_a_model_without_segments_has_no_such_input(make_model, pairs_file, tmp_path):
    assert export(make_model(backbone="distilbert_2_24_4"), "symbol", tmp_path / "to", pairs_file).difference < 1e-5
    nodes = json.loads((tmp_path / "to" / "model-symbol.json").read_text())["nodes"]
    assert {node["name"] for node in nodes} & {"input_ids", "segment_ids", "valid_length"} == {
        *("input_ids", "valid_length")
    }
    readme = (tmp_path / "to" / "README.md").read_text()
    assert "| `[CLS]` (2) premise `[SEP]` (3) hypothesis `[SEP]` (3), then padding (0) |" in readme
    assert "segment" not in readme
