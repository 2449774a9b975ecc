"""The names of imported checkpoints, and the store that holds them."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from gluonnlp_snli_plugin import import_bert, store
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError


def listing(root):
    """What is in the store, without its lock file."""
    return sorted(path.name for path in root.glob("*") if not path.name.endswith(".lock"))


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mine", "mine_Uncased", "_uncased", "../mine_uncased", "a/b_cased", "", "mine_cased\n"]
)
def test_a_name_that_cannot_be_is_refused(folder, root, name, refused):
    refused(folder, root, "must end in _cased or _uncased", error=UsageError, name=name)


def test_a_name_must_not_contradict_the_tokenizer(folder, root, refused):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    line = refused(folder, root, "do_lower_case=true: .* end in _uncased", error=UsageError, name="mine_cased")
    assert str(folder / "tokenizer_config.json") in line
    import_bert(folder, "mine_uncased", root=root)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    refused(folder, root, "do_lower_case=false: .* end in _cased", error=UsageError, name="other_uncased")
    import_bert(folder, "other_cased", root=root)


def test_a_damaged_tokenizer_config_is_named(folder, root, refused):
    (folder / "tokenizer_config.json").write_text("{")
    refused(folder, root, "tokenizer_config.json is not valid JSON")


@pytest.mark.parametrize("name", ["book_corpus_wiki_en_uncased", "wiki_multilingual_cased", "scibert_scivocab_uncased"])
def test_gluonnlps_own_names_are_refused(folder, root, name, refused):
    refused(folder, root, f"{name} is a name of GluonNLP's own", error=UsageError, name=name)


def test_the_same_checkpoint_may_be_imported_twice(folder, root):
    first = import_bert(folder, "mine_uncased", root=root)
    files = listing(root)
    assert import_bert(folder, "mine_uncased", root=root) == first
    assert listing(root) == files


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": {"pooler__dense__bias": np.ones(16, np.float32)}},
        {"config": {"hidden_act": "relu"}},
        {"token": "##zz\n"},
    ],
    ids=["weights", "config", "vocabulary"],
)
def test_another_checkpoint_takes_a_name_only_with_overwrite(
    folder, root, changes, edit_config, edit_tensors, build, refused
):
    first = import_bert(folder, "mine_uncased", root=root)
    edit_tensors(folder, **changes.get("tensors", {}))
    edit_config(folder, **changes.get("config", {}))
    vocab = folder / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("##z\n", changes.get("token", "##z\n")))
    refused(folder, root, "bert_2_16_2_mine_uncased is already in .*--overwrite", error=UsageError)
    assert store.checkpoints(root) == {first.key: first}
    second = import_bert(folder, "mine_uncased", root=root, overwrite=True)
    assert second != first and store.checkpoints(root) == {second.key: second}
    assert listing(root) == sorted([second.weights_file, second.vocab_file, store.INDEX])
    build(second, root)


def test_two_backbones_under_one_name_share_one_vocabulary(folder, root, edit_config, build, refused):
    large = import_bert(folder, "mine_uncased", root=root)
    edit_config(folder, num_hidden_layers=1)
    small = import_bert(folder, "mine_uncased", root=root)
    assert (small.backbone, small.vocab_file) == ("bert_1_16_2", large.vocab_file)
    assert build(large, root)[1].idx_to_token == build(small, root)[1].idx_to_token
    vocab = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(vocab.replace("##z\n", "##zz\n"))
    for overwrite in (False, True):
        match = "already in|bert_2_16_2_mine_uncased in .* has another vocabulary under the name mine_uncased"
        refused(folder, root, match, error=UsageError, overwrite=overwrite)
    edit_config(folder, num_attention_heads=4)
    refused(folder, root, "has another vocabulary under the name mine_uncased: give another --name", error=UsageError)


# The store ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"checkpoints": [{"backbone": "bert_0_0_0", "dataset_name": "a", "weights_sha1": "0", "vocab_sha1": "0"}]}',
        '{"checkpoints": [{"backbone": "bert_1_2_1", "dataset_name": "a", "weights_sha1": 5, "vocab_sha1": "0"}]}',
        '{"checkpoints": [{"backbone": null, "dataset_name": "a", "weights_sha1": "0", "vocab_sha1": "0"}]}',
    ],
)
def test_a_damaged_index_stops_an_import(folder, root, content, refused):
    root.mkdir()
    (root / store.INDEX).write_text(content)
    line = refused(folder, root, "is damaged: remove it and import the weights again")
    assert str(root / store.INDEX) in line


@pytest.mark.parametrize(
    "content",
    ["{", '{"checkpoints": [{"backbone": "x", "dataset_name": "a", "weights_sha1": "0", "vocab_sha1": "0"}]}'],
)
def test_a_damaged_index_does_not_stop_the_plugin(tmp_path, content):
    path = tmp_path / "models" / store.INDEX
    path.parent.mkdir()
    path.write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", "import gluonnlp_snli_plugin, gluonnlp; print(gluonnlp.data.list_datasets('SNLI'))"],
        env={**os.environ, "MXNET_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0 and "segment" in done.stdout
    assert f"{path} is damaged: remove it and import the weights again" in done.stderr


def test_a_store_that_cannot_be_made_is_named(folder, tmp_path, refused):
    (tmp_path / "file").write_text("")
    refused(folder, tmp_path / "file" / "models", re.escape(str(tmp_path / "file")))


def test_a_store_whose_name_mxnet_cannot_open_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"caf\\udce9: MXNet opens only files whose names are UTF-8"):
        import_bert(folder, "mine_uncased", root=tmp_path / "caf\udce9")
