"""GluonNLP's own class of tokenizer for RoBERTas takes the merges of the vocabulary that get_model gave."""

import pickle
from pathlib import Path

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import activate as activate_plugin
from gluonnlp_snli_plugin import deactivate, import_bert
from gluonnlp_snli_plugin.store import gpt2_tokenizer

pytest.importorskip("tokenizers")
GOLDEN = Path(__file__).parents[1] / "formats" / "golden" / "roberta"


@pytest.fixture
def roberta(tmp_path, monkeypatch):
    monkeypatch.setattr(gpt2_tokenizer, "_latest", None)
    checkpoint = import_bert(GOLDEN, "golden_cased", root=tmp_path / "models")

    def get_model():
        return nlp.model.get_model(
            checkpoint.backbone, dataset_name="golden_cased", root=str(tmp_path / "models"), use_decoder=False
        )[1]

    return get_model


@pytest.fixture
def asks_the_host(monkeypatch):
    """The host that is gone."""

    def download(*_, **__):
        raise ConnectionError

    monkeypatch.setattr("gluonnlp.data.transforms.download", download)


def test_it_gives_the_tokens_of_the_model(roberta):
    vocab = roberta()
    tokenizer = nlp.data.GPT2BPETokenizer()
    assert isinstance(tokenizer, nlp.data.GPT2BPETokenizer)
    assert tokenizer("the dog <mask>") == ["th", "e", "Ġdog", "<mask>"]
    assert vocab[tokenizer("犬 isn't")] == tokenizer._byte_pairs.ids("犬 isn't")
    assert pickle.loads(pickle.dumps(tokenizer))("the dog") == ["th", "e", "Ġdog"]


def test_a_bert_between_changes_nothing(roberta, tiny_name):
    roberta()
    nlp.model.get_model("bert_2_16_2", dataset_name=tiny_name, use_decoder=False, use_classifier=False)
    assert nlp.data.GPT2BPETokenizer()("the dog") == ["th", "e", "Ġdog"]


@pytest.mark.usefixtures("asks_the_host")
def test_a_vocabulary_of_gluonnlps_own_has_gpt2s_merges(roberta, tmp_path):
    pytest.importorskip("regex")
    roberta()
    gpt2_tokenizer.remember(nlp.Vocab(nlp.data.count_tokens(["a"])), None)
    with pytest.raises(ConnectionError):
        nlp.data.GPT2BPETokenizer(root=str(tmp_path))


@pytest.mark.usefixtures("asks_the_host")
def test_without_the_plugin_it_is_gluonnlps_own(roberta, tmp_path):
    roberta()
    deactivate()
    try:
        with pytest.raises((ConnectionError, ImportError)):
            nlp.data.GPT2BPETokenizer(root=str(tmp_path))
    finally:
        activate_plugin()
