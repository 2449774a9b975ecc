"""RoBERTa and DistilBERT architectures by name."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.model.distilbert import DISTILBERT
from gluonnlp_snli_plugin.model.roberta import ROBERTA

VOCAB = nlp.Vocab(nlp.data.count_tokens(["a", "b"]), mask_token="<mask>")
CONFIG = {"vocab_size": 7, **ROBERTA.write_config(ROBERTA.hparams("roberta_2_24_3"), 1)}


def test_a_named_shape_agrees_with_gluonnlps_own_hyper_parameters():
    for name in ("roberta_12_768_12", "roberta_24_1024_16"):
        assert ROBERTA.hparams(name) == nlp.model.bert.bert_hparams[name]
    hparams = {**DISTILBERT.hparams("distilbert_6_768_12"), "attention_cell": "multi_head", "scaled": True}
    assert hparams.pop("layer_norm_eps") == 1e-5  # the default of its builder
    assert {**hparams, "use_residual": True} == nlp.model.bert.bert_hparams["distilbert_6_768_12"]


@pytest.mark.parametrize(
    ("name", "class_"),
    [
        ("roberta_3_24_2", nlp.model.RoBERTaModel),
        ("ROBERTA_3_24_2", nlp.model.RoBERTaModel),
        ("distilbert_3_24_2", nlp.model.DistilBERTModel),
    ],
)
def test_get_model_builds_any_shape(name, class_):
    use = {"use_decoder": False} if class_ is nlp.model.RoBERTaModel else {}
    net, returned = nlp.model.get_model(name, vocab=VOCAB, pretrained=False, **use)
    assert type(net) is class_ and returned is VOCAB
    net.initialize()
    assert net(mx.nd.ones((2, 5)), mx.nd.array([5, 3])).shape == (2, 5, 24)
    assert len(net.encoder.transformer_cells) == 3


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("roberta_12_768_12", AssertionError, "Cannot override"),
        ("distilbert_6_768_12", UsageError, "distilbert_6_768_12 determines units: omit it, or give hparam_allow_over"),
    ],
)
def test_gluonnlps_own_shapes_keep_its_rules(name, error, told):
    net, _ = nlp.model.get_model(name, vocab=VOCAB, pretrained=False)
    assert net.encoder._units == 768
    with pytest.raises(error, match=told):
        nlp.model.get_model(name, vocab=VOCAB, pretrained=False, units=8)
    assert getattr(nlp.model, name)(vocab=VOCAB, pretrained=False)[0].encoder._layer_norm_eps == 1e-5


def test_what_a_distilbert_determines_is_overridden_only_where_one_says_so():
    given = {"vocab": VOCAB, "pretrained": False, "hidden_size": 8, "max_length": 9, "dropout": 0.5}
    with pytest.raises(UsageError, match="distilbert_2_8_2 determines hidden_size and max_length: omit them, or"):
        nlp.model.get_model("distilbert_2_8_2", **given)
    net, _ = nlp.model.get_model("distilbert_2_8_2", hparam_allow_override=True, **given)
    assert net.encoder._max_length == 9


def test_a_roberta_has_no_other_part_than_its_decoder():
    with pytest.raises(ValueError, match="roberta has no classifier"):
        list(ROBERTA.part("classifier", ROBERTA.hparams("roberta_2_24_3"), 7))


@pytest.mark.parametrize("name", ["roberta_2_256_3", "distilbert_0_256_4"])
def test_impossible_shapes_are_refused_in_one_line(name):
    with pytest.raises(UsageError, match=f"no architecture '{name}'"):
        nlp.model.get_model(name, vocab=VOCAB, pretrained=False)


def test_robertas_positions_follow_the_padding_token_and_hold_its_only_segment():
    _, hparams = ROBERTA.read_config({**CONFIG, "max_position_embeddings": 514}, "config.json")
    assert hparams["max_length"] == 512
    shapes = ROBERTA.tensors({**CONFIG, "type_vocab_size": 1}, hparams, 7)
    assert shapes["embeddings.position_embeddings.weight"] == (514, 24)
    tensors = {name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) for name, shape in shapes.items()}
    name, theirs = "encoder.position_weight", "embeddings.position_embeddings.weight"
    found = ROBERTA.from_huggingface(name, theirs, tensors.__getitem__, CONFIG)
    np.testing.assert_array_equal(found, tensors[theirs][2:] + np.arange(24))


@pytest.mark.parametrize("padding", [-1, None, "1", 513, True])
def test_a_padding_token_without_a_position_is_refused(padding):
    with pytest.raises(CheckpointError, match=f"config.json: pad_token_id is {padding!r}"):
        ROBERTA.read_config({**CONFIG, "pad_token_id": padding}, "config.json")


def test_a_distilbert_that_hugging_face_cannot_compute_is_not_written():
    with pytest.raises(UsageError, match="layer_norm_eps is 0.1; transformers' DistilBERT has 1e-12"):
        DISTILBERT.write_config({**DISTILBERT.hparams("distilbert_2_24_3"), "layer_norm_eps": 0.1}, 0)
