"""Imported weights are found by GluonNLP's own loader, in every process."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import import_bert, store
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.system.files import digest
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab


@pytest.fixture
def add_vocabulary(tiny_bert, tmp_path):
    """Puts the tiny BERT's vocabulary, or one with a token less or more, into the store in tmp_path."""

    def add(name, tokens=slice(None), more=(), **options):
        wordpieces = (tiny_bert / "vocab.txt").read_text().split()[tokens]
        file = tmp_path / "new"
        file.write_text(wordpiece_vocab([*wordpieces, *more]).to_json())
        tokenizer = TokenizerSettings.bert(True, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
        vocabulary = store.Vocabulary(name, digest(file, "sha1"), source="a test", tokenizer=tokenizer)
        store.add_vocabulary(vocabulary, file, tmp_path, **options)
        return vocabulary

    return add


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
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, timeout=600)
    assert done.returncode == 0
    size, shape = done.stdout.decode().split(maxsplit=1)
    assert shape.strip() == f"({size}, 16)"
    with open(root / checkpoint.weights_file, "r+b") as file:
        file.seek(200)
        file.write(b"\xff\xff\xff")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=600)
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
    for content in (
        *("{", "[]", '{"checkpoints": [{}]}', '{"checkpoints": 3}'),
        *(f'{{"checkpoints": [], "vocabularies": {value}}}' for value in ("null", "3", "[[]]", "[{}]", '"ab"')),
    ):
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


def test_a_vocabulary_needs_no_weights(add_vocabulary, tmp_path):
    vocabulary = add_vocabulary("alone_uncased")
    assert store.vocabularies(tmp_path) == {"alone_uncased": vocabulary} and not store.checkpoints(tmp_path)
    assert store.vocabulary("alone_uncased", tmp_path) == tmp_path / vocabulary.file
    assert store.spiece("alone_uncased", tmp_path) is None
    assert store.inventory(tmp_path) == "there: none; vocabularies without weights: alone_uncased"
    _, vocab = nlp.model.get_model(
        "bert_2_256_4", dataset_name="alone_uncased", root=str(tmp_path), pretrained=False, use_decoder=False
    )
    assert vocab["[CLS]"] == 2
    (tmp_path / vocabulary.file).write_text("{}")
    for ask in (
        lambda: store.vocabulary("alone_uncased", tmp_path),
        lambda: nlp.model.get_model(
            "bert_2_256_4", dataset_name="alone_uncased", root=str(tmp_path), pretrained=False, use_decoder=False
        ),
    ):
        with pytest.raises(CheckpointError, match=f"{vocabulary.file} is damaged: import it again from a test"):
            ask()


def test_weights_under_the_name_of_a_vocabulary_must_have_it(add_vocabulary, tiny_bert, tmp_path):
    add_vocabulary("same_uncased")
    checkpoint = import_bert(tiny_bert, "same_uncased", root=tmp_path)
    assert store.vocabularies(tmp_path)["same_uncased"].file == checkpoint.vocab_file
    assert store.inventory(tmp_path) == "there: bert_2_16_2 same_uncased"
    add_vocabulary("other_uncased", more=["more"])
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="has another vocabulary under the name other_uncased: give another --nam"):
            import_bert(tiny_bert, "other_uncased", root=tmp_path, overwrite=overwrite)


def test_a_vocabulary_under_the_name_of_weights_must_be_theirs(add_vocabulary, tiny_bert, tmp_path):
    checkpoint = import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="bert_2_16_2_mine_uncased in .* has another vocabulary under the name"):
            add_vocabulary("mine_uncased", more=["more"], overwrite=overwrite)
        assert add_vocabulary("mine_uncased", overwrite=overwrite).file == checkpoint.vocab_file
    store.require("bert_2_16_2", "mine_uncased", tmp_path)


def test_another_vocabulary_of_a_name_replaces_it_only_when_told(add_vocabulary, tmp_path):
    first = add_vocabulary("mine_uncased")
    with pytest.raises(UsageError, match="has another vocabulary under the name mine_uncased"):
        add_vocabulary("mine_uncased", more=["more"])
    second = add_vocabulary("mine_uncased", more=["more"], overwrite=True)
    assert [path.name for path in tmp_path.glob("mine*")] == [second.file] != [first.file]


def test_a_vocabulary_is_found_by_its_file_or_its_name(add_vocabulary, tmp_path, monkeypatch):
    vocabulary = add_vocabulary("mine_uncased")
    monkeypatch.chdir(tmp_path)
    assert store.find_vocabulary(vocabulary.file, "elsewhere") == Path(vocabulary.file)
    assert store.find_vocabulary("mine_uncased", ".") == Path(vocabulary.file)
    shutil.copyfile(vocabulary.file, "mine_uncased")
    assert store.find_vocabulary("mine_uncased", ".") == Path("mine_uncased")
    for source in (tmp_path, "a/b.txt", "my\0_uncased"):
        with pytest.raises(UsageError, match="is not a file, and there is no vocabulary under.*alone|mine_uncased"):
            store.find_vocabulary(source, tmp_path)


def test_an_index_from_before_there_were_vocabularies_alone(tiny_bert, tmp_path):
    checkpoint = import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    path = tmp_path / store.INDEX
    content = json.loads(path.read_text())
    assert content.pop("vocabularies") == []
    path.write_text(json.dumps(content))
    assert list(store.vocabularies(tmp_path)) == ["mine_uncased"]
    assert store.checkpoints(tmp_path) == {checkpoint.key: checkpoint}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../mine_uncased"},
        {"name": "mine"},
        {"sha1": "0" * 39},
        {"sha1": 0},
        {"extension": "/../x"},
        {"special_tokens": {"a": 1}},
        {"source": None},
        {"more": 1},
        {"name": "weights_uncased"},  # which has another vocabulary
    ],
    ids=str,
)
def test_a_vocabulary_that_cannot_be_is_refused(add_vocabulary, tiny_bert, tmp_path, change):
    add_vocabulary("mine_uncased", more=["more"])
    import_bert(tiny_bert, "weights_uncased", root=tmp_path)
    path = tmp_path / store.INDEX
    content = json.loads(path.read_text())
    content["vocabularies"][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"{store.INDEX} is damaged"):
        store.vocabularies(tmp_path)


def test_an_index_from_before_tokenizers_had_settings_means_gluonnlps(tiny_bert, tmp_path):
    import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    path = tmp_path / store.INDEX
    content = json.loads(path.read_text())
    assert content["checkpoints"][0].pop("tokenizer")["algorithm"] == "bert"
    path.write_text(json.dumps(content))
    assert store.vocabularies(tmp_path)["mine_uncased"].tokenizer == TokenizerSettings.gluonnlp(lower=True)
    with pytest.raises(UsageError, match="is already in .*: give another --name, or --overwrite"):
        import_bert(tiny_bert, "mine_uncased", root=tmp_path)
    import_bert(tiny_bert, "mine_uncased", root=tmp_path, overwrite=True)
    assert store.vocabularies(tmp_path)["mine_uncased"].tokenizer.algorithm == "bert"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"parts": ["head"]}, "invalid parts"),
        ({"hparams": {"activation": "silu"}}, "invalid hyper-parameters"),
        ({"hparams": {"max_length": 1 << 24}}, "invalid hyper-parameters"),
        ({"vocab_extension": ".txt"}, "invalid extension"),
        ({"tokenizer": TokenizerSettings.bert(lower=False)}, "invalid case"),
    ],
)
def test_what_cannot_be_read_back_is_not_put_into_the_store(tiny_bert, tmp_path, change, told):
    checkpoint = dataclasses.replace(import_bert(tiny_bert, "mine_uncased", root=tmp_path), **change)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=f"the store cannot hold it: {told}"):
        store.add(checkpoint, tmp_path / "weights", tmp_path / "vocab", tmp_path, overwrite=True)
    assert sorted(tmp_path.iterdir()) == before
