"""The model a run starts from."""

import json
from pathlib import Path

import mxnet as mx
import pytest

from gluonnlp_snli_plugin import import_bert, train_vocabulary
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab
from gluonnlp_snli_plugin.train.initial_model import initial_model
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

GOLDEN = Path(__file__).parents[1] / "formats" / "golden"


def _start(**options):
    return initial_model(FinetuneConfig.of(output_dir="out", **options), [mx.cpu()]).model


def test_the_only_backbone_of_a_name_need_not_be_named(tiny_name):
    model = _start(dataset_name=tiny_name, max_len=32, dropout=0.2)
    assert model.settings.backbone == "bert_2_16_2"
    assert model.settings.tokenizer.lower and model.settings.hparams["hidden_size"] == 32
    assert model.settings.hparams["dropout"] == 0.2


@pytest.mark.parametrize(
    "backbone, head", [("bert_1_8_2", "mlp"), ("distilbert_1_8_2", "mlp"), ("roberta_1_8_2", "roberta")]
)
def test_the_head_is_the_familys_unless_it_is_named(backbone, head):
    config = FinetuneConfig.of(output_dir="out", vocab="v.txt", backbone=backbone)
    assert config.head == head and "--head" in config.command_line()
    assert FinetuneConfig.of(output_dir="out", vocab="v.txt", backbone=backbone, head="mean").head == "mean"


def test_the_head_is_that_of_the_family_in_the_store(tiny_name):
    assert FinetuneConfig.of(output_dir="out", dataset_name=tiny_name).head == "mlp"
    name = import_bert(GOLDEN / "roberta", "bytes_cased").dataset_name
    assert FinetuneConfig.of(output_dir="out", dataset_name=name).head == "roberta"


def test_the_sample_starts_from_a_small_bert_with_its_own_vocabulary():
    model = _start(sample=True)
    assert model.settings.backbone == "bert_2_256_4" and len(model.vocab) < 1000


def test_a_vocabulary_file_starts_from_random_weights(tiny_bert):
    model = _start(vocab=str(tiny_bert / "vocab.txt"), backbone="bert_1_8_2", cased=True)
    assert not model.settings.tokenizer.lower and model.vocab["[CLS]"] == 2


def test_any_vocabulary_file_will_do(tiny_bert, train_sentencepiece, tmp_path):
    wordpieces = (tiny_bert / "vocab.txt").read_text().split()
    (tmp_path / "vocab.json").write_text(wordpiece_vocab(wordpieces).to_json())
    assert _start(vocab=str(tmp_path / "vocab.json"), backbone="bert_1_8_2").vocab.idx_to_token == wordpieces
    pieces = train_sentencepiece(tmp_path / "spiece.model", ["a man", "a dog is not a man"] * 20)
    assert _start(vocab=str(pieces), backbone="bert_1_8_2").spiece == pieces


def test_a_vocabulary_of_the_store_says_its_case(tiny_name, pairs_file, tmp_path):
    assert _start(vocab=tiny_name, backbone="bert_1_8_2").settings.tokenizer.lower
    texts = [json.loads(line)["sentence1"] for line in pairs_file.read_text().splitlines()]
    (tmp_path / "text.txt").write_text("\n".join(texts))
    train_vocabulary(tmp_path / "text.txt", "start_cased", size=40, model_type="bpe")
    model = _start(vocab="start_cased", backbone="bert_1_8_2")
    assert not model.settings.tokenizer.lower and model.spiece.suffix == ".spiece" and len(model.vocab) == 40


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({}, "which BERT.*--dataset-name.*--vocab"),
        (
            {"dataset_name": "nobody_uncased"},
            "no weights of bert_12_768_12 under the name 'nobody_uncased'.*import-bert",
        ),
        ({"dataset_name": "tiny_uncased", "backbone": "bert_3_16_2"}, "no weights of bert_3_16_2"),
        ({"dataset_name": "tiny_uncased", "backbone": "albert_12_768_12"}, "no architecture 'albert_12_768_12'"),
        ({"vocab": "nobody_cased"}, "--vocab nobody_cased is not a file, and there is no vocabulary under the name"),
        ({"vocab": "tiny_uncased", "cased": True}, "--vocab tiny_uncased is not a cased vocabulary: omit --cased"),
        ({"dataset_name": "tiny_uncased"}, "--max-len is 128; bert_2_16_2 takes inputs of up to 64"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line(tiny_name, options, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        _start(**options)
    assert "\n" not in str(refused.value)
