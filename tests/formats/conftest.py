"""Models to export, small, with random parameters that are all of some weight in the logits; BERTs to import."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import import_bert
from gluonnlp_snli_plugin.errors import CheckpointError
from gluonnlp_snli_plugin.formats.model_folder import Model, build_net, save_model
from gluonnlp_snli_plugin.formats.model_settings import ModelSettings
from gluonnlp_snli_plugin.model.family import hparams_of
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces, read_wordpieces


@pytest.fixture(scope="session")
def make_model(tiny_bert, tmp_path_factory):
    """Makes the output folder of a run, without a run; arguments are those of ModelSettings."""

    def make(head="mlp", spiece=None, backbone="bert_3_24_4", **settings):
        vocab = read_sentencepieces(spiece)[0] if spiece else read_wordpieces(tiny_bert / "vocab.txt")
        hparams = {**hparams_of(backbone), "hidden_size": 40, "max_length": 64, **settings.pop("hparams", {})}
        settings.setdefault("tokenizer", TokenizerSettings.gluonnlp(settings.pop("lower", True)))
        given = {"hidden_units": 10, "dropout": 0.1, "max_len": 15, "truncation": "longest_first"}
        settings = ModelSettings(backbone, hparams, head, **{**given, **settings})
        net = build_net(settings, vocab)
        random = np.random.RandomState(3)
        net.initialize()
        net(mx.nd.zeros((1, 2), dtype="int32"), mx.nd.zeros((1, 2), dtype="int32"), mx.nd.full(1, 2))
        for name, parameter in net._collect_params_with_prefix().items():
            parameter.set_data(mx.nd.array(random.normal(name.endswith("gamma"), 0.25, parameter.shape)))
        folder = tmp_path_factory.mktemp("run") / "out"
        save_model(Model(net, vocab, settings, spiece), folder / "model")
        return folder

    return make


@pytest.fixture(scope="session")
def spiece(train_sentencepiece, pairs_file, tmp_path_factory):
    """A SentencePiece model for the pairs."""
    return train_sentencepiece(tmp_path_factory.mktemp("spiece") / "pieces.model", pairs_file.read_text().splitlines())


@pytest.fixture(scope="session")
def run_without():
    """Runs Python code in a process that can import neither this package nor some others; returns what it prints."""

    def run(code, *others, cwd=None):
        hidden = ["gluonnlp_snli_plugin", *others]
        before = f"import sys; sys.modules.update(dict.fromkeys({hidden!r}))\n"
        done = subprocess.run([sys.executable, "-I", "-c", before + code], cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


# Checkpoints in Hugging Face's layout to import ----------------------------------------------------------------------


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny BERT, to be spoilt."""
    return Path(shutil.copytree(str(tiny_bert), str(tmp_path / "checkpoint")))


@pytest.fixture
def root(tmp_path):
    """The model store to import into."""
    return tmp_path / "models"


@pytest.fixture(scope="session")
def edit_config():
    """Changes entries of a folder's config.json; those that are None go."""

    def edit(folder, **changes):
        config = {**json.loads((folder / "config.json").read_text()), **changes}
        config = {key: value for key, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(config))
        return config

    return edit


@pytest.fixture(scope="session")
def edit_tensors():
    """Changes a folder's tensors, '__' in their names for '.'; those that are None go."""

    def edit(folder, **changes):
        tensors = load_file(str(folder / "model.safetensors"))
        tensors.update({name.replace("__", "."): tensor for name, tensor in changes.items()})
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if tensor is not None}
        save_file(tensors, str(folder / "model.safetensors"))

    return edit


@pytest.fixture(scope="session")
def build():
    """The net and the vocabulary that GluonNLP builds of a checkpoint in a store."""

    def build(checkpoint, root, **kwargs):
        kwargs = {"use_decoder": False, "use_classifier": False, **kwargs}
        return nlp.model.get_model(
            checkpoint.backbone, dataset_name=checkpoint.dataset_name, root=str(root), pretrained=True, **kwargs
        )

    return build


@pytest.fixture(scope="session")
def refused():
    """Asserts that an import is refused in one line, and leaves nothing behind in the store; returns the line."""

    def refused(folder, root, match, error=CheckpointError, name="mine_uncased", **kwargs):
        before = listing(root)
        with pytest.raises(error, match=match) as caught:
            import_bert(folder, name, root=root, **kwargs)
        assert "\n" not in str(caught.value)
        assert listing(root) == before
        return str(caught.value)

    def listing(root):
        return sorted(path.name for path in root.glob("*") if not path.name.endswith(".lock"))

    return refused
