"""Files of GluonNLP's BERTClassifier are fine-tuned models here, and ours are its files."""

import shutil

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, import_bert
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.model_folder import save_model
from gluonnlp_snli_plugin.formats.reading import load_finetuned

INPUTS = mx.nd.array([[2, 6, 7, 3, 8, 3]]), mx.nd.array([[0, 0, 0, 0, 1, 1]]), mx.nd.array([6])


def classifier(name, num_classes=3, dropout=0.1, use_pooler=True):
    """The net that GluonNLP's ``finetune_classifier.py`` trains."""
    bert, _ = nlp.model.get_model(
        "bert_2_16_2", dataset_name=name, use_decoder=False, use_classifier=False, use_pooler=use_pooler
    )
    net = nlp.model.BERTClassifier(bert, num_classes=num_classes, dropout=dropout)
    net.classifier.initialize(mx.init.Normal(0.5))
    return net


@pytest.fixture
def stock(tiny_name):
    net = classifier(tiny_name)
    net(*INPUTS)
    return net


@pytest.fixture
def file(stock, tmp_path):
    path = tmp_path / "model_bert_SNLI_0.params"
    nlp.utils.save_parameters(stock, str(path))
    return path


def refused(path, match, error=CheckpointError, **kwargs):
    with pytest.raises(error, match=match) as caught:
        load_finetuned(path, **kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backbone", [None, "bert_2_16_2"])
def test_a_file_of_gluonnlp_gives_the_same_logits(stock, file, tiny_name, backbone):
    model = load_finetuned(file, dataset_name=tiny_name, backbone=backbone)
    np.testing.assert_allclose(model.net(*INPUTS).asnumpy(), stock(*INPUTS).asnumpy(), atol=1e-6)
    assert (model.settings.tokenizer.lower, model.settings.max_len, model.settings.truncation) == (True, 64, "equal")
    net, vocab = nlp.model.get_model(
        "snli_bert_classifier", params_dir=str(file), dataset_name=tiny_name, backbone=backbone
    )
    np.testing.assert_allclose(net(*INPUTS).asnumpy(), stock(*INPUTS).asnumpy(), atol=1e-6)
    assert vocab.idx_to_token == model.vocab.idx_to_token


def test_a_classifier_without_dropout_and_one_in_float16(tiny_name, tmp_path):
    net = classifier(tiny_name, dropout=0)
    expected = net(*INPUTS).asnumpy()
    path = tmp_path / "a.params"
    net.save_parameters(str(path))
    loaded = load_finetuned(path, dataset_name=tiny_name).net
    np.testing.assert_allclose(loaded(*INPUTS).asnumpy(), expected, atol=1e-6)
    mx.nd.save(str(path), {name: array.astype("float16") for name, array in mx.nd.load(str(path)).items()})
    logits = load_finetuned(path, dataset_name=tiny_name).net(*INPUTS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits.asnumpy(), expected, atol=1e-2)


def test_our_weights_load_in_gluonnlps_classifier(stock, file, tiny_name, tmp_path):
    model = load_finetuned(file, dataset_name=tiny_name)
    model.net.classifier.initialize(mx.init.Normal(1), force_reinit=True)
    save_model(model, tmp_path / "out" / "model")
    weights = next((tmp_path / "out" / "model").glob("weights-*.params"))
    other = classifier(tiny_name)
    other.load_parameters(str(weights))
    np.testing.assert_allclose(other(*INPUTS).asnumpy(), model.net(*INPUTS).asnumpy(), atol=1e-6)
    for path, options in ((tmp_path / "out", {}), (weights, {"dataset_name": tiny_name})):
        loaded = load_finetuned(path, **options).net
        np.testing.assert_allclose(loaded(*INPUTS).asnumpy(), other(*INPUTS).asnumpy(), atol=1e-6)


def test_it_predicts_and_evaluates(stock, file, tiny_name, pairs_file):
    predictor = Predictor.load(file, dataset_name=tiny_name)
    answer = predictor([("The dog is running.", "a dog is not running")])[0]
    encoded = predictor.encoder.encode(["The dog is running."], ["a dog is not running"])
    ids, segments, valid_length = encoded[0]
    expected = stock(*(mx.nd.array([part]) for part in (ids, segments, valid_length))).softmax()[0].asnumpy()
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-5)
    assert evaluate(file, pairs_file, dataset_name=tiny_name).num_pairs == 120


def test_export_makes_a_folder_of_it_that_needs_no_store(file, tiny_name, pairs_file, tmp_path, monkeypatch):
    expected = Predictor.load(file, dataset_name=tiny_name)([("The dog is running.", "a dog")])
    export(file, "model", tmp_path / "to", pairs_file, dataset_name=tiny_name)
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "empty"))
    assert Predictor.load(tmp_path / "to")([("The dog is running.", "a dog")]) == expected


def test_the_backbone_is_asked_for_where_a_name_has_several(file, tiny_bert, tmp_path):
    import_bert(tiny_bert, "two_uncased", root=tmp_path)
    shutil.copytree(str(tiny_bert), str(tmp_path / "other"))
    config = (tiny_bert / "config.json").read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 4')
    (tmp_path / "other" / "config.json").write_text(config)
    import_bert(tmp_path / "other", "two_uncased", root=tmp_path)
    refused(
        file,
        "--backbone is missing: two_uncased comes as bert_2_16_2, bert_2_16_4",
        UsageError,
        dataset_name="two_uncased",
        root=tmp_path,
    )
    model = load_finetuned(file, dataset_name="two_uncased", backbone="bert_2_16_4", root=tmp_path)
    assert model.settings.hparams["num_heads"] == 4


def test_the_vocabulary_must_be_named(file, tiny_name):
    refused(file, r"does not say which vocabulary: --dataset-name NAME \(there: .*tiny_uncased", UsageError)
    refused(file, "no vocabulary under the name 'gone_uncased'", UsageError, dataset_name="gone_uncased")


@pytest.mark.parametrize("option", ["dataset_name", "backbone"])
def test_a_folder_brings_its_own(tmp_path, option):
    refused(tmp_path, f"--{option.replace('_', '-')} goes with a .params file", UsageError, **{option: "tiny_uncased"})


def test_files_that_are_none_are_named(tiny_name, tmp_path):
    refused(tmp_path / "nowhere.params", "nowhere.params: No such file", dataset_name=tiny_name)
    refused(tmp_path / "nowhere", "nowhere holds no model")
    (tmp_path / "notes.txt").write_text("no parameters")
    refused(tmp_path / "notes.txt", "notes.txt is not a parameter file of MXNet")


def test_another_shape_than_the_stores_is_named(file, tiny_name):
    refused(
        file,
        r"holds a bert_2_16_\?, not a bert_12_16_2: give its --backbone",
        UsageError,
        dataset_name=tiny_name,
        backbone="bert_12_16_2",
    )


@pytest.mark.parametrize(
    "change, match",
    [
        ({"bert.word_embed.0.weight": mx.nd.ones((9, 16))}, "is for 9 tokens, tiny_uncased has 77"),
        ({"bert.pooler.bias": None}, "has no parameter pooler.bias"),
        ({"bert.encoder.layer_norm.beta": mx.nd.ones(3)}, r"encoder.layer_norm.beta is of shape \(3,\)"),
        (
            {"classifier.1.weight": mx.nd.ones((3, 15))},
            r"classifier.1.weight is of shape \(3, 15\), it must be \(3, 16\)",
        ),
        ({"classifier.1.weight": mx.nd.ones((3, 16)) / 0}, "classifier.1.weight holds numbers that are not finite"),
        ({"classifier.1.bias": None}, "is not a BERTClassifier"),
        ({"classifier.1.bias": None, "classifier.1.other": mx.nd.ones(3)}, "is not a BERTClassifier"),
        (
            {"classifier.1.bias": None, "classifier.1.weight": None},
            "has no classifier; a backbone alone is for import-bert",
        ),
    ],
)
def test_what_does_not_fit_is_named(file, tiny_name, change, match):
    parameters = {**mx.nd.load(str(file)), **change}
    mx.nd.save(str(file), {name: array for name, array in parameters.items() if array is not None})
    refused(file, match, dataset_name=tiny_name)


def test_the_number_of_classes_must_be_three(tiny_name, tmp_path):
    net = classifier(tiny_name, num_classes=2)
    net(*INPUTS)
    net.save_parameters(str(tmp_path / "mnli.params"))
    refused(tmp_path / "mnli.params", "has 2 classes; SNLI has 3: entailment", dataset_name=tiny_name)


def test_another_head_is_refused(tiny_name, tmp_path):
    net, _ = nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name)
    net.save_parameters(str(tmp_path / "mlp.params"))
    refused(tmp_path / "mlp.params", "is not a BERTClassifier.*give its output folder", dataset_name=tiny_name)
