"""A family of backbones is one object; whatever is done with a backbone by name asks it."""

import re

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.bert import BERT, BertFamily
from gluonnlp_snli_plugin.model.distilbert import DISTILBERT
from gluonnlp_snli_plugin.model.family import family_of, hparams_of
from gluonnlp_snli_plugin.model.roberta import ROBERTA

BERT_VOCAB = nlp.vocab.BERTVocab(nlp.data.count_tokens(["a", "b"]))
ROBERTA_VOCAB = nlp.Vocab(nlp.data.count_tokens(["a", "b"]), mask_token="<mask>")


@pytest.mark.parametrize("family", [BERT, ROBERTA, DISTILBERT], ids=lambda family: family.name)
def test_a_family_is_known_by_its_names(family):
    backbone = f"{family.name}_6_384_12"
    assert family_of(backbone) is family and family_of(family.example) is family
    assert hparams_of(backbone) == family.hparams(backbone)
    assert family.are_hparams(backbone, family.hparams(backbone))
    assert not family.are_hparams(backbone, {**family.hparams(backbone), "num_layers": 7})


def test_a_name_of_no_family_is_refused_with_the_form_of_names():
    with pytest.raises(UsageError, match="no architecture 'gpt_2'; a name is bert_LAYERS_UNITS_HEADS"):
        family_of("gpt_2")


@pytest.mark.parametrize(
    ("family", "vocab", "parts"),
    [
        (BERT, BERT_VOCAB, []),
        (BERT, BERT_VOCAB, ["pooler"]),
        (BERT, BERT_VOCAB, ["pooler", "decoder", "classifier"]),
        (ROBERTA, ROBERTA_VOCAB, []),
        (ROBERTA, ROBERTA_VOCAB, ["decoder"]),
        (DISTILBERT, BERT_VOCAB, []),
    ],
)
def test_the_parameters_are_those_of_the_net_that_gluonnlp_builds(family, vocab, parts):
    backbone = f"{family.name}_2_24_3"
    use = {f"use_{part}": part in parts for part in family.parts}
    net, _ = nlp.model.get_model(backbone, vocab=vocab, pretrained=False, **use)
    net.initialize()
    ids = mx.nd.ones((1, 2))
    inputs = [ids, ids] if family.layout.has_segments else [ids]
    net(*inputs, mx.nd.array([2]), *([mx.nd.zeros((1, 1))] if "decoder" in parts else []))
    found = {name: parameter.shape for name, parameter in net._collect_params_with_prefix().items()}
    found.pop("decoder.3.weight", None)  # the word embedding itself
    told = family.parameters(family.hparams(backbone), len(vocab), parts)
    assert {name: shape for name, (_, shape) in told.items()} == found


def test_a_part_that_a_family_lacks_has_no_parameters():
    with pytest.raises(ValueError, match="distilbert has no pooler"):
        DISTILBERT.parameters(DISTILBERT.hparams("distilbert_2_24_3"), 7, ["pooler"])


@pytest.mark.parametrize("family", [BERT, ROBERTA, DISTILBERT], ids=lambda family: family.name)
@pytest.mark.parametrize("change", [{}, {"activation": "approx_gelu"}, {"max_length": 77, "hidden_size": 5}])
def test_what_is_written_for_hugging_face_is_read_again(family, change):
    backbone = f"{family.name}_2_24_3"
    hparams = {**family.hparams(backbone), **change}
    config = {"vocab_size": 7, **family.write_config(hparams, 3)}
    assert family.read_config(config, "config.json") == (backbone, hparams)


@pytest.mark.parametrize("family", [BERT, ROBERTA])
def test_epsilon_is_part_of_the_configuration(family):
    hparams = {**family.hparams(f"{family.name}_2_24_3"), "layer_norm_eps": 1e-3}
    config = {"vocab_size": 7, **family.write_config(hparams, 3)}
    assert family.read_config(config, "config.json") == (f"{family.name}_2_24_3", hparams)


@pytest.mark.parametrize("family", [BERT, ROBERTA, DISTILBERT], ids=lambda family: family.name)
def test_parameters_survive_the_way_to_hugging_face_and_back(family):
    hparams = family.hparams(f"{family.name}_2_24_3")
    generator = np.random.default_rng(0)
    mapping = family.parameters(hparams, 7, family.parts)
    parameters = {name: generator.normal(size=shape).astype(np.float32) for name, (_, shape) in mapping.items()}
    config = {"vocab_size": 7, **family.write_config(hparams, 3)}
    tensors = family.to_huggingface({**parameters, "further": np.zeros(1)}, hparams, 3)
    expected = family.tensors(config, hparams, 7, family.parts)
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    for name, (theirs, _) in mapping.items():
        back = family.from_huggingface(name, theirs, tensors.__getitem__, config)
        np.testing.assert_array_equal(back, parameters[name])


@pytest.fixture
def small():
    """A family of a user's own: BERTs under other names."""

    class Small(BertFamily):
        form = "small_LAYERS"
        model_type = "small"

        def knows(self, backbone):
            return bool(re.fullmatch("small_[1-9]", backbone))

        def hparams(self, backbone):
            return super().hparams(f"bert_{backbone[-1]}_24_3")

    yield registry.family("small")(Small())
    del registry.family._entries["small"]


def test_another_family_is_found_by_its_names(small):
    assert family_of("small_4") is small and family_of("bert_2_24_3") is BERT
    assert hparams_of("small_4")["num_layers"] == 4
    with pytest.raises(UsageError, match="bert_LAYERS_UNITS_HEADS, such as bert_12_768_12; or .*; or small_LAYERS"):
        family_of("small_x")
