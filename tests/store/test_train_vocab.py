"""A vocabulary trained on text is in the model store, where GluonNLP finds it by name."""

import os
import subprocess
import sys

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import import_bert, store, train_vocabulary
from gluonnlp_snli_plugin.errors import CheckpointError, DataError, UsageError
from gluonnlp_snli_plugin.tasks.sample import sample_pairs


@pytest.fixture(scope="module")
def sentences():
    return [premise for premise, _, _ in sample_pairs("dev")]


@pytest.fixture
def corpus(sentences, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(sentences))
    return path


def test_a_new_process_finds_it_by_name(corpus, tmp_path):
    root = tmp_path / "models"
    vocabulary = train_vocabulary(corpus, "text_uncased", size=80, root=root)
    assert sorted(path.name for path in root.iterdir() if path.name[0] != ".") == [store.INDEX, vocabulary.file]
    code = (
        "import gluonnlp as nlp, gluonnlp_snli_plugin\n"
        "net, vocab = nlp.model.get_model('bert_2_256_4', dataset_name='text_uncased', pretrained=False)\n"
        "print(len(vocab), vocab.idx_to_token[:5])\n"
    )
    environment = {**os.environ, "MXNET_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "80 ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']\n", done.stderr


def test_gluonnlps_tokenizer_takes_it(corpus):
    train_vocabulary(corpus, "taken_uncased", size=80, model_type="bpe")
    _, vocab = nlp.model.get_model("bert_2_256_4", dataset_name="taken_uncased", pretrained=False)
    tokenizer = nlp.data.BERTSPTokenizer(str(store.spiece("taken_uncased")), vocab, lower=True)
    assert "".join(tokenizer("An ADULT, cycling.")).replace("▁", " ").split() == ["an", "adult", ",", "cycling", "."]
    with pytest.raises(UsageError, match="no weights of bert_2_256_4 under the name 'taken_uncased'.*taken_uncased"):
        nlp.model.get_model("bert_2_256_4", dataset_name="taken_uncased", pretrained=True)


def test_several_files_are_one_text_in_whatever_order(corpus, sentences, tmp_path):
    parts = [tmp_path / f"{i}.txt" for i in range(3)]
    for i, part in enumerate(parts):
        part.write_text("\n".join(sentences[i::3]))
    whole = train_vocabulary(corpus, "whole_cased", size=80, root=tmp_path)
    in_parts = train_vocabulary(parts[::-1], "parts_cased", size=80, root=tmp_path)
    assert whole.sha1 == in_parts.sha1 and in_parts.source.endswith(f"{parts[1]}, {parts[0]}")


def test_the_names_end_says_the_case(corpus, tmp_path):
    for name, has_upper in (("my_cased", True), ("my_uncased", False)):
        vocabulary = train_vocabulary(str(corpus), name, size=80, root=tmp_path)
        pieces = nlp.vocab.BERTVocab.from_sentencepiece(str(tmp_path / vocabulary.file)).idx_to_token[5:]
        assert any(piece != piece.lower() for piece in pieces) == has_upper


def test_a_name_that_is_taken_is_told_before_training(corpus, tiny_bert, tmp_path):
    train_vocabulary(corpus, "mine_uncased", size=80, root=tmp_path)
    with pytest.raises(UsageError, match="mine_uncased is already in .*: give another --name, or --overwrite"):
        train_vocabulary("nowhere", "mine_uncased", root=tmp_path)
    other = train_vocabulary(corpus, "mine_uncased", size=70, root=tmp_path, overwrite=True)
    assert store.vocabularies(tmp_path) == {"mine_uncased": other}
    assert [path.name for path in tmp_path.glob("mine_*")] == [other.file]
    import_bert(tiny_bert, "theirs_uncased", root=tmp_path)
    with pytest.raises(UsageError, match="bert_2_16_2_theirs_uncased in .* has a vocabulary of that name"):
        train_vocabulary("nowhere", "theirs_uncased", root=tmp_path, overwrite=True)


@pytest.mark.parametrize(
    "content, options, error, complaint",
    [
        (None, {}, DataError, "text.txt: No such file"),
        (b"", {}, DataError, "text.txt holds no text"),
        (b"\n \n", {}, DataError, "text.txt holds no text"),
        (b"fine\ncaf\xe9\n", {}, DataError, "text.txt, line 2: not valid UTF-8"),
        (b"ab cd\n", {"name": "mine"}, UsageError, "--name 'mine' must end in _cased or _uncased"),
        (b"ab cd\n", {"name": "a/b_cased"}, UsageError, "--name 'a/b_cased' must"),
        (b"ab cd\n", {"name": "wiki_cn_cased"}, UsageError, "wiki_cn_cased is a name of GluonNLP's own"),
        (b"ab cd\n", {}, UsageError, "--size is 8000: the text makes 10 pieces at most"),
        (b"ab cd\n", {"size": 7}, UsageError, "--size is 7: characters of the text and special tokens alone take 10"),
        (b"ab cd\n", {"model_type": "char"}, UsageError, "no model type 'char'"),
        (b"ab cd\n", {"corpus_format": "pdf"}, UsageError, "no corpus format 'pdf'"),
        (
            b"ab cd\n",
            {"root": "{tmp}/text.txt/models"},
            CheckpointError,
            "cannot write to .*text.txt/models: Not a dir",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(content, options, error, complaint, tmp_path):
    corpus = tmp_path / "text.txt"
    if content is not None:
        corpus.write_bytes(content)
    options = {"name": "mine_uncased", "root": str(tmp_path / "models"), **options}
    options["root"] = options["root"].format(tmp=tmp_path)
    with pytest.raises(error, match=complaint) as refused:
        train_vocabulary(corpus, **options)
    assert "\n" not in str(refused.value)
    assert not any(tmp_path.glob("models/mine*"))


def test_a_line_of_a_megabyte_counts_as_any_other(tmp_path):
    corpus = tmp_path / "text.txt"
    corpus.write_text("one line\n" + "zebra " * 166_000 + "\n")
    vocabulary = train_vocabulary(corpus, "long_uncased", size=22, model_type="bpe", root=tmp_path)
    assert "▁zebra" in nlp.vocab.BERTVocab.from_sentencepiece(str(tmp_path / vocabulary.file)).idx_to_token
