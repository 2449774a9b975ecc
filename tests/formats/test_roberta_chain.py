"""A RoBERTa from Hugging Face's layout through every step: fine-tuned, evaluated, explained, exported, read back."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gluonnlp.data.bert.glue import concat_sequences, truncate_seqs_equal

from gluonnlp_snli_plugin import Predictor, evaluate, finetune, import_bert
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.importing import import_classifier
from gluonnlp_snli_plugin.formats.job import logits_of
from gluonnlp_snli_plugin.formats.model_folder import load_settings
from gluonnlp_snli_plugin.formats.reading import load_finetuned
from gluonnlp_snli_plugin.tasks.snli import SNLI
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

pytest.importorskip("tokenizers")
GOLDEN = Path(__file__).parent / "golden" / "roberta"
SETTINGS = {"max_len": 64, "lr": 3e-3, "epochs": 4, "batch_size": 16, "seed": 1}


@pytest.fixture(scope="module")
def run(pairs_file, tmp_path_factory):
    """The output folder of a run that has learnt something, and its summary."""
    folder = tmp_path_factory.mktemp("run") / "out"
    name = import_bert(GOLDEN, "chain_cased").dataset_name
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file), "output_dir": str(folder)}
    return folder, finetune(dataset_name=name, **SETTINGS, **files)


@pytest.fixture(scope="module")
def pairs(pairs_file):
    dataset = SNLI(file=pairs_file)
    return list(zip(dataset.premises, dataset.hypotheses))[::7] + [("犬  naïve <mask>!", "🐕\n 's"), ("", "x" * 90)]


def logits(model, pairs):
    predictor = Predictor.load(model, native=False)
    return predictor.logits(predictor.encoder.encode(*zip(*pairs)))


def test_it_learns_and_is_evaluated(run, pairs_file):
    folder, summary = run
    assert summary["dev_accuracy"] > 0.4
    assert evaluate(folder, file=pairs_file).accuracy == pytest.approx(summary["dev_accuracy"])


def test_its_words_are_explained(run):
    explained = Predictor.load(run[0]).explain("A dog isn't  red.", "naïve 犬")
    assert "".join(part.text for part in explained.premise) == "A dog isn't  red."
    read = [part.text for part in explained.premise if part.contribution is not None]
    assert read == ["A", "dog", "isn", "'t", " ", "red", "."]


@pytest.mark.parametrize("format", ["onnx", "huggingface"])
def test_exports_answer_as_the_model_and_are_read_back(run, pairs, pairs_file, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    assert export(run[0], format, tmp_path / "to", pairs_file).difference < 1e-5
    back = tmp_path / "to"
    if format == "huggingface":
        import_classifier(tmp_path / "to", tmp_path / "back")
        back = tmp_path / "back"
    np.testing.assert_allclose(logits(back, pairs), logits(run[0], pairs), atol=1e-5)


def test_gluonnlps_own_file_comes_back_with_the_vocabulary_beside_it(run, pairs, pairs_file, tmp_path):
    assert export(run[0], "gluonnlp", tmp_path / "to", pairs_file).difference < 1e-5
    (file,) = (tmp_path / "to").glob("*.params")
    given = {"vocab": tmp_path / "to" / "byte_pairs.vocab", "backbone": "roberta_2_16_4"}
    checkpoint = import_bert(file, "again_cased", **given)
    assert checkpoint.tokenizer == Predictor.load(run[0]).encoder.tokenizer.settings
    model = load_finetuned(file, dataset_name="again_cased")
    settings = dataclasses.replace(model.settings, max_len=64, truncation="longest_first", one_separator=False)
    found = logits_of(model.net, dataclasses.replace(model, settings=settings).encoder().encode(*zip(*pairs)))
    np.testing.assert_allclose(found, logits(run[0], pairs), atol=1e-5)
    with pytest.raises(UsageError, match="byte-level BPE does not lower-case text: --name must end in _cased"):
        import_bert(file, "again_uncased", **given)


@pytest.fixture
def scripts_file(run, pairs_file, tmp_path):
    """The file of a RoBERTaClassifier, as GluonNLP's script writes it, of the vocabulary 'chain_cased'."""
    export(run[0], "gluonnlp", tmp_path / "script", pairs_file)
    return next((tmp_path / "script").glob("*.params"))


def test_a_file_of_gluonnlps_script_answers_for_pairs_as_the_script_lays_them_out(scripts_file, pairs):
    model = load_finetuned(scripts_file, dataset_name="chain_cased")
    encoder, vocab = model.encoder(), model.vocab
    longest = " ".join("a man is not sleeping" for _ in range(30))
    for pair in [*pairs[:3], (longest, "a man"), (longest, longest)]:
        # As convert_examples_to_features of finetune_classifier.py
        tokens = truncate_seqs_equal([encoder.tokenizer(text) for text in pair], model.settings.max_len - 3)
        tokens[0] = [vocab.bos_token] + tokens[0]
        expected, _, _ = concat_sequences(tokens, [[vocab.eos_token]] * 2)
        assert encoder.encode(*([text] for text in pair))[0][0].tolist() == vocab[expected]


@pytest.mark.parametrize("format", ["model", "onnx", "huggingface"])
def test_the_layout_of_a_script_goes_with_the_model(scripts_file, pairs, pairs_file, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    expected = Predictor.load(scripts_file, dataset_name="chain_cased", native=False)
    export(scripts_file, format, tmp_path / "to", pairs_file, dataset_name="chain_cased")
    back = Predictor.load(tmp_path / "to", native=False)
    encoded = [predictor.encoder.encode(*zip(*pairs)) for predictor in (back, expected)]
    np.testing.assert_array_equal(encoded[0].input_ids, encoded[1].input_ids)
    np.testing.assert_allclose(back.logits(encoded[0]), expected.logits(encoded[1]), atol=1e-5)
    if format == "huggingface":
        import tokenizers

        theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "to" / "tokenizer.json"))
        assert theirs.encode("a man", "A dog").ids == encoded_ids(back, "a man", "A dog")


def test_fine_tuning_continues_with_the_layout_of_a_script(scripts_file, pairs_file, tmp_path):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file), "output_dir": str(tmp_path / "out")}
    finetune(init_from=str(scripts_file), dataset_name="chain_cased", epochs=1, max_len=32, **files)
    assert load_settings(tmp_path / "out").one_separator


def encoded_ids(predictor, premise, hypothesis):
    return predictor.encoder.encode([premise], [hypothesis])[0][0].tolist()


def test_the_onnx_example_needs_neither_mxnet_nor_the_plugin(run, pairs, pairs_file, tmp_path):
    pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    export(run[0], "onnx", tmp_path / "to", pairs_file)
    before = "import sys; sys.modules.update(dict.fromkeys(['mxnet', 'gluonnlp', 'gluonnlp_snli_plugin'], None))\n"
    answers = "[example.label(*pair)[1].tolist() for pair in json.load(sys.stdin)]"
    code = f"{before}import example, json\nprint(json.dumps({answers}))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(pairs), cwd=tmp_path / "to", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), logits(run[0], pairs), atol=1e-5)


def test_a_damaged_vocabulary_of_an_onnx_folder_is_one_line(run, pairs_file, tmp_path):
    pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    export(run[0], "onnx", tmp_path / "to", pairs_file)
    path = tmp_path / "to" / "byte_pairs.vocab"
    path.write_text(path.read_text().replace("<mask>", "<musk>"))
    with pytest.raises(CheckpointError, match=r"byte_pairs\.vocab is damaged"):
        Predictor.load(tmp_path / "to")


def test_a_run_starts_from_the_vocabulary_alone(pairs_file, tmp_path):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file), "output_dir": str(tmp_path / "out")}
    files.update(vocab=str(GOLDEN / "vocab.json"))
    finetune(backbone="roberta_1_16_2", max_len=32, epochs=1, **files)
    model = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert model["settings"]["tokenizer"]["algorithm"] == "byte_pairs"


@pytest.mark.parametrize(
    ("backbone", "vocab", "told"),
    [
        ("bert_1_16_2", GOLDEN / "vocab.json", "the vocabulary has no cls_token and no sep_token"),
        ("roberta_1_16_2", GOLDEN.parent / "vocab.txt", "the vocabulary has no bos_token and no eos_token"),
    ],
)
def test_a_vocabulary_of_another_family_is_one_line(pairs_file, tmp_path, backbone, vocab, told):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file), "output_dir": str(tmp_path / "out")}
    with pytest.raises(UsageError, match=told):
        finetune(backbone=backbone, vocab=str(vocab), max_len=32, epochs=1, **files)


def test_settings_of_another_vocabulary_are_one_line(run, tmp_path):
    folder = Path(shutil.copytree(str(run[0] / "model"), str(tmp_path / "model")))
    content = json.loads((folder / "config.json").read_text())
    content["settings"]["tokenizer"] = dataclasses.asdict(TokenizerSettings.gluonnlp(lower=False))
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="settings of a tokenizer 'gluonnlp' do not go with the vocabulary"):
        Predictor.load(folder)
