"""ONNX: every kind of model, in ONNX Runtime; the folder is a model too, and its example needs nothing of ours."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, import_bert
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.data.truncation import create
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.onnx.export import _KEEP_B
from gluonnlp_snli_plugin.tasks.snli import SNLI
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
tokenizers = pytest.importorskip("tokenizers")

ASK = """
sys.path.insert(0, ".")
import json, example
pairs = json.load(open("pairs.json"))
print(json.dumps([[label, logits.tolist()] for label, logits in (example.label(*pair) for pair in pairs)]))
"""


@pytest.fixture(scope="module")
def pairs(pairs_file):
    dataset = SNLI(file=pairs_file)
    odd = ["x" * 150, "[SEP] the man", "Éa, naïve!", "日本語 \u00a0\t!?", "a " * 40, "."]
    return list(zip(dataset.premises, dataset.hypotheses))[:30] + [(a, b) for a in odd for b in odd]


def ask_example(run_without, folder, pairs):
    (folder / "pairs.json").write_text(json.dumps(pairs))
    return json.loads(run_without(ASK, "mxnet", "gluonnlp", cwd=folder))


VARIANTS = {
    "mlp": {},
    "pooled": {"head": "pooled"},
    "mean": {"head": "mean"},
    "relu, epsilon": {"hparams": {"activation": "relu", "layer_norm_eps": 1e-3}},
    "tanh's GELU, three segments": {"hparams": {"activation": "approx_gelu", "token_type_vocab_size": 3}},
    "one layer": {"backbone": "bert_1_12_1", "head": "pooled"},
    "tanh": {"head": "roberta"},
    "no segments": {"backbone": "distilbert_2_24_4", "hparams": {"layer_norm_eps": 1e-5}},
    "labels in another order": {"labels": ("neutral", "entailment", "contradiction")},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_the_model(make_model, pairs_file, tmp_path, variant):
    import onnx

    done = export(make_model(**VARIANTS[variant]), "onnx", tmp_path / "to", pairs_file)
    assert done.difference < 1e-5
    model = onnx.load(str(tmp_path / "to" / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)] and model.ir_version == 7
    types = {value.name: value.type.tensor_type for value in [*model.graph.input, *model.graph.output]}
    shapes = {
        name: (kind.elem_type, [size.dim_param or size.dim_value for size in kind.shape.dim])
        for name, kind in types.items()
    }
    ids = (onnx.TensorProto.INT64, ["batch", "length"])
    assert shapes.pop("logits") == (onnx.TensorProto.FLOAT, ["batch", 3])
    segments = {} if variant == "no segments" else {"token_type_ids": ids}
    assert shapes == {"input_ids": ids, "attention_mask": ids, **segments}


@pytest.mark.parametrize("truncation", _KEEP_B)
def test_the_example_gives_the_same_answers(make_model, run_without, pairs, tmp_path, truncation):
    model = make_model(truncation=truncation)
    export(model, "onnx", tmp_path / "to")
    answers = ask_example(run_without, tmp_path / "to", pairs)
    predictor = Predictor.load(model, native=False)
    encoded = predictor.encoder.encode(*zip(*pairs))
    assert encoded.num_truncated > 20
    np.testing.assert_allclose([logits for _, logits in answers], predictor.logits(encoded), atol=1e-4)
    assert [label for label, _ in answers] == [answer.label for answer in predictor(pairs)]


@pytest.mark.parametrize("lower", [False, True])
def test_the_example_divides_text_as_a_sentencepiece_model_does(
    make_model, run_without, pairs, spiece, tmp_path, lower
):
    model = make_model(spiece=spiece, lower=lower, max_len=40)
    export(model, "onnx", tmp_path / "to")
    predictor = Predictor.load(model, native=False)
    expected = predictor.logits(predictor.encoder.encode(*zip(*pairs)))
    answers = ask_example(run_without, tmp_path / "to", pairs)
    np.testing.assert_allclose([logits for _, logits in answers], expected, atol=1e-4)


def test_the_example_and_the_folder_know_a_model_without_segments(make_model, run_without, pairs, tmp_path):
    model = make_model("mean", backbone="distilbert_2_24_4")
    export(model, "onnx", tmp_path / "to")
    predictor = Predictor.load(model, native=False)
    expected = predictor.logits(predictor.encoder.encode(*zip(*pairs)))
    answers = ask_example(run_without, tmp_path / "to", pairs)
    np.testing.assert_allclose([logits for _, logits in answers], expected, atol=1e-4)
    assert "token_type_ids" not in (tmp_path / "to" / "example.py").read_text()
    read = Predictor.load(tmp_path / "to")
    np.testing.assert_allclose(read.logits(read.encoder.encode(*zip(*pairs))), expected, atol=1e-4)


@pytest.mark.parametrize("truncation", _KEEP_B)
def test_the_formulas_of_truncation_are_those_of_the_strategies(truncation):
    strategy = create(truncation)
    for budget in (2, 3, 9, 10):
        for len_a in range(12):
            for len_b in range(12):
                if len_a + len_b > budget:
                    keep_b = eval(_KEEP_B[truncation], {"a": [0] * len_a, "b": [0] * len_b, "budget": budget})
                    assert (budget - keep_b, keep_b) == tuple(map(int, strategy(len_a, len_b, budget)))


def test_the_example_answers_on_the_command_line(make_model, tmp_path):
    model = make_model()
    export(model, "onnx", tmp_path / "to")
    pair = ["The dog is running.", "a dog is not running"]
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "to" / "example.py", *pair], capture_output=True, text=True, check=True
    )
    assert done.stdout == Predictor.load(model)([pair])[0].label + "\n"


@pytest.mark.parametrize("lower", [False, True])
def test_the_tokenizer_is_gluonnlps(make_model, tmp_path, lower):
    from gluonnlp_snli_plugin.formats.huggingface.export_tokenizer import write_tokenizer
    from gluonnlp_snli_plugin.formats.job import Job

    model = Job.of(make_model(lower=lower)).model
    write_tokenizer(model, tmp_path)
    theirs, ours = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")), model.encoder().tokenizer
    texts = [f"Red{chr(i)}dog a{chr(i)}" for i in range(0x250)] + ["x" * n for n in (99, 101, 200, 201)]
    texts += ["Ｆｕｌｌ 幅", "e\u0301é", "a\u200bb", "한국어", "dog—cat…‘red’", "\ufffd", "[CLS] [MASK] ##a"]
    assert [theirs.encode(text).ids for text in texts] == [ours.ids(text) for text in texts]


def test_a_strategy_of_a_users_own_cannot_be_exported(make_model, tmp_path, monkeypatch):
    monkeypatch.delitem(_KEEP_B, "ratio")
    with pytest.raises(UsageError, match="truncation 'ratio' is not one of this package's"):
        export(make_model(truncation="ratio"), "onnx", tmp_path / "to")


@pytest.fixture(scope="module")
def exported(make_model, pairs_file, tmp_path_factory):
    """A model whose pairs are often truncated, by a strategy that is not the default; and its ONNX folder."""
    model = make_model("mean", truncation="ratio", labels=("neutral", "entailment", "contradiction"))
    return model, export(model, "onnx", tmp_path_factory.mktemp("export") / "to", pairs_file).folder


def assert_same_answers(model, folder, pairs):
    ours, theirs = Predictor.load(model), Predictor.load(folder)
    encoded = ours.encoder.encode(*zip(*pairs))
    assert (theirs.encoder.encode(*zip(*pairs)).input_ids == encoded.input_ids).all()
    np.testing.assert_allclose(theirs.logits(encoded), ours.logits(encoded), atol=1e-4)
    assert [answer.label for answer in theirs(pairs)] == [answer.label for answer in ours(pairs)]
    assert theirs.num_truncated == encoded.num_truncated and theirs.settings == ours.settings


def test_the_predictor_of_the_folder_gives_the_answers_of_the_model(exported, pairs):
    assert_same_answers(*exported, pairs)


@pytest.mark.parametrize("exact", [False, True])
def test_the_folder_brings_the_tokenizer_that_the_model_has(make_model, pairs_file, pairs, tmp_path, exact):
    tokenizer = TokenizerSettings.bert(False, ()) if exact else TokenizerSettings.gluonnlp(False)
    model = make_model("pooled", tokenizer=tokenizer, max_len=40)
    assert_same_answers(model, export(model, "onnx", tmp_path / "to", pairs_file).folder, pairs)


def test_the_folder_brings_a_sentencepiece_model(make_model, pairs_file, spiece, pairs, tmp_path):
    model = make_model(spiece=spiece, max_len=40)
    assert_same_answers(model, export(model, "onnx", tmp_path / "to", pairs_file).folder, pairs)


def test_the_folder_can_be_moved_and_its_batches_be_of_any_size(exported, pairs, tmp_path):
    moved = shutil.copytree(str(exported[1]), str(tmp_path / "moved"))
    expected = Predictor.load(exported[0])(pairs[:20])
    for found, wanted in zip(Predictor.load(moved, batch_size=3)(pairs[:20]), expected):
        np.testing.assert_allclose(list(found.probabilities.values()), list(wanted.probabilities.values()), atol=1e-4)


def test_evaluate_and_predict_take_the_folder(exported, pairs_file, capsys):
    model, folder = exported
    assert evaluate(folder, pairs_file).accuracy == evaluate(model, pairs_file).accuracy
    assert main(["evaluate", str(folder), "--file", str(pairs_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(evaluate(model, pairs_file).accuracy)
    pair = ("The dog is running.", "a dog is not running")
    assert main(["predict", str(folder), "--premise", pair[0], "--hypothesis", pair[1]]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == Predictor.load(model)([pair])[0].label


@pytest.mark.jax
def test_xla_computes_no_graph_of_onnx(exported):
    with pytest.raises(UsageError, match="XLA is for a model of finetune; an ONNX model is .* on CPU"):
        Predictor.load(exported[1], engine="xla")


def test_what_onnx_runtime_cannot_do_is_refused_in_one_line(exported, tmp_path, capsys):
    _, folder = exported
    for dtype in ("int8", "bfloat16"):
        with pytest.raises(UsageError, match=f"--dtype {dtype} is for a model of finetune"):
            Predictor.load(folder, dtype=dtype)
    with pytest.raises(UsageError, match="is an export already: export the model that it was made from"):
        export(folder, "symbol", tmp_path / "to")
    with pytest.raises(CheckpointError, match="a model in the format 'onnx', from which no BERT can be imported"):
        import_bert(folder, "a_uncased", root=tmp_path)
    assert main(["predict", str(folder), "--premise", "a", "--hypothesis", "b", "--explain"]) == 2
    assert capsys.readouterr().err.endswith("cannot be explained: use the model that it was exported from\n")


def _settings(change):
    def damage(folder):
        path = folder / "settings.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (lambda folder: os.truncate(str(folder / "model.onnx"), 999), "model.onnx is damaged: its content is not what"),
        (lambda folder: (folder / "vocab.txt").write_text("a"), "vocab.txt is damaged: its content is not what"),
        (lambda folder: (folder / "settings.json").unlink(), "settings.json is missing or damaged"),
        (lambda folder: (folder / "vocab.txt").unlink(), "vocab.txt: No such file"),
        (_settings(lambda content: content.pop("model")), "exported by an older version.*: export the model again"),
        (_settings(lambda content: content.update(model=[])), "settings.json is damaged"),
        (_settings(lambda content: content["model"].update(max_len=1)), "settings.json is damaged: max_len is 1"),
        (_settings(lambda content: content.update(special_tokens={})), "settings.json is damaged"),
        (_settings(lambda content: content.update(vocabulary="../vocab.txt")), "settings.json is damaged"),
    ],
)
def test_a_damaged_folder_is_one_line(exported, tmp_path, damage, complaint):
    folder = tmp_path / "copy"
    shutil.copytree(str(exported[1]), str(folder))
    damage(folder)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        Predictor.load(folder)
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_not_a_classifier_of_pairs_is_refused(tmp_path):
    import onnx

    from gluonnlp_snli_plugin.formats.onnx.reader import OnnxNet

    path = tmp_path / "model.onnx"
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="model.onnx: ONNX Runtime cannot read it"):
        OnnxNet(path, 3)
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", ends[:1], ends[1:])
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=7), str(path))
    with pytest.raises(CheckpointError, match="is not the graph of a classifier of pairs into 3 classes"):
        OnnxNet(path, 3)


def test_reading_without_the_packages_names_the_extra(exported, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    with pytest.raises(UsageError, match=r"^onnxruntime is missing: pip install 'gluonnlp-snli-plugin\[onnx\]'$"):
        Predictor.load(exported[1])


def test_a_missing_package_is_named_with_the_extra(make_model, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else found(name))
    with pytest.raises(UsageError, match=r"^onnx is missing: pip install 'gluonnlp-snli-plugin\[onnx\]'$"):
        export(make_model(), "onnx", tmp_path / "to")


@pytest.mark.slow
def test_minilm(minilm_name, shared_data, run_without, tmp_path):
    from gluonnlp_snli_plugin import finetune

    train, dev = (shared_data / "snli_mini" / f"snli_mini_{name}.jsonl" for name in ("train", "dev"))
    few, dev_pairs = tmp_path / "few.jsonl", tmp_path / "dev.jsonl"
    few.write_text("".join(train.read_text().splitlines(keepends=True)[:32]))
    dev_pairs.write_text("".join(dev.read_text().splitlines(keepends=True)[:100]))
    finetune(
        dataset_name=minilm_name, train_file=str(few), dev_file=str(few), output_dir=str(tmp_path / "out"), epochs=1
    )
    assert export(tmp_path / "out", "onnx", tmp_path / "to", dev_pairs).difference < 1e-4
    dataset = SNLI(file=dev_pairs)
    pairs = list(zip(dataset.premises, dataset.hypotheses))
    answers = ask_example(run_without, tmp_path / "to", pairs)
    assert [label for label, _ in answers] == [answer.label for answer in Predictor.load(tmp_path / "out")(pairs)]
