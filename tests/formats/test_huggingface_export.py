"""Hugging Face: transformers gives the same logits, and what it loads comes back by import-bert."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file

from gluonnlp_snli_plugin import Predictor, finetune
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.importing import import_classifier
from gluonnlp_snli_plugin.tasks.snli import SNLI
from gluonnlp_snli_plugin.text.tokenizer_settings import AddedToken, TokenizerSettings

ASK = """
import json, sys, torch, transformers
folder, pairs = sys.argv[1], json.load(sys.stdin)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
assert model.config.id2label == {0: "entailment", 1: "contradiction", 2: "neutral"}
assert transformers.pipeline("text-classification", folder)({"text": "a", "text_pair": "b"})
logits = []
for i in range(0, len(pairs), 50):
    inputs = tokenizer(*map(list, zip(*pairs[i : i + 50])), padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits += model(**inputs).logits.tolist()
print(json.dumps({"class": type(model).__name__, "logits": logits}))
"""
VARIANTS = {
    "pooled": {"head": "pooled"},
    "roberta": {"head": "roberta", "dropout": 0.3},
    "pooled, relu, epsilon": {"head": "pooled", "hparams": {"activation": "relu", "layer_norm_eps": 1e-3}},
    "mlp": {},
    "mlp, tanh's GELU, three segments": {"hparams": {"activation": "approx_gelu", "token_type_vocab_size": 3}},
    "mlp as wide as the BERT": {"hidden_units": 24},
    "cased": {"head": "pooled", "lower": False},
}


def ask_transformers(python, folder, pairs):
    done = subprocess.run([python, "-I", "-c", ASK, folder], input=json.dumps(pairs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def logits(model, pairs):
    predictor = Predictor.load(model, native=False)
    return predictor.logits(predictor.encoder.encode(*zip(*pairs)))


@pytest.fixture(scope="module")
def pairs(pairs_file):
    dataset = SNLI(file=pairs_file)
    odd = [("Éa, naïve!", "x" * 150), ("日本語 \u00a0\t!?", "dog—cat")]
    return list(zip(dataset.premises, dataset.hypotheses)) + odd


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_comes_back_with_the_same_logits(make_model, pairs, pairs_file, tmp_path, variant):
    model = make_model(max_len=40, **VARIANTS[variant])
    assert export(model, "huggingface", tmp_path / "to", pairs_file).difference < 1e-5
    back = import_classifier(tmp_path / "to", tmp_path / "back")
    np.testing.assert_allclose(logits(tmp_path / "back", pairs), logits(model, pairs), atol=1e-5)
    assert (back.settings.max_len, back.settings.tokenizer.lower) == (40, variant != "cased")
    assert back.settings.dropout == VARIANTS[variant].get("dropout", 0.1)


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_gives_the_same_logits(reference_python, make_model, pairs, pairs_file, tmp_path, variant):
    model = make_model(max_len=40, **VARIANTS[variant])
    export(model, "huggingface", tmp_path / "to", pairs_file)
    answer = ask_transformers(reference_python, tmp_path / "to", pairs)
    np.testing.assert_allclose(answer["logits"], logits(model, pairs), atol=1e-4)
    assert answer["class"] == ("DebertaV2" if "mlp" in variant else "Bert") + "ForSequenceClassification"


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("head", ["pooled", "mlp"])
def test_transformers_gives_the_same_logits_of_a_finetuned_minilm(
    reference_python, minilm_name, shared_data, tmp_path, head
):
    train, dev = (shared_data / "snli_mini" / f"snli_mini_{name}.jsonl" for name in ("train", "dev"))
    few = tmp_path / "few.jsonl"
    few.write_text("".join(train.read_text().splitlines(keepends=True)[:160]))
    files = {"train_file": str(few), "dev_file": str(few), "output_dir": str(tmp_path / "out")}
    finetune(dataset_name=minilm_name, head=head, epochs=2, **files)
    export(tmp_path / "out", "huggingface", tmp_path / "to", few)
    dataset = SNLI(file=dev)
    pairs = list(zip(dataset.premises, dataset.hypotheses))[:1000]
    answer = ask_transformers(reference_python, tmp_path / "to", pairs)
    np.testing.assert_allclose(answer["logits"], logits(tmp_path / "out", pairs), atol=1e-4)


def test_the_files_are_those_that_transformers_looks_for(make_model, pairs_file, tmp_path):
    export(make_model("pooled"), "huggingface", tmp_path / "to", pairs_file)
    assert {path.name for path in (tmp_path / "to").iterdir()} == {
        *("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json"),
        *("README.md", "export.json"),
    }
    tensors = load_file(str(tmp_path / "to" / "model.safetensors"))
    assert {"bert.pooler.dense.weight", "classifier.bias"} < set(tensors)
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())


def test_the_card_tells_of_the_run(tiny_name, pairs_file, tmp_path):
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    (tmp_path / "two.tsv").write_text("premise\thypothesis\tlabel\na man\ta dog\tnot_entailment\n")
    shutil.copy(str(pairs_file), str(tmp_path / "prüfung.jsonl"))
    tests = [str(pairs_file), *(str(tmp_path / name) for name in ("two.tsv", "prüfung.jsonl"))]
    files.update(output_dir=str(tmp_path / "out"), test_file=tests)
    summary = finetune(dataset_name=tiny_name, epochs=1, max_len=32, hidden_units=8, seed=5, **files)
    export(tmp_path / "out", "huggingface", tmp_path / "to", pairs_file)
    card = (tmp_path / "to" / "README.md").read_text(encoding="utf-8")
    for told in ("| seed | `5` |", "| mxnet | `1.9.1` |", "source `pairs.jsonl`", "pairs `120`", "## Licence"):
        assert told in card
    for name in ("dev", "test", "test_two", "test_prüfung"):
        assert f"accuracy on the {name} pairs: {summary[f'{name}_accuracy']:.4f}" in card
    assert str(tmp_path) not in card and "license:" not in card
    assert "DeBERTa" in card


def test_the_card_names_figures_as_the_run_recorded_them(make_model, pairs_file, tmp_path):
    out = make_model("pooled")
    (out / "config.json").write_text(json.dumps({"data": {"train": {"pairs": 9}, "dev": {"pairs": 3}}}))
    figures = {"dev_accuracy": 0.5, "dev_balanced_accuracy": 0.25, "other_accuracy": 0.75, "dev_pairs_per_second": 9.0}
    (out / "summary.json").write_text(json.dumps(figures))
    export(out, "huggingface", tmp_path / "to", pairs_file)
    card = (tmp_path / "to" / "README.md").read_text()
    assert "- accuracy on the dev pairs: 0.5000\n- balanced accuracy on the dev pairs: 0.2500\n\n" in card


def test_a_model_without_a_run_has_a_card_too(make_model, pairs_file, tmp_path):
    export(make_model("pooled") / "model", "huggingface", tmp_path / "to", pairs_file)
    card = (tmp_path / "to" / "README.md").read_text()
    assert card.count("Not known: there is no record of a run beside the model.") == 2
    assert "DeBERTa" not in card


def test_what_it_cannot_hold_is_one_line(make_model, spiece, pairs_file, tmp_path):
    with pytest.raises(UsageError, match="and transformers' BERT tokenizers support only WordPiece"):
        export(make_model("pooled", spiece), "huggingface", tmp_path / "to", pairs_file)
    heads = "'mlp' or 'pooled' or 'roberta'"
    with pytest.raises(UsageError, match=f"no class of bert_3_24_4 with the head 'mean', only with {heads}: --format"):
        export(make_model("mean"), "huggingface", tmp_path / "to", pairs_file)
    with pytest.raises(
        UsageError, match="head has 25 hidden units; .* more than the 24 of the backbone: --format onnx"
    ):
        export(make_model(hidden_units=25), "huggingface", tmp_path / "to", pairs_file)


@pytest.mark.parametrize(
    "tokenizer",
    [
        TokenizerSettings("bert", False, False, added_tokens=(AddedToken("[SEP]"), AddedToken("man", True, False))),
        TokenizerSettings("bert", True, False, chinese_characters=False, longest_word=7),
        TokenizerSettings.gluonnlp(lower=False),
    ],
    ids=["cased", "uncased with accents", "GluonNLP's"],
)
def test_the_tokenizers_files_give_the_same_ids(make_model, pairs_file, tmp_path, tokenizer):
    tokenizers = pytest.importorskip("tokenizers")
    model = make_model("pooled", tokenizer=tokenizer, max_len=40)
    encoder = Predictor.load(model, native=False).encoder
    texts = [
        "A man isn't asleep.",
        "café CAFÉ Men",
        "中文 man",
        "a [SEP] [sep] Man",
        "playing",
        "x" * 150,
        "sleeping outside",
    ]
    texts = [text for text in texts if "[" not in text or tokenizer.algorithm == "bert"]
    for kind in ("huggingface", "onnx"):
        export(model, kind, tmp_path / kind, pairs_file)
        theirs = tokenizers.Tokenizer.from_file(str(tmp_path / kind / "tokenizer.json"))
        added = {token.content for token in tokenizer.added_tokens}
        for text in texts:
            if kind == "onnx" or "[" not in text or "[SEP]" in added:
                assert theirs.encode(text, add_special_tokens=False).ids == encoder.tokenizer.ids(text), (kind, text)
    pair = theirs_of_pair(tokenizers, tmp_path / "huggingface", "a man", "the dog")
    assert pair == [array.tolist() for array in encoder("a man", "the dog")[:2]]
    back = import_classifier(tmp_path / "huggingface", tmp_path / "back").settings.tokenizer
    assert (back.lower, back.strip_accents) == (tokenizer.lower, tokenizer.strip_accents)
    assert (back.chinese_characters, back.longest_word) == (tokenizer.chinese_characters, tokenizer.longest_word)


def theirs_of_pair(tokenizers, folder, premise, hypothesis):
    encoding = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(premise, hypothesis)
    return [encoding.ids, encoding.type_ids]
