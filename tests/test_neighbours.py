"""Today's transformers, PyTorch and JAX share a process with MXNet; tried where they are installed."""

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.transformers

PROGRAM = """
import sys
folder, store, *modules = sys.argv[1:]
for name in modules:
    __import__(name)
import gluonnlp as nlp
import gluonnlp_snli_plugin
import mxnet as mx
import numpy as np
import transformers
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer

checkpoint = gluonnlp_snli_plugin.import_bert(folder, "neighbour_uncased", root=store)
bert, vocab = nlp.model.get_model(
    checkpoint.backbone, dataset_name=checkpoint.dataset_name, root=store, pretrained=True,
    use_decoder=False, use_classifier=False,
)
text = "The man and the woman are not sleeping, a dog is."
theirs = transformers.BertTokenizerFast.from_pretrained(folder, do_lower_case=True)(text)["input_ids"]
assert vocab[["[CLS]", *bert_tokenizer(vocab, TokenizerSettings.bert(lower=True))(text), "[SEP]"]] == theirs

ids = mx.nd.array([theirs])
_, pooled = bert(ids, mx.nd.zeros_like(ids), mx.nd.array([len(theirs)]))
if "torch" in modules:
    import torch
    with torch.no_grad():
        expected = transformers.BertModel.from_pretrained(folder).eval()(torch.tensor([theirs])).pooler_output
    np.testing.assert_allclose(pooled.asnumpy(), expected.numpy(), atol=1e-5)
if "jax" in modules:
    import jax
    product = jax.jit(lambda a: a @ a.T)(pooled.asnumpy())
    np.testing.assert_allclose(mx.nd.dot(pooled, pooled.T).asnumpy(), product, rtol=1e-5)
"""


@pytest.mark.parametrize("plugin_first", [True, False])
def test_each_computes_in_whatever_order_they_are_imported(tiny_bert, tmp_path, plugin_first):
    """The tokens of transformers, the outputs of its BERT on PyTorch, and a product that JAX compiles."""
    modules = ["transformers", *(name for name in ("torch", "jax") if importlib.util.find_spec(name))]
    modules.insert(0 if plugin_first else len(modules), "gluonnlp_snli_plugin")
    command = [sys.executable, "-c", PROGRAM, str(tiny_bert), str(tmp_path), *modules]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
