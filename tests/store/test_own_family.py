"""The checkpoints of a user's own family are in the store, also for programs that do not have that family."""

import inspect
import json
import shutil

import gluonnlp as nlp
import pytest
from gluonnlp.model.bert import get_bert_model

from gluonnlp_snli_plugin import finetune, import_bert, registry, store
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.model import encoder_family
from gluonnlp_snli_plugin.model.bert import BertFamily

NO_PARTS = {"use_pooler": True, "use_decoder": False, "use_classifier": False}


class SlimFamily(BertFamily):
    """BERT with a builder of its own."""

    name = "slim"
    example = "slim_12_768_12"
    model_type = "slim"
    builder = (__name__, "get_slim_model")


def get_slim_model(model_name, dataset_name=None, **kwargs):
    return inspect.unwrap(get_bert_model)(model_name, dataset_name, **kwargs)


@pytest.fixture
def slim():
    """Registers the family; called, it takes the family back out."""
    family = encoder_family.register(SlimFamily())

    def forget():
        registry.family._entries.pop("slim", None)
        registry._patterns.pop(family.pattern, None)

    yield forget
    forget()


@pytest.fixture
def folder(tiny_bert, tmp_path):
    folder = tmp_path / "slim"
    shutil.copytree(str(tiny_bert), str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "slim"}))
    return folder


def test_it_is_built_as_its_checkpoint_says(slim, folder, tmp_path):
    checkpoint = import_bert(folder, "own_uncased", root=tmp_path)
    assert (checkpoint.backbone, checkpoint.hparams["hidden_size"]) == ("slim_2_16_2", 32)
    given = {"dataset_name": "own_uncased", "root": str(tmp_path), **NO_PARTS}
    net, vocab = nlp.model.get_model("slim_2_16_2", pretrained=True, **given)
    assert net.encoder.transformer_cells[0].ffn.ffn_1.weight.shape == (32, 16)
    assert net.word_embed[0].weight.shape == (len(vocab), 16)


def test_a_program_without_it_reads_and_keeps_the_rest(slim, folder, tiny_bert, tmp_path):
    import_bert(folder, "own_uncased", root=tmp_path)
    slim()
    import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    assert sorted(store.checkpoints(tmp_path)) == ["bert_2_16_2_mine_uncased", "slim_2_16_2_own_uncased"]
    encoder_family.register(SlimFamily())
    given = {"dataset_name": "own_uncased", "root": str(tmp_path), **NO_PARTS}
    nlp.model.get_model("slim_2_16_2", pretrained=True, **given)


def test_a_program_without_it_is_told_so(slim, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    import_bert(folder, "own_uncased")
    slim()
    registry.deactivate()
    registry.activate()  # as when the plugin is imported
    with pytest.raises(UsageError, match="no architecture 'slim_2_16_2'; a name is bert_LAYERS_UNITS_HEADS"):
        finetune(dataset_name="own_uncased", train_file="a", dev_file="b", output_dir=str(tmp_path / "out"))
