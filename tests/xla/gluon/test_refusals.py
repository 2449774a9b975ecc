"""What cannot be computed through XLA ends in one clear line, never in a wrong result."""

import mxnet as mx
import pytest
from gluonnlp.model import RoBERTaModel
from gluonnlp.model.bert import BERTEncoder, BERTModel
from mxnet.gluon import nn

from gluonnlp_snli_plugin.errors import PluginError, UsageError

pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")

COMPUTED = "GluonNLP's BERT, RoBERTa and DistilBERT"


def dense(make_bert, inputs):
    net = nn.Dense(3)
    net.initialize(ctx=mx.gpu(0))
    net(inputs[2])


def lstm(make_bert, inputs):
    net = mx.gluon.rnn.LSTM(3)
    net.initialize(ctx=mx.gpu(0))
    net(inputs[0].astype("float32").expand_dims(2))


class OwnModel(RoBERTaModel):
    """A user's own."""


def own_model(make_bert, inputs):
    encoder = BERTEncoder(units=24, hidden_size=40, num_layers=1, num_heads=3)
    net = OwnModel(encoder, 60, units=24, embed_size=24)
    net.initialize(ctx=mx.gpu(0))
    net(inputs[0], inputs[2])


def attention_weights(make_bert, inputs):
    make_bert(ctx=mx.gpu(0), encoder={"output_attention": True})(*inputs)


def all_encodings(make_bert, inputs):
    make_bert(ctx=mx.gpu(0), encoder={"output_all_encodings": True})(*inputs)


def own_embedding(make_bert, inputs):
    embedding = nn.HybridSequential()
    embedding.add(nn.Embedding(60, 24), nn.Dropout(0.5))
    encoder = BERTEncoder(units=24, hidden_size=40, num_layers=1, num_heads=3)
    net = BERTModel(encoder, 60, 2, 24, 24, word_embed=embedding, use_decoder=False, use_classifier=False)
    net.initialize(ctx=mx.gpu(0))
    net(*inputs)


def several_dropout_rates(make_bert, inputs):
    net = make_bert(0.1, mx.gpu(0))
    net.encoder.transformer_cells[1].attention_cell.dropout_layer._rate = 0.5
    net(*inputs)


def encoder_alone(make_bert, inputs):
    make_bert(ctx=mx.gpu(0)).encoder(mx.nd.zeros((2, 3, 16), mx.gpu(0)))


def part_of_a_backbone(make_bert, inputs):
    net = make_bert(ctx=mx.gpu(0))
    net(*inputs)
    net.word_embed(inputs[0])


def longer_than_the_positions(make_bert, inputs):
    make_bert(ctx=mx.gpu(0), encoder={"max_length": 8})(*inputs)


def decoder_without_positions(make_bert, inputs):
    make_bert(ctx=mx.gpu(0), use_decoder=True)(*inputs)


def another_gpu(make_bert, inputs):
    make_bert(ctx=mx.gpu(7))


def parameters_elsewhere(make_bert, inputs):
    make_bert(ctx=mx.cpu())(*inputs)


@pytest.mark.parametrize(
    "script, error, message",
    [
        (dense, PluginError, rf"Dense on gpu\(0\) cannot be computed through XLA, only {COMPUTED} can: use mx.cpu\(\)"),
        (lstm, PluginError, rf"LSTM on gpu\(0\) cannot be computed through XLA, only {COMPUTED} can: use mx.cpu\(\)"),
        (own_model, UsageError, "OwnModel is not computed through XLA, only GluonNLP's own models are"),
        (attention_weights, UsageError, "a backbone that returns attention weights, or all layers' encodings, is not"),
        (all_encodings, UsageError, "a backbone that returns attention weights, or all layers' encodings, is not"),
        (own_embedding, UsageError, "a backbone with its own embedding layers is not computed through XLA"),
        (several_dropout_rates, UsageError, "a backbone whose layers have several dropout rates is not computed"),
        (
            encoder_alone,
            PluginError,
            r"BERTEncoder is part of a backbone on gpu\(0\): through XLA it is computed only as a",
        ),
        (
            part_of_a_backbone,
            PluginError,
            r"Embedding is part of a backbone on gpu\(0\): through XLA it is computed only as a",
        ),
        (longer_than_the_positions, PluginError, "BERTModel has positions for 8 tokens, but a batch has 11"),
        (decoder_without_positions, PluginError, "BERTModel decodes masked tokens, but is not told their positions"),
        (another_gpu, UsageError, r"the script asks for mx.gpu\(7\), but has mx.gpu\(0\): see --gpus"),
        (parameters_elsewhere, UsageError, r"is on cpu\(0\), but it is asked about arrays on gpu\(0\)"),
    ],
)
def test_it_is_said_in_one_line(script, error, message, gpus, make_bert, bert_inputs):
    with gpus(), pytest.raises(error, match=message) as raised:
        script(make_bert, bert_inputs(ctx=mx.gpu(0)))
    assert "\n" not in str(raised.value)


def test_arrays_on_the_cpu_are_refused_by_mxnet(gpus, make_bert, bert_inputs):
    with gpus():
        net = make_bert(ctx=mx.gpu(0))
        net(*bert_inputs(ctx=mx.gpu(0)))
        with pytest.raises(RuntimeError, match=r"not initialized on context cpu\(0\).*only .* on \[gpu\(0\)\]"):
            net(*bert_inputs())


def test_a_net_from_a_symbol_file(gpus, make_classifier, bert_inputs, tmp_path):
    net = make_classifier(mx.cpu())
    net(*bert_inputs())
    net.export(str(tmp_path / "net"))
    files = str(tmp_path / "net-symbol.json"), ["data0", "data1", "data2"], str(tmp_path / "net-0000.params")
    with gpus():
        net = mx.gluon.SymbolBlock.imports(*files, ctx=mx.gpu(0))
        with pytest.raises(PluginError, match=r"a net from a symbol file cannot be computed through XLA on gpu\(0\)"):
            net(*bert_inputs(ctx=mx.gpu(0)))


def test_another_net_beside_a_bert_is_told_once(gpus, make_classifier, bert_inputs, caplog):
    with gpus():
        make_classifier(mx.gpu(0))(*bert_inputs(ctx=mx.gpu(0)))
        for _ in range(2):
            net = nn.Dense(3)
            net.initialize(ctx=mx.gpu(0))
            net(mx.nd.ones((2, 3), ctx=mx.gpu(0)))
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"Dense on gpu(0) is computed by MXNet on the CPU: XLA computes only {COMPUTED}"]
