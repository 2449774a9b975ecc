"""Byte-level BPE gives the ids of Hugging Face's RobertaTokenizerFast; its vocabulary is one file with its merges."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import gluonnlp as nlp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.cache_key import cache_key
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.data.layout import PairLayout
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.text.byte_pair_files import is_byte_pairs
from gluonnlp_snli_plugin.text.byte_pairs import BytePairTokenizer, BytePairVocab, byte_characters
from gluonnlp_snli_plugin.text.tokenizer_settings import AddedToken, TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary

pytest.importorskip("tokenizers")
GOLDEN = Path(__file__).parents[1] / "formats" / "golden" / "roberta"  # made by make_families.py, with transformers
LAYOUT = PairLayout(("bos_token",), ("eos_token", "eos_token"), ("eos_token",), has_segments=False)


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "ids.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def vocab():
    return read_vocabulary(GOLDEN / "vocab.json")[0]


@pytest.fixture(scope="module")
def tokenizer(vocab):
    return bert_tokenizer(vocab, TokenizerSettings.of(vocab, lower=False))


# Ids ----------------------------------------------------------------------------------------------------------------


def test_ids_are_those_of_transformers(tokenizer, golden):
    ids, lengths = tokenizer.ids_of_all(list(golden["texts"]))
    for text, mine, wanted in zip(golden["texts"], np.split(ids, np.cumsum(lengths)[:-1]), golden["texts"].values()):
        assert mine.tolist() == tokenizer.ids(text) == wanted, ascii(text)


def test_pairs_are_laid_out_as_in_transformers(tokenizer, vocab, golden):
    premises, hypotheses, wanted = zip(*golden["pairs"])
    encoded = PairEncoder(tokenizer, vocab, 512, layout=LAYOUT).encode(premises, hypotheses)
    assert [encoded[i][0].tolist() for i in range(len(encoded))] == list(wanted)


def test_tokens_are_written_as_gpt2bpetokenizer_writes_them(tokenizer, vocab):
    assert tokenizer("the dog") == ["th", "e", "Ġdog"]
    assert tokenizer("a <mask>") == ["a", "<mask>"]
    assert vocab[tokenizer("isn't 犬")] == tokenizer.ids("isn't 犬")


SPACED = st.lists(
    st.sampled_from(
        [*" \t\n\r\x0b\x1c\x85\u00a0\u2003\u3000\0", *"aéA中'.!7", "the", "n't", "<s>", "<mask>", "🙂\u200d"]
    )
)


@settings(max_examples=300)
@given(st.lists(SPACED.map("".join), min_size=1, max_size=6), st.booleans())
def test_divided_texts_have_the_ids_of_whole_ones(vocab, texts, add_prefix_space):
    how = dataclasses.replace(TokenizerSettings.of(vocab, False), add_prefix_space=add_prefix_space)
    tokenizer = BytePairTokenizer(vocab, how)
    ids, lengths = tokenizer.ids_of_all(texts)
    for text, mine in zip(texts, np.split(ids, np.cumsum(lengths)[:-1])):
        assert mine.tolist() == tokenizer._engine.encode(text, add_special_tokens=False).ids, ascii(text)
        words = list(tokenizer.words(text))
        assert "".join(word for word, _ in words) == text
        assert sum(number for _, number in words) == len(mine)


def test_no_texts_have_no_ids(tokenizer):
    ids, lengths = tokenizer.ids_of_all([])
    assert (ids.size, lengths.size) == (0, 0) and tokenizer.ids("") == []


def test_halves_of_surrogate_pairs_are_left_out(tokenizer):
    assert tokenizer.ids("the \ud83d dog\udc15") == tokenizer.ids("the  dog")
    assert tokenizer("\ud800") == []


def test_the_first_word_may_be_encoded_as_others(vocab):
    with_space = BytePairTokenizer(vocab, TokenizerSettings.byte_pairs(add_prefix_space=True))
    without = BytePairTokenizer(vocab, TokenizerSettings.byte_pairs())
    assert with_space.ids("dog dog") == without.ids(" dog dog") != without.ids("dog dog")


def test_added_tokens_may_take_the_white_space_beside_them(vocab):
    for lstrip, rstrip in ((True, False), (False, True), (False, False)):
        added = [AddedToken("<mask>", lstrip=lstrip, rstrip=rstrip)]
        tokens = BytePairTokenizer(vocab, TokenizerSettings.byte_pairs(added))("a <mask> b")
        assert tokens == ["a", *["Ġ"] * (not lstrip), "<mask>", "b" if rstrip else "Ġb"]


def test_what_divides_a_word_is_a_part_of_its_own(tokenizer):
    words = [word for word, number in tokenizer.words("The dog's  <mask> naïve!") if number]
    assert words == ["The", "dog", "'s", "<mask>", "naïve", "!"]


# The vocabulary -----------------------------------------------------------------------------------------------------


def test_json_holds_merges_and_identifiers_and_is_the_same_every_time(vocab):
    again = BytePairVocab.from_json(vocab.to_json())
    assert again.to_json() == vocab.to_json() and again.merges == vocab.merges and len(vocab.merges) > 200
    names = {"bos_token": "<s>", "padding_token": "<pad>", "eos_token": "</s>", "unknown_token": "<unk>"}
    assert {name: getattr(again, name) for name in names} == names and again.mask_token == "<mask>"
    assert [again[name] for name in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]


def test_gluonnlps_own_vocab_reads_the_json(vocab):
    plain = nlp.Vocab.from_json(vocab.to_json())
    assert plain.idx_to_token == vocab.idx_to_token and plain.eos_token == "</s>"


def test_vocabulary_and_tokenizer_can_be_pickled(vocab, tokenizer):
    assert pickle.loads(pickle.dumps(vocab)).to_json() == vocab.to_json()
    assert pickle.loads(pickle.dumps(tokenizer)).ids("the dog <mask>") == tokenizer.ids("the dog <mask>")


@pytest.mark.parametrize("name", ["vocab.json", "tokenizer.json", "own.vocab", "own.json"])
def test_all_its_files_hold_one_vocabulary(vocab, tmp_path, name):
    folder = GOLDEN
    if name.startswith("own"):
        folder = tmp_path
        (tmp_path / name).write_text(vocab.to_json())
    read, special = read_vocabulary(folder / name)
    assert isinstance(read, BytePairVocab) and read.to_json() == vocab.to_json() and special == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content["merges"].append("a"), "the merge 'a' is not a pair of tokens"),
        (lambda content: content["merges"].append(["a", "b"]), "is not a pair of tokens"),
        (lambda content: content["merges"].append("a <nothing>"), "of a token that is missing: '<nothing>'"),
        (lambda content: content["merges"].append("Ġ <mask>"), "of a token that is missing: 'Ġ<mask>'"),
        (lambda content: content.update(merges=5), "does not hold a vocabulary"),
    ],
)
def test_damaged_merges_are_refused_in_one_line(vocab, tmp_path, change, told):
    content = json.loads(vocab.to_json())
    change(content)
    (tmp_path / "own.vocab").write_text(json.dumps(content))
    with pytest.raises(CheckpointError) as caught:
        read_vocabulary(tmp_path / "own.vocab")
    assert told in str(caught.value) and "own.vocab" in str(caught.value)


def test_a_vocabulary_without_all_bytes_is_refused(vocab, tmp_path):
    index = {token: i for token, i in vocab.token_to_idx.items() if token != "Ā"}
    (tmp_path / "vocab.json").write_text(json.dumps(index))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match=r"vocab\.json: its tokens lack 1 of the 256 bytes, such as 'Ā'"):
        read_vocabulary(tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("merges", "told"),
    [(None, "merges.txt is missing"), ("a b\n", "its first line is not #version"), (b"#version\n\xff", "valid UTF-8")],
)
def test_a_vocab_json_needs_its_merges(vocab, tmp_path, merges, told):
    (tmp_path / "vocab.json").write_text(json.dumps(dict(vocab.token_to_idx)))
    if merges is not None:
        (tmp_path / "merges.txt").write_bytes(merges if isinstance(merges, bytes) else merges.encode())
    with pytest.raises(CheckpointError, match=told):
        read_vocabulary(tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("model", "is_bpe"),
    [
        ({"type": "BPE"}, True),
        ({"merges": []}, True),  # as old releases write it
        ({"type": "Unigram", "merges": []}, False),
        ({"type": "WordPiece", "vocab": {}}, False),
        ({}, False),
    ],
)
def test_a_tokenizer_json_is_a_byte_pair_encodings_by_the_type_of_its_model(model, is_bpe):
    assert is_byte_pairs({"model": model, "version": "1.0"}) is is_bpe


def test_bytes_have_the_characters_of_gpt2():
    characters = byte_characters()
    assert len(set(characters)) == 256 and characters[ord("a")] == "a" and characters[ord(" ")] == "Ġ"
    assert not any(character.isspace() for character in characters)


# Settings -----------------------------------------------------------------------------------------------------------


def test_settings_are_read_back_from_json(vocab):
    own = TokenizerSettings.of(vocab, lower=False)
    for how in (own, dataclasses.replace(own, add_prefix_space=True)):
        assert TokenizerSettings.from_json(json.loads(json.dumps(dataclasses.asdict(how)))) == how


@pytest.mark.parametrize(
    "change",
    [{"lower": True}, {"strip_accents": True}, {"add_prefix_space": 1}, {"longest_word": 9}, {"algorithm": "bert"}],
)
def test_settings_that_byte_pairs_do_not_have_are_damaged(vocab, change):
    how = dataclasses.asdict(dataclasses.replace(TokenizerSettings.of(vocab, False), add_prefix_space=True))
    with pytest.raises(ValueError):
        TokenizerSettings.from_json({**how, **change})


def test_the_cache_tells_vocabularies_and_settings_apart(vocab, tokenizer):
    fewer = BytePairVocab.from_json(vocab.to_json())
    fewer.merges = vocab.merges[:-1]
    of_settings = TokenizerSettings.byte_pairs(add_prefix_space=True)
    tokenizers = [tokenizer, BytePairTokenizer(fewer, tokenizer.settings), BytePairTokenizer(vocab, of_settings)]
    keys = {cache_key(PairEncoder(one, one.vocab, layout=LAYOUT), "0", []) for one in tokenizers}
    assert len(keys) == 3 and None not in keys


# Processes ----------------------------------------------------------------------------------------------------------

FORKING = """
import os, sys
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary
vocab, _ = read_vocabulary(sys.argv[1])
tokenizer = bert_tokenizer(vocab, TokenizerSettings.of(vocab, False))
texts = ["the dog  runs", "two dogs"] * 500
wanted = tokenizer.ids_of_all(texts)[0].tolist()
child = os.fork()
same = tokenizer.ids_of_all(texts)[0].tolist() == wanted
if child == 0:
    os._exit(0 if same else 1)
sys.exit(os.waitpid(child, 0)[1] or not same)
"""


def test_a_process_may_fork_after_it_has_encoded():
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-c", FORKING, str(GOLDEN / "vocab.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0 and "parallelism" not in done.stderr, done.stderr


def test_without_the_package_one_line_says_how_to_get_it(vocab, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        UsageError, match=r"needs the package tokenizers: pip install 'gluonnlp-snli-plugin\[roberta\]'"
    ):
        bert_tokenizer(vocab, TokenizerSettings.of(vocab, False))
