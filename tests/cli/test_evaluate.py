"""A file of GluonNLP's own fine-tuning script, scored and asked on the command line."""

import json

import gluonnlp as nlp
import mxnet as mx
import pytest

from gluonnlp_snli_plugin.cli import main


@pytest.fixture
def file(tiny_name, tmp_path):
    bert, _ = nlp.model.get_model("bert_2_16_2", dataset_name=tiny_name, use_decoder=False, use_classifier=False)
    net = nlp.model.BERTClassifier(bert, num_classes=3, dropout=0.1)
    net.classifier.initialize(mx.init.Normal(0.5))
    net(mx.nd.array([[2, 6, 3, 8, 3]]), mx.nd.array([[0, 0, 0, 1, 1]]), mx.nd.array([5]))
    nlp.utils.save_parameters(net, str(tmp_path / "model_bert_SNLI_0.params"))
    return tmp_path / "model_bert_SNLI_0.params"


@pytest.mark.parametrize("options", [[], ["--backbone", "bert_2_16_2"]])
def test_a_file_of_gluonnlps_script(capsys, file, tiny_name, pairs_file, options):
    named = [str(file), "--dataset-name", tiny_name, *options, "--file", str(pairs_file)]
    assert main(["evaluate", *named, "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert main(["predict", *named]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    gold = [json.loads(line)["gold_label"] for line in pairs_file.read_text().splitlines()]
    hits = sum(answer["label"] == label for answer, label in zip(answers, gold))
    assert len(answers) == 120 and accuracy == pytest.approx(hits / 120)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_what_does_not_fit_is_one_line(capsys, file, pairs_file, tmp_path, command):
    for arguments, status, complaint in (
        ([file], 2, "a .params file does not say which vocabulary: --dataset-name NAME"),
        ([tmp_path, "--dataset-name", "tiny_uncased"], 2, "--dataset-name goes with a .params file; the folder"),
        ([tmp_path / "no.params", "--dataset-name", "tiny_uncased"], 1, "no.params: No such file or directory"),
    ):
        assert main([command, *map(str, arguments), "--file", str(pairs_file)]) == status
        line = capsys.readouterr().err
        assert complaint in line and line.count("\n") == 1
