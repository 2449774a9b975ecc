"""A family of backbones is one object; whatever is done with a backbone by name asks it."""

import re

import gluonnlp as nlp
import mxnet as mx
import pytest

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model.bert import BERT, BertFamily
from gluonnlp_snli_plugin.model.family import family_of, hparams_of


def test_bert_is_known_by_its_names():
    assert family_of("bert_6_384_12") is BERT
    assert hparams_of("bert_6_384_12") == BERT.hparams("bert_6_384_12")


def test_a_name_of_no_family_is_refused_with_the_form_of_names():
    with pytest.raises(UsageError, match="no architecture 'gpt_2'; a name is bert_LAYERS_UNITS_HEADS"):
        family_of("gpt_2")


@pytest.mark.parametrize("parts", [[], ["pooler"], ["pooler", "decoder", "classifier"]])
def test_the_parameters_are_those_of_the_net_that_gluonnlp_builds(parts):
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens(["a", "b"]))
    use = {f"use_{part}": part in parts for part in ("pooler", "decoder", "classifier")}
    net, _ = nlp.model.get_model("bert_2_24_3", vocab=vocab, pretrained=False, **use)
    net.initialize()
    ids = mx.nd.ones((1, 2))
    net(ids, ids, mx.nd.array([2]), *([mx.nd.zeros((1, 1))] if "decoder" in parts else []))
    found = {name: parameter.shape for name, parameter in net._collect_params_with_prefix().items()}
    found.pop("decoder.3.weight", None)  # the word embedding itself
    told = BERT.parameters(BERT.hparams("bert_2_24_3"), len(vocab), parts)
    assert {name: shape for name, (_, shape) in told.items()} == found


@pytest.mark.parametrize("change", [{}, {"activation": "approx_gelu"}, {"layer_norm_eps": 1e-5, "max_length": 77}])
def test_what_is_written_for_hugging_face_is_read_again(change):
    hparams = {**BERT.hparams("bert_2_24_3"), **change}
    config = {"vocab_size": 7, **BERT.write_config(hparams)}
    assert BERT.read_config(config, "config.json") == ("bert_2_24_3", hparams)


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
    with pytest.raises(UsageError, match="bert_LAYERS_UNITS_HEADS, such as bert_12_768_12; or small_LAYERS"):
        family_of("small_x")
