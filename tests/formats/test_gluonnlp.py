"""GluonNLP: its BERTClassifier loads the file, and so does its script."""

import json
import os
import re

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, finetune
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.job import Job

CHECKOUT = os.environ.get("GLUONNLP_SCRIPTS")
INPUTS = mx.nd.array([[2, 6, 7, 3, 8, 3]]), mx.nd.array([[0, 0, 0, 0, 1, 1]]), mx.nd.array([6])


@pytest.mark.parametrize("labels", [None, ("neutral", "entailment", "contradiction")])
def test_gluonnlps_classifier_gives_the_same_logits(make_model, pairs_file, tmp_path, labels):
    model = make_model("pooled", **({"labels": labels} if labels else {}))
    export(model, "gluonnlp", tmp_path / "to", pairs_file)
    job = Job.of(model, pairs_file)
    bert, _ = nlp.model.get_model(
        *("bert_3_24_4",),
        vocab=job.model.vocab,
        pretrained=False,
        use_decoder=False,
        use_classifier=False,
        hparam_allow_override=True,
        hidden_size=40,
        max_length=64,
    )
    net = nlp.model.BERTClassifier(bert, num_classes=3, dropout=0.1)
    nlp.utils.load_parameters(net, str(tmp_path / "to" / "model_bert_SNLI.params"), ctx=mx.cpu())
    order = [job.model.settings.labels.index(label) for label in ("entailment", "contradiction", "neutral")]
    np.testing.assert_allclose(net(*INPUTS).asnumpy(), job.model.net(*INPUTS).asnumpy()[:, order], atol=1e-5)


def test_another_head_is_refused(make_model, pairs_file, tmp_path):
    with pytest.raises(UsageError, match="the head is 'mlp'; .* only what finetune --head pooled makes"):
        export(make_model("mlp"), "gluonnlp", tmp_path / "to", pairs_file)


def test_gluonnlp_has_no_classifier_around_a_distilbert(make_model, pairs_file, tmp_path):
    with pytest.raises(UsageError, match="GluonNLP has no classifier around a distilbert_2_24_4: --format onnx or"):
        export(make_model(backbone="distilbert_2_24_4"), "gluonnlp", tmp_path / "to", pairs_file)


def test_a_file_of_the_script_is_exported_like_a_run(tiny_name, pairs_file, tmp_path):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    finetune(dataset_name=tiny_name, head="pooled", output_dir=str(tmp_path / "out"), epochs=1, max_len=32, **files)
    export(tmp_path / "out", "gluonnlp", tmp_path / "to", pairs_file)
    file = tmp_path / "to" / "model_bert_SNLI.params"
    pair = ("The dog is running.", "a dog is not running")
    expected = list(Predictor.load(tmp_path / "out")([pair])[0].probabilities.values())
    again = list(Predictor.load(file, dataset_name=tiny_name)([pair])[0].probabilities.values())
    np.testing.assert_allclose(again, expected, atol=1e-5)
    with pytest.raises(UsageError, match="does not say which vocabulary"):
        export(file, "symbol", tmp_path / "symbol", pairs_file)
    assert export(file, "symbol", tmp_path / "symbol", pairs_file, dataset_name=tiny_name).difference < 1e-5


@pytest.mark.slow
@pytest.mark.gluonnlp_scripts
def test_the_script_takes_it(command, tiny_name, pairs_file, tmp_path):
    settings = ["--train-file", pairs_file, "--dev-file", pairs_file, "--dataset-name", tiny_name, "--max-len", 32]
    out = tmp_path / "out"
    done = command("finetune", *settings, "--head", "pooled", "--epochs", 3, "--lr", 3e-3, "--output-dir", out)
    assert done.returncode == 0, done.stderr
    done = command("export", out, "--format", "gluonnlp", "--to", tmp_path / "to", "--file", pairs_file)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "to" / "README.md").read_text().split("```")[1].replace("\\\n", " ").strip().splitlines()
    for words in map(str.split, lines):  # what the README says, with this test's names
        known = {"NAME_uncased": "exported_uncased", "train.jsonl": pairs_file, "dev.jsonl": pairs_file}
        words = [known.get(word, word.replace("scripts/", f"{CHECKOUT}/scripts/")) for word in words[1:]]
        done = command(*words, cwd=tmp_path / "to")
        assert done.returncode == 0, done.stderr
    accuracy = float(re.findall(r"validation metrics:accuracy:([\d.]+)", done.stderr)[-1])
    assert accuracy == pytest.approx(json.loads((out / "summary.json").read_text())["dev_accuracy"], abs=1e-4)
