"""Fine-tuned classifiers of Hugging Face's: the logits of transformers in our order of labels, or one line."""

import json
import shutil
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import Predictor, evaluate
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.formats.huggingface.classifier import read_classifier
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.tasks.snli import LABELS

GOLDEN = Path(__file__).parent / "golden"  # made by make_golden.py, with transformers


@pytest.fixture
def golden(tmp_path):
    folder = Path(shutil.copytree(str(GOLDEN / "sequence_classification"), str(tmp_path / "golden")))
    shutil.copy(str(GOLDEN / "vocab.txt"), str(folder))
    return folder


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """The tiny BERT with a head."""
    folder = Path(shutil.copytree(str(tiny_bert), str(tmp_path / "checkpoint")))
    random = np.random.default_rng(1)
    edit_tensors(
        folder,
        classifier__weight=random.normal(0, 0.5, (3, 16)).astype(np.float32),
        classifier__bias=random.normal(0, 0.5, 3).astype(np.float32),
    )
    edit(folder, id2label={"0": "CONTRADICTION", "1": " Neutral", "2": "entailment"})
    return folder


def edit(folder, file="config.json", **changes):
    path = folder / file
    content = {**(json.loads(path.read_text()) if path.exists() else {}), **changes}
    path.write_text(json.dumps(content))


def edit_tensors(folder, **changes):
    tensors = {**load_file(str(folder / "model.safetensors"))}
    tensors.update({name.replace("__", "."): tensor for name, tensor in changes.items()})
    save_file({name: t for name, t in tensors.items() if t is not None}, str(folder / "model.safetensors"))


def refused(folder, match, error=CheckpointError, **kwargs):
    with pytest.raises(error, match=match) as caught:
        read_classifier(folder, **kwargs)
    assert "\n" not in str(caught.value)


def test_logits_are_those_of_transformers(golden):
    model = read_classifier(golden, ["neutral", "contradiction", "entailment"])
    with np.load(str(GOLDEN / "expected.npz")) as expected:
        ids, segments, pooled = (expected[f"sequence_classification/{name}"] for name in ("ids", "segments", "pooled"))
        lengths = expected["valid_lengths"]
    tensors = load_file(str(golden / "model.safetensors"))
    logits = pooled @ tensors["classifier.weight"].T + tensors["classifier.bias"]
    ours = model.net(*(mx.nd.array(array, dtype=array.dtype) for array in (ids, segments)), mx.nd.array(lengths))
    np.testing.assert_allclose(ours.asnumpy(), logits[:, [2, 1, 0]], atol=1e-5)


def test_labels_are_mapped_to_ours_whatever_their_order_and_case(folder):
    mixed = read_classifier(folder)
    named = read_classifier(folder, ["contradiction", "neutral", "entailment"])
    inputs = mx.nd.array([[2, 6, 3, 8, 3]]), mx.nd.array([[0, 0, 0, 1, 1]]), mx.nd.array([5])
    assert mixed.settings.labels == LABELS
    assert (mixed.net(*inputs) == named.net(*inputs)).asnumpy().all()
    weight = load_file(str(folder / "model.safetensors"))["classifier.weight"]
    np.testing.assert_array_equal(mixed.net.classifier[1].weight.data().asnumpy(), weight[[2, 0, 1]])


def test_every_command_works_on_it_at_once(capsys, folder, pairs_file, tmp_path):
    out = tmp_path / "out"
    assert main(["import-bert", str(folder), "--output-dir", str(out)]) == 0
    assert capsys.readouterr().out == (
        f"bert_2_16_2, uncased, up to 64 tokens, in {out}\ntry it: gluonnlp-snli evaluate {out} --file F\n"
    )
    assert evaluate(out, pairs_file).num_pairs == 120
    assert Predictor.load(out)([("a dog", "a cat")])[0].label in LABELS
    assert (
        main(["export", str(out), "--format", "symbol", "--to", str(tmp_path / "to"), "--file", str(pairs_file)]) == 0
    )


def test_the_tokenizers_settings_are_taken(folder, caplog):
    settings = read_classifier(folder).settings
    assert (settings.tokenizer.lower, settings.max_len) == (True, 64)
    assert f"{folder} does not say whether text is lower-cased: it is, as in transformers" in caplog.text
    edit(folder, "tokenizer_config.json", do_lower_case=False, model_max_length=30)
    settings = read_classifier(folder).settings
    assert (settings.tokenizer.lower, settings.max_len) == (False, 30)
    edit(folder, "tokenizer_config.json", model_max_length=int(1e30))
    assert read_classifier(folder).settings.max_len == 64


@pytest.mark.parametrize(("of_head", "expected"), [(0.3, 0.3), (0, 0), (None, 0.2), ("0.3", 0.2)])
def test_the_head_has_its_own_dropout_else_that_of_the_hidden_layers(folder, of_head, expected):
    edit(folder, hidden_dropout_prob=0.2, classifier_dropout=of_head)
    settings = read_classifier(folder).settings
    assert (settings.dropout, settings.hparams["dropout"]) == (expected, 0.2)


def test_the_head_of_a_distilbert_has_its_own_dropout(tmp_path):
    folder = Path(shutil.copytree(str(GOLDEN / "distilbert_classifier"), str(tmp_path / "distilbert")))
    shutil.copy(str(GOLDEN / "vocab.txt"), str(folder))
    edit(folder, dropout=0.1, seq_classif_dropout=0.4)
    settings = read_classifier(folder).settings
    assert (settings.dropout, settings.hparams["dropout"]) == (0.4, 0.1)


def test_a_sentencepiece_vocabulary_is_kept(folder, train_sentencepiece, pairs_file, tmp_path):
    path = train_sentencepiece(tmp_path / "spiece.model", pairs_file.read_text().splitlines())
    size = len((tmp_path / "spiece.vocab").read_text(encoding="utf-8").splitlines())
    words = load_file(str(folder / "model.safetensors"))["embeddings.word_embeddings.weight"]
    (folder / "vocab.txt").unlink()
    shutil.copy(str(path), str(folder))
    edit(folder, vocab_size=size)
    edit(folder, "tokenizer_config.json", do_lower_case=False)
    edit_tensors(folder, embeddings__word_embeddings__weight=np.ascontiguousarray(words[:size]))
    assert main(["import-bert", str(folder), "--output-dir", str(tmp_path / "out")]) == 0
    assert Predictor.load(tmp_path / "out")([("the dog is red", "a dog")])[0].label in LABELS


@pytest.mark.parametrize(
    "changes, match, error",
    [
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, "--labels NAME0,NAME1,... names", UsageError),
        (
            {"id2label": {"0": "entailment", "1": "neutral", "2": "neutral"}},
            "--labels NAME0,NAME1,... names",
            UsageError,
        ),
        ({"id2label": {"0": "bad", "1": "good"}}, "has 2 classes; SNLI has 3", CheckpointError),
        ({"id2label": {"0": "LABEL_0"}}, "has one output, a score of the pair", CheckpointError),
        ({"id2label": None}, "has no id2label: it is not a fine-tuned classifier", CheckpointError),
        ({"model_type": "deberta-v2"}, "a DeBERTa; of these, only what export", CheckpointError),
        ({"model_type": "electra"}, "the architecture is 'electra'", CheckpointError),
    ],
)
def test_configs_that_do_not_fit(folder, changes, match, error):
    edit(folder, **changes)
    refused(folder, match, error)


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"classifier__weight": None}, "has no tensor classifier.weight"),
        ({"classifier__weight": np.zeros((2, 16), np.float32)}, r"classifier.weight is of shape \(2, 16\)"),
        (
            {"classifier__bias": np.array([0, np.nan, 0], np.float32)},
            "classifier.bias holds numbers that are not finite",
        ),
        ({"pooler__dense__weight": None, "pooler__dense__bias": None}, "has no tensor pooler.dense.weight"),
    ],
)
def test_weights_that_do_not_fit(folder, changes, match):
    edit_tensors(folder, **changes)
    refused(folder, match)


def test_labels_in_another_order_than_the_checkpoints_own_are_refused(folder):
    edit(folder, id2label={"0": "Refutes", "1": "supports", "2": "unclear"})
    refused(
        folder,
        "has these classes in the order refutes,supports,unclear",
        UsageError,
        labels=["supports", "refutes", "unclear"],
    )


@pytest.mark.parametrize("names", [None, ["a", "b", "c"], 3])
def test_labels_serve_where_the_checkpoint_names_no_classes(folder, names, tmp_path):
    edit(folder, id2label=names)
    assert main(["import-bert", str(folder), "--output-dir", str(tmp_path / "out"), "--labels", "x,y,z"]) == 0
    assert Predictor.load(tmp_path / "out").labels == ("x", "y", "z")


@pytest.mark.parametrize("labels", ["entailment", "entailment,neutral,neutral", "yes,no", "yes,,no"])
def test_labels_must_name_each_class_once(folder, labels):
    refused(
        folder,
        "does not name each of 3 classes once: import-bert --labels NAME0,NAME1,... names",
        UsageError,
        labels=labels.split(","),
    )


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "give --name NAME for a backbone to fine-tune, or --output-dir OUT for a fine-tuned classifier"),
        (["--name", "a_uncased", "--output-dir", "out"], "give --name NAME for a backbone"),
        (["--name", "a_uncased", "--labels", "a,b,c"], "--labels goes with --output-dir"),
        (["--output-dir", "out", "--vocab", "v"], "--vocab goes with --name"),
        (["--output-dir", "{folder}"], "holds other files, and no import.json"),
    ],
)
def test_options_that_do_not_go_together(capsys, folder, arguments, complaint):
    assert main(["import-bert", str(folder), *(argument.format(folder=folder) for argument in arguments)]) == 2
    line = capsys.readouterr().err
    assert complaint in line and line.count("\n") == 1


def test_an_import_is_replaced_only_where_one_says_so(capsys, folder, tmp_path):
    given = ["import-bert", str(folder), "--output-dir", str(tmp_path / "out")]
    assert main(given) == 0
    assert main(given) == 2
    assert "exists already: give another folder, or --overwrite" in capsys.readouterr().err
    assert main([*given, "--overwrite"]) == 0


def test_a_classifier_of_two_classes_is_read_with_labels_of_its_own(folder):
    edit(folder, id2label={"0": "LABEL_0", "1": "LABEL_1"})
    weight = load_file(str(folder / "model.safetensors"))["classifier.weight"][:2]
    edit_tensors(folder, classifier__weight=weight, classifier__bias=np.zeros(2, np.float32))
    refused(folder, "has 2 classes; SNLI has 3.* import-bert --labels", CheckpointError)
    model = read_classifier(folder, ["Not", " yes"])
    assert model.settings.labels == ("Not", "yes")
    np.testing.assert_array_equal(model.net.classifier[1].weight.data().asnumpy(), weight)


def test_names_that_export_wrote_are_believed_if_they_can_be_printed(folder):
    weight = load_file(str(folder / "model.safetensors"))["classifier.weight"][:2]
    edit_tensors(folder, classifier__weight=weight, classifier__bias=np.zeros(2, np.float32))
    (folder / "export.json").write_text('{"format": "huggingface"}')
    edit(folder, id2label={"0": "no", "1": "yes"})
    assert read_classifier(folder).settings.labels == ("no", "yes")
    for names in ({"0": "no", "1": "\x1b[2J"}, {"0": "no", "1": 1}, {"0": "no", "2": "yes"}):
        edit(folder, id2label=names)
        refused(folder, "has 2 classes; SNLI has 3")


def test_the_predictor_reads_a_folder_of_hugging_faces_as_it_is(folder, tmp_path):
    pair = [("The dog is running.", "a dog is not running")]
    assert main(["import-bert", str(folder), "--output-dir", str(tmp_path / "out")]) == 0
    assert Predictor.load(folder)(pair) == Predictor.load(tmp_path / "out")(pair)


def test_a_folder_of_hugging_faces_is_not_a_model_folder(folder):
    with pytest.raises(CheckpointError, match="is in Hugging Face's layout: import it with gluonnlp-snli import-bert"):
        load_model(folder)
