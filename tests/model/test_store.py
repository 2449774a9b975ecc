"""Imported weights are found by GluonNLP's own loader, in every process."""

import json
import os
import subprocess
import sys

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import import_bert
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.model import store


def test_files_carry_gluonnlps_own_names(tiny_bert, tmp_path):
    checkpoint = import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    assert checkpoint.weights_file == f"bert_2_16_2_mine_uncased-{checkpoint.weights_sha1[:8]}.params"
    assert checkpoint.vocab_file == f"mine_uncased-{checkpoint.vocab_sha1[:8]}.vocab"
    visible = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert visible == sorted([checkpoint.weights_file, checkpoint.vocab_file, store.INDEX])
    assert store.checkpoints(tmp_path) == {checkpoint.key: checkpoint}


def test_a_new_process_finds_them_by_name_and_notices_damage(tiny_bert, tmp_path):
    root = tmp_path / "models"
    checkpoint = import_bert(tiny_bert, "mine_uncased", root=root)
    code = (
        "import gluonnlp as nlp, gluonnlp_snli_plugin\n"
        "net, vocab = nlp.model.get_model('bert_2_16_2', dataset_name='mine_uncased', pretrained=True,\n"
        "                                 use_decoder=False, use_classifier=False)\n"
        "print(len(vocab), net.word_embed[0].weight.data().shape)\n"
    )
    environment = {**os.environ, "MXNET_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, timeout=120)
    assert done.returncode == 0
    size, shape = done.stdout.decode().split(maxsplit=1)
    assert shape.strip() == f"({size}, 16)"
    with open(root / checkpoint.weights_file, "r+b") as file:
        file.seek(200)
        file.write(b"\xff\xff\xff")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=120)
    complaint = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 1 and f"{checkpoint.weights_file} is damaged: import it again" in complaint


def test_the_vocabulary_keeps_the_numbers_of_vocab_txt(tiny_bert, tiny_name):
    _, vocab = nlp.model.get_model(
        "bert_2_16_2", dataset_name=tiny_name, pretrained=True, use_decoder=False, use_classifier=False
    )
    assert vocab.idx_to_token == (tiny_bert / "vocab.txt").read_text().split()
    assert vocab[vocab.padding_token] == 0 and vocab.cls_token == "[CLS]"


def test_a_checkpoint_in_another_root_needs_the_root(tiny_bert, tmp_path):
    import_bert(tiny_bert, "elsewhere_uncased", root=tmp_path)
    net, _ = nlp.model.get_model(
        "bert_2_16_2",
        dataset_name="elsewhere_uncased",
        root=str(tmp_path),
        pretrained=True,
        use_decoder=False,
        use_classifier=False,
    )
    assert net.encoder._units == 16


def test_a_part_that_the_weights_lack_is_named(tiny_name):
    with pytest.raises(CheckpointError, match="no decoder: ask for it with use_decoder=False"):
        nlp.model.get_model("bert_2_16_2", dataset_name=tiny_name, pretrained=True)


def test_a_file_that_is_gone_is_named_before_anything_is_downloaded(tiny_bert, tmp_path):
    checkpoint = import_bert(tiny_bert, "gone_uncased", root=tmp_path)
    (tmp_path / checkpoint.vocab_file).unlink()
    with pytest.raises(CheckpointError, match=f"{checkpoint.vocab_file} is missing: import it again"):
        nlp.model.get_model("bert_2_16_2", dataset_name="gone_uncased", root=str(tmp_path), pretrained=False)
    with pytest.raises(CheckpointError, match="is missing"):
        store.require("bert_2_16_2", "gone_uncased", tmp_path)
    import_bert(tiny_bert, "gone_uncased", root=tmp_path)
    store.require("bert_2_16_2", "gone_uncased", tmp_path)


def test_weights_that_are_not_there_are_missed_before_anything_is_downloaded(tmp_path):
    with pytest.raises(UsageError, match="no weights of bert_12_768_12 under the name 'book_corpus_wiki_en_uncased'"):
        store.require("bert_12_768_12", "book_corpus_wiki_en_uncased", tmp_path)


def test_a_damaged_index_is_named(tmp_path):
    for content in ("{", "[]", '{"checkpoints": [{}]}', '{"checkpoints": 3}'):
        (tmp_path / store.INDEX).write_text(content)
        with pytest.raises(CheckpointError, match=f"{store.INDEX} is damaged"):
            store.checkpoints(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset_name": "../mine_uncased"},
        {"vocab_extension": "/../x"},
        {"special_tokens": {"a": 1}},
        {"parts": [[]]},
        {"hparams": {"more": 1}},
        {"hparams": {"activation": 0}},
        {"backbone": "bert_" + "9" * 5000 + "_1_1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_entry_that_cannot_be_is_refused(tiny_bert, tmp_path, change):
    import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    path = tmp_path / store.INDEX
    content = json.loads(path.read_text())
    content["checkpoints"][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"{store.INDEX} is damaged"):
        store.checkpoints(tmp_path)


def test_an_entry_that_is_not_what_the_weights_are_is_refused(tiny_bert, tmp_path):
    import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    path = tmp_path / store.INDEX
    content = json.loads(path.read_text())
    content["checkpoints"][0]["hparams"]["max_length"] = 65
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"params is not what {store.INDEX} beside it says"):
        nlp.model.get_model("bert_2_16_2", dataset_name="mine_uncased", root=str(tmp_path), pretrained=True)
