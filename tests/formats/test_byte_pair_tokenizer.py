"""The tokenizer of a RoBERTa is established from a checkpoint's files, or one line says why it cannot be."""

import json
import shutil
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.errors import CheckpointError, PluginError, UsageError
from gluonnlp_snli_plugin.formats.huggingface.tokenizer import establish
from gluonnlp_snli_plugin.text.byte_pairs import BytePairVocab
from gluonnlp_snli_plugin.text.tokenizer_settings import AddedToken
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary

pytest.importorskip("tokenizers")
GOLDEN = Path(__file__).parent / "golden" / "roberta"
FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": True}
MASK = {**FLAGS, "lstrip": True, "normalized": False}


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        shutil.copy(str(GOLDEN / name), str(tmp_path))
    return tmp_path


def keep(folder, *names):
    for name in set(FILES) - set(names):
        (folder / name).unlink()


def edit(folder, name="tokenizer.json", **changes):
    """Change parts of a file, '__' in their names for a part's entry; those that are None go."""
    path = folder / name
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for key, value in changes.items():
        part, _, entry = key.partition("__")
        content[part] = {**content[part], entry: value} if entry else value
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None or key != part}))


def complaint(folder, error=PluginError, **options):
    with pytest.raises(error) as caught:
        establish(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "ids.json").read_text(encoding="utf-8"))["texts"]


# Layouts ------------------------------------------------------------------------------------------------------------


def as_it_is(folder):
    pass


def slow_files(folder):
    keep(folder, "vocab.json", "merges.txt")


def slow_files_of_old_releases(folder):
    slow_files(folder)
    edit(
        folder, "special_tokens_map.json", mask_token={"content": "<mask>", **MASK}, cls_token="<s>", unk_token="<unk>"
    )


def tokenizer_json(folder):
    keep(folder, "tokenizer.json")


def tokenizer_json_of_release_4(folder):
    keep(folder, "tokenizer.json", "tokenizer_config.json")
    merges = (GOLDEN / "merges.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    edit(folder, model__merges=merges)  # each a text, not a list of two
    decoder = {str(i): {"content": name, **FLAGS} for i, name in enumerate(("<s>", "<pad>", "</s>", "<unk>"))}
    decoder["511"] = {"content": "<mask>", **MASK}
    edit(folder, "tokenizer_config.json", added_tokens_decoder=decoder, tokenizer_class="RobertaTokenizerFast")


def generic_class(folder):
    keep(folder, "tokenizer.json", "tokenizer_config.json")
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def template(folder):
    keep(folder, "tokenizer.json", "tokenizer_config.json")
    a, b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    begin, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name in ("<s>", "</s>"))
    names = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in (("<s>", 0), ("</s>", 2))}
    pair = [begin, a, end, end, b, end]
    kind = {"type": "TemplateProcessing", "single": [begin, a, end], "pair": pair, "special_tokens": names}
    edit(folder, post_processor=kind)


LAYOUTS = [
    as_it_is,
    slow_files,
    slow_files_of_old_releases,
    tokenizer_json,
    tokenizer_json_of_release_4,
    generic_class,
    template,
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_layouts_of_one_tokenizer_are_the_same(folder, golden, layout):
    layout(folder)
    tokenizer = establish(folder, size=512, uncased=False)
    assert isinstance(tokenizer.vocab, BytePairVocab) and tokenizer.spiece is None and not tokenizer.settings.lower
    ours = bert_tokenizer(tokenizer.vocab, tokenizer.settings)
    assert [ours.ids(text) for text in golden] == list(golden.values())
    assert set(tokenizer.settings.added_tokens) == {
        *(AddedToken(name, normalized=True) for name in ("<s>", "<pad>", "</s>", "<unk>")),
        AddedToken("<mask>", lstrip=True),
    }


def test_flags_are_those_of_the_files(folder):
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    edit(folder, added_tokens=[{**token, "lstrip": False, "rstrip": token["content"] == "<s>"} for token in added])
    added_tokens = {token.content: token for token in establish(folder).settings.added_tokens}
    assert added_tokens["<s>"].rstrip and not added_tokens["<mask>"].lstrip


def test_the_first_word_is_encoded_as_the_files_say(folder):
    assert not establish(folder).settings.add_prefix_space
    edit(folder, "tokenizer_config.json", add_prefix_space=True)
    edit(folder, pre_tokenizer__add_prefix_space=True)
    assert establish(folder).settings.add_prefix_space
    slow_files(folder)
    edit(folder, "tokenizer_config.json", add_prefix_space=True)
    assert establish(folder).settings.add_prefix_space


def test_special_tokens_may_have_other_names(folder):
    slow_files(folder)
    names = {"<s>": "[CLS]", "</s>": "[SEP]", "<mask>": "[MASK]"}
    index = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps({names.get(token, token): i for token, i in index.items()}))
    keys = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "bos_token": "[CLS]"}
    edit(folder, "tokenizer_config.json", **keys, eos_token="[SEP]")
    vocab, settings, *_ = establish(folder)
    assert (vocab.bos_token, vocab.eos_token, vocab.mask_token) == ("[CLS]", "[SEP]", "[MASK]")
    assert bert_tokenizer(vocab, settings)("a [MASK]") == ["a", "[MASK]"]


def test_rows_without_tokens_are_filled_up(folder, caplog):
    vocab = establish(folder, size=520).vocab
    assert len(vocab) == 520 and vocab.idx_to_token[519] == "[unused-519]"
    assert "has 512 tokens, the weights are for 520" in caplog.text


def test_added_tokens_without_rows_are_left_out(folder, caplog):
    edit(folder, "tokenizer_config.json", additional_special_tokens=["[E1]"])
    assert "[E1]" not in establish(folder, size=512).vocab and "'[E1]'" in caplog.text
    tokenizer = establish(folder, size=513)
    assert tokenizer.vocab["[E1]"] == 512
    assert bert_tokenizer(tokenizer.vocab, tokenizer.settings).ids("a[E1]")[1] == 512


# What cannot be reproduced, and contradictions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model__dropout": 0.1}, "dropout of its model is '0.1'"),
        ({"model__continuing_subword_prefix": "##"}, "continuing_subword_prefix of its model is '##'"),
        ({"model__end_of_word_suffix": "</w>"}, "end_of_word_suffix of its model is '</w>'"),
        ({"model__byte_fallback": True}, "byte_fallback of its model is 'True'"),
        ({"model__ignore_merges": True}, "ignore_merges of its model is 'True'"),
        ({"normalizer": {"type": "NFC"}}, "it has a normalizer"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "its pre_tokenizer is 'Whitespace', not ByteLevel"),
        ({"pre_tokenizer__use_regex": False}, "use_regex of its pre_tokenizer is 'False'"),
        ({"pre_tokenizer__add_prefix_space": "no"}, "add_prefix_space of its pre_tokenizer is 'no'"),
        (
            {"post_processor": {"type": "ByteLevel"}},
            "post_processor does not make <s> premise </s></s> hypothesis </s>",
        ),
        ({"post_processor__sep": ["</s>", 3]}, "post_processor does not make <s>"),
        ({"added_tokens": [{"content": "<s>", "id": 0, "single_word": True}]}, "(single_word)"),
        ({"model__type": "Unigram"}, "its model is 'Unigram'"),
    ],
)
def test_another_byte_pair_tokenizer_is_refused_with_the_remedy(folder, changes, told):
    keep(folder, "tokenizer.json")
    edit(folder, **changes)
    line = complaint(folder, CheckpointError)
    assert told in line and "tokenizer.json" in line and "RoBERTa's (RobertaTokenizer)" in line


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        (
            "tokenizer_config.json",
            {"add_prefix_space": True},
            "add_prefix_space is True in tokenizer_config.json and False",
        ),
        (
            "tokenizer.json",
            {"pre_tokenizer__add_prefix_space": True},
            "add_prefix_space is False in tokenizer_config.json",
        ),
        ("tokenizer_config.json", {"cls_token": "<cls>"}, "cls_token is '<cls>' in tokenizer_config.json and '<s>' in"),
        ("vocab.json", {"<new>": 512}, "the id of '<new>' is 512 in vocab.json and missing in tokenizer.json"),
        ("tokenizer.json", {"model__merges": []}, "merges.txt and tokenizer.json have different merges"),
        ("added_tokens.json", {"<mask>": 3}, "the id of '<mask>' is 511 and 3"),
    ],
)
def test_files_that_contradict_each_other_are_refused(folder, name, changes, told):
    edit(folder, name, **changes)
    line = complaint(folder, CheckpointError)
    assert told in line and "contradict each other" in line and "correct the wrong one" in line


def test_a_space_before_the_first_word_must_be_in_the_class_settings_too(folder):
    keep(folder, "tokenizer.json")
    edit(folder, pre_tokenizer__add_prefix_space=True)
    assert "add_prefix_space is missing in tokenizer_config.json" in complaint(folder, CheckpointError)


def test_byte_level_text_is_cased(folder):
    assert "--name must end in _cased" in complaint(folder, UsageError, uncased=True)
    edit(folder, "tokenizer_config.json", do_lower_case=True)
    assert "do_lower_case is set" in complaint(folder, CheckpointError)


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ((), "has no vocabulary: neither vocab.json and merges.txt nor tokenizer.json"),
        (("vocab.json",), "merges.txt is missing"),
        (("merges.txt",), "vocab.json is missing"),
    ],
)
def test_missing_files_are_named(folder, there, told):
    keep(folder, "tokenizer_config.json", *there)
    assert told in complaint(folder, CheckpointError)


def test_half_a_character_in_an_added_token_is_damage(folder):
    keep(folder, "tokenizer.json")
    edit(folder, added_tokens=[{"content": "\ud800", "id": 512, **FLAGS}])
    assert "tokenizer.json: a token has half a character in it" in complaint(folder, CheckpointError)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json does not hold a BPE vocabulary"):
        read_vocabulary(folder / "tokenizer.json")


def test_tokenizer_json_stands_in_for_merges_that_are_missing(folder):
    whole = establish(folder)
    (folder / "merges.txt").unlink()
    found = establish(folder)
    assert (found.vocab.merges, found.vocab.token_to_idx) == (whole.vocab.merges, whole.vocab.token_to_idx)


@pytest.mark.parametrize("content", [" x", "x\n"])
def test_added_tokens_that_begin_or_end_with_white_space_are_refused(folder, content):
    edit(folder, added_tokens=[{"content": content, "id": 512, **FLAGS}])
    assert f"the added token {content!r} begins or ends with white space" in complaint(folder, CheckpointError)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_file_of_another_type_is_named(folder, name):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert f"{name} is a Git LFS pointer" in complaint(folder, CheckpointError)


@pytest.mark.parametrize("added", [5, "<s>", {"<s>": 0}, [5], [{"content": "<new>", "id": "0"}]], ids=str)
def test_added_tokens_that_cannot_be_are_refused(folder, added):
    edit(folder, added_tokens=added)
    assert "tokenizer.json is damaged: " in complaint(folder, CheckpointError)
    with pytest.raises(CheckpointError, match="tokenizer.json (is damaged|does not hold a BPE vocabulary)$"):
        read_vocabulary(folder / "tokenizer.json")


@pytest.mark.parametrize("name", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
def test_a_special_token_must_be_there(folder, name):
    slow_files(folder)
    index = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    del index[name]
    (folder / "vocab.json").write_text(json.dumps(index))
    assert f"vocab.json has no token {name}: it is not a RoBERTa vocabulary" in complaint(folder, CheckpointError)


def test_a_vocabulary_larger_than_the_weights_is_refused(folder):
    assert "vocab.json has 512 tokens, the weights are for 500" in complaint(folder, CheckpointError, size=500)
