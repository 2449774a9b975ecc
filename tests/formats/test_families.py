"""RoBERTas and DistilBERTs in Hugging Face's layout: the outputs of `transformers`, in and out, or one line."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import PairEncoder, import_bert, store
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.huggingface.classifier import read_classifier
from gluonnlp_snli_plugin.formats.importing import import_classifier
from gluonnlp_snli_plugin.formats.job import logits_of
from gluonnlp_snli_plugin.formats.model_folder import Model, build_net, save_model
from gluonnlp_snli_plugin.formats.reading import load_finetuned
from gluonnlp_snli_plugin.model.family import family_of
from gluonnlp_snli_plugin.text.byte_pairs import BytePairVocab
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer

pytest.importorskip("tokenizers")
GOLDEN = Path(__file__).parent / "golden"  # made by make_families.py, with transformers
NAMES = {"roberta": "golden_cased", "distilbert": "golden_uncased"}
TOKENIZERS = {
    "roberta": [GOLDEN / "roberta" / name for name in ("vocab.json", "merges.txt", "tokenizer_config.json")],
    "distilbert": [GOLDEN / "vocab.txt"],
}
PAIRS = [
    ("A man is playing a guitar.", "A man isn't sleeping."),
    ("Zwei Hunde  laufen über die Straße.", "犬が走る 🐕"),
    ("", "nothing"),
    ("A woman", ""),
]


@pytest.fixture
def golden(tmp_path):
    """A copy of a golden folder with its tokenizer, to be spoilt."""

    def copy(variant):
        folder = Path(shutil.copytree(str(GOLDEN / variant), str(tmp_path / variant)))
        for file in TOKENIZERS[variant.split("_")[0]]:
            shutil.copy(str(file), str(folder))
        return folder

    return copy


def expected(variant):
    with np.load(str(GOLDEN / "families.npz")) as arrays:
        found = {name.split("/")[1]: arrays[name] for name in arrays.files if name.startswith(f"{variant}/")}
        return {**found, "masked_positions": arrays["masked_positions"]}


def edit(folder, **changes):
    path = folder / "config.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def edit_tensors(folder, **changes):
    tensors = {**load_file(str(folder / "model.safetensors"))}
    tensors.update({name.replace("__", "."): tensor for name, tensor in changes.items()})
    save_file({name: t for name, t in tensors.items() if t is not None}, str(folder / "model.safetensors"))


def encoded_pairs(vocab, tokenizer, backbone):
    return PairEncoder(bert_tokenizer(vocab, tokenizer), vocab, 64, layout=family_of(backbone).layout).encode(
        *zip(*PAIRS)
    )


def with_head(model, folder, head, hidden_units):
    """The output folder of a run, without a run: that backbone with another head, all random."""
    settings = dataclasses.replace(model.settings, head=head, hidden_units=hidden_units)
    net = build_net(settings, model.vocab)
    net.initialize(mx.init.Normal(0.3))
    net(mx.nd.zeros((1, 2), dtype="int32"), mx.nd.zeros((1, 2), dtype="int32"), mx.nd.full(1, 2))
    save_model(Model(net, model.vocab, settings), folder / "model")
    return folder


# Backbones ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", NAMES)
def test_tokens_and_outputs_are_those_of_transformers(golden, root, family):
    checkpoint, wanted = import_bert(golden(family), NAMES[family], root=root), expected(family)
    assert checkpoint.parts == (["decoder"] if family == "roberta" else [])
    net, vocab = nlp.model.get_model(checkpoint.backbone, dataset_name=NAMES[family], root=str(root))
    encoded = encoded_pairs(vocab, checkpoint.tokenizer, checkpoint.backbone)
    for i, length in enumerate(wanted["valid_lengths"]):
        assert encoded[i][0].tolist() == wanted["ids"][i, :length].tolist()
    inputs = mx.nd.array(wanted["ids"], dtype="int32"), mx.nd.array(wanted["valid_lengths"], dtype="float32")
    positions = [mx.nd.array(wanted["masked_positions"], dtype="int32")] if family == "roberta" else []
    outputs = net(*inputs, *positions)
    sequence, *others = outputs if positions else [outputs]
    np.testing.assert_allclose(sequence.asnumpy(), wanted["sequence"], atol=1e-5)
    if positions:
        np.testing.assert_allclose(others[0].asnumpy(), wanted["mlm"], atol=1e-5)


def test_the_vocabulary_has_one_hash_everywhere(golden, root):
    checkpoint = import_bert(golden("roberta"), "golden_cased", root=root)
    _, vocab = nlp.model.get_model(checkpoint.backbone, dataset_name="golden_cased", root=str(root), use_decoder=False)
    assert isinstance(vocab, BytePairVocab) and vocab.merges
    assert (root / checkpoint.vocab_file).read_text() == vocab.to_json()
    assert store.tokenizer_of(vocab, lower=False, root=str(root)) == checkpoint.tokenizer


def test_a_trained_row_of_segments_is_part_of_the_positions(golden, root):
    folder = golden("roberta")
    segments = "roberta__embeddings__token_type_embeddings__weight"
    edit_tensors(folder, **{segments: np.ones((1, 16), np.float32)})
    plain = import_bert(folder, "a_cased", root=root)
    edit_tensors(folder, **{segments: np.zeros((1, 16), np.float32)})
    without = import_bert(folder, "b_cased", root=root)
    first, second = (
        mx.nd.load(str(root / checkpoint.weights_file))["encoder.position_weight"].asnumpy()
        for checkpoint in (plain, without)
    )
    assert first.shape == (64, 16)
    np.testing.assert_allclose(first, second + 1, rtol=1e-6)


def test_parts_that_gluonnlp_lacks_are_left_out_with_a_warning(golden, root, caplog):
    import_bert(golden("distilbert"), "golden_uncased", root=root)
    assert "left out, besides the encoder: decoder (GluonNLP's has none)" in caplog.text
    caplog.clear()
    folder = golden("roberta")
    edit_tensors(folder, roberta__pooler__dense__weight=np.eye(16, dtype=np.float32))
    import_bert(folder, "golden_cased", root=root)
    assert "left out, besides the encoder: pooler (GluonNLP's has none)" in caplog.text


def test_the_first_configs_have_no_model_type(golden, root):
    folder = golden("roberta")
    edit(folder, model_type=None)
    assert import_bert(folder, "golden_cased", root=root).backbone == "roberta_2_16_4"


@pytest.mark.parametrize(
    ("family", "changes", "told"),
    [
        ("roberta", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id is -1"),
        ("roberta", {"pad_token_id": 0}, "pad_token_id is 0, .* and <pad> has the id 1; correct the wrong one"),
        ("roberta", {"max_position_embeddings": 2}, "pad_token_id is 1 and max_position_embeddings is 2"),
        ("roberta", {"type_vocab_size": 0}, "type_vocab_size is 0"),
        ("roberta", {"type_vocab_size": "1"}, "type_vocab_size is '1'"),
        ("roberta", {"model_type": None, "architectures": ["RobertaPreLayerNormModel"]}, "'RobertaPreLayerNormModel'"),
        ("roberta", {"vocab_size": 511}, "is of shape"),
        (
            "roberta",
            {"model_type": "xlm-roberta"},
            "the architecture is 'xlm-roberta'; only 'bert', 'distilbert', 'roberta'",
        ),
        ("roberta", {"model_type": "bert", "type_vocab_size": 2}, "its tokenizer is byte-level BPE, which no bert has"),
        ("distilbert", {"activation": "silu"}, "activation 'silu'"),
        ("distilbert", {"dim": None}, "dim is missing"),
    ],
)
def test_what_cannot_be_imported_is_one_line(golden, root, family, changes, told, refused):
    folder = golden(family)
    edit(folder, **changes)
    refused(folder, root, told, name=NAMES[family])


def test_a_tokenizer_of_another_family_is_refused(golden, root, refused):
    folder = golden("roberta")
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    words = [*(GOLDEN / "vocab.txt").read_text().splitlines(), *(f"word{i}" for i in range(457))]
    (folder / "vocab.txt").write_text("\n".join(words))
    refused(folder, root, "its tokenizer is BERT's WordPiece, which no roberta has", name="mine_cased")


def test_a_byte_level_name_must_be_cased(golden, root, refused):
    refused(golden("roberta"), root, "--name must end in _cased", UsageError, name="mine_uncased")


# Classifiers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", NAMES)
def test_logits_of_classifiers_are_those_of_transformers(golden, family):
    model, wanted = read_classifier(golden(f"{family}_classifier")), expected(f"{family}_classifier")
    assert model.settings.head == {"roberta": "roberta", "distilbert": "mlp"}[family]
    assert model.settings.max_len == (64 if family == "roberta" else 40)
    encoded = model.encoder().encode(*zip(*PAIRS))
    logits = logits_of(model.net, encoded)
    np.testing.assert_allclose(logits, wanted["logits"][:, [2, 0, 1]], atol=1e-5)  # theirs: contradiction comes first


@pytest.mark.parametrize("family", NAMES)
def test_classifiers_come_back_from_an_export_the_same(golden, pairs_file, tmp_path, family):
    folder = golden(f"{family}_classifier")
    import_classifier(folder, tmp_path / "out")
    assert export(tmp_path / "out", "huggingface", tmp_path / "to", pairs_file).difference < 1e-5
    config = json.loads((tmp_path / "to" / "config.json").read_text())
    assert config["model_type"] == family
    files = {"roberta": {"vocab.json", "merges.txt"}, "distilbert": {"vocab.txt"}}[family]
    assert {path.name for path in (tmp_path / "to").iterdir()} == files | {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md", "export.json"),
    }
    first, again = read_classifier(folder), read_classifier(tmp_path / "to")
    assert again.vocab.to_json() == first.vocab.to_json() and again.settings.tokenizer == first.settings.tokenizer
    logits = [logits_of(model.net, model.encoder().encode(*zip(*PAIRS))) for model in (first, again)]
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_a_model_folder_of_another_family_than_its_vocabulary_is_refused(golden, tmp_path):
    out = with_head(read_classifier(golden("roberta_classifier")), tmp_path / "out", "mlp", 5)
    path = out / "model" / "config.json"
    path.write_text(path.read_text().replace('"roberta_1_16_4"', '"distilbert_1_16_4"'))  # with the same parameters
    with pytest.raises(CheckpointError, match="out: the vocabulary has no cls_token and no sep_token, .* distilbert_"):
        load_finetuned(out)


def test_a_head_without_a_class_in_transformers_is_one_line(golden, pairs_file, tmp_path):
    out = with_head(read_classifier(golden("roberta_classifier")), tmp_path / "out", "mlp", 5)
    with pytest.raises(
        UsageError, match="no class of roberta_1_16_4 with the head 'mlp', only with 'roberta': --format onnx"
    ):
        export(out, "huggingface", tmp_path / "to", pairs_file)


def test_missing_hidden_units_are_zeros(golden, pairs_file, tmp_path):
    model = read_classifier(golden("distilbert_classifier"))
    few, many = (with_head(model, tmp_path / str(number), "mlp", number) for number in (5, 17))
    assert export(few, "huggingface", tmp_path / "to", pairs_file).difference < 1e-5
    weight = load_file(str(tmp_path / "to" / "model.safetensors"))["pre_classifier.weight"]
    assert weight.shape == (16, 16) and weight[:5].all() and not weight[5:].any()
    with pytest.raises(UsageError, match="17 hidden units; .* more than the 16 of the backbone"):
        export(many, "huggingface", tmp_path / "no", pairs_file)


ASK = """
import json, sys, torch, transformers
folder, pairs = sys.argv[1], json.load(sys.stdin)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
assert transformers.pipeline("text-classification", folder)({"text": "a", "text_pair": "b"})
inputs = tokenizer(*map(list, zip(*pairs)), padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    print(json.dumps({"class": type(model).__name__, "logits": model(**inputs).logits.tolist()}))
"""


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("family", NAMES)
def test_transformers_gives_the_same_logits(reference_python, golden, pairs_file, tmp_path, family):
    model = read_classifier(golden(f"{family}_classifier"))
    out = with_head(model, tmp_path / "out", family_of(model.settings.backbone).own_head, 9)
    export(out, "huggingface", tmp_path / "to", pairs_file)
    pairs = [*PAIRS, ("A man isn't <mask> asleep.", "x" * 90), ("a dog " * 20, "the cat")]
    done = subprocess.run(
        [str(reference_python), "-I", "-c", ASK, str(tmp_path / "to")],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    ours = load_finetuned(out)
    logits = logits_of(ours.net, ours.encoder().encode(*zip(*pairs)))
    np.testing.assert_allclose(answer["logits"], logits, atol=1e-4)
    assert answer["class"] == family_of(model.settings.backbone).huggingface.classifier
