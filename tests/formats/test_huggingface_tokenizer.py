"""A tokenizer is established from a checkpoint's files, or one line says why it cannot be."""

import json
import logging

import pytest

from gluonnlp_snli_plugin.errors import CheckpointError, PluginError
from gluonnlp_snli_plugin.formats.huggingface.tokenizer import establish
from gluonnlp_snli_plugin.text.tokenizer_settings import AddedToken, TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENS = [*SPECIAL, "two", "bird", "##s", "sing", "né", "ne", "."]
IDS = {token: i for i, token in enumerate(TOKENS)}


def pipeline(**changes):
    """A tokenizer.json as transformers writes it for bert-base-uncased."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    special = {name: {"id": name, "ids": [IDS[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    more = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]
    content = {
        "added_tokens": [{"id": IDS[name], "content": name, **flags} for name in SPECIAL],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, *more],
            "special_tokens": special,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": IDS,
        },
    }
    for key, value in changes.items():
        part, _, name = key.partition("__")
        content[part] = {**content[part], name: value} if name else value
    return content


@pytest.fixture
def write(tmp_path):
    """Writes the tokenizer's files of a checkpoint; a dict becomes JSON."""

    def write_files(**files):
        for name, content in files.items():
            text = json.dumps(content) if isinstance(content, dict) else "".join(f"{line}\n" for line in content)
            (tmp_path / f"{name}.{'json' if isinstance(content, dict) else 'txt'}").write_text(text)
        return tmp_path

    return write_files


def complaint(folder, error=PluginError, **options):
    with pytest.raises(error) as caught:
        establish(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BERT = TokenizerSettings.bert(True, SPECIAL)


@pytest.mark.parametrize(
    "files",
    [
        {"vocab": TOKENS, "tokenizer_config": {}},
        {"vocab": TOKENS, "tokenizer_config": {"do_lower_case": True, "tokenizer_class": "BertTokenizer"}},
        {"vocab": TOKENS, "tokenizer_config": {"do_lower_case": True, "strip_accents": None, "never_split": None}},
        {"tokenizer": pipeline()},
        {"tokenizer": pipeline(), "tokenizer_config": {"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]"}},
        {"tokenizer": pipeline(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]})},
        {"vocab": TOKENS, "tokenizer": pipeline(), "tokenizer_config": {"tokenizer_class": "BertTokenizerFast"}},
        {"vocab": TOKENS, "special_tokens_map": {"cls_token": {"content": "[CLS]"}, "unk_token": "[UNK]"}},
        {"vocab": TOKENS, "config": {"tokenizer_class": "DistilBertTokenizer"}},
    ],
)
def test_all_layouts_of_one_tokenizer_are_the_same(write, files):
    tokenizer = establish(write(**files))
    assert tokenizer.vocab.idx_to_token == TOKENS and tokenizer.spiece is None
    assert set(tokenizer.settings.added_tokens) == set(BERT.added_tokens)
    assert bert_tokenizer(tokenizer.vocab, tokenizer.settings).ids("Two BIRDS sing née [SEP]") == [5, 6, 7, 8, 1, 3]


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ({"tokenizer_config": {"do_lower_case": False}}, {"lower": False, "strip_accents": False}),
        ({"tokenizer_config": {"do_lower_case": False, "strip_accents": True}}, {"lower": False}),
        ({"tokenizer_config": {"strip_accents": False}}, {"strip_accents": False}),
        ({"tokenizer_config": {"tokenize_chinese_chars": False}}, {"chinese_characters": False}),
        ({"tokenizer": pipeline(normalizer__lowercase=False)}, {"lower": False, "strip_accents": False}),
        ({"tokenizer": pipeline(normalizer__strip_accents=False)}, {"strip_accents": False}),
        ({"tokenizer": pipeline(normalizer__handle_chinese_chars=False)}, {"chinese_characters": False}),
        ({"tokenizer": pipeline(model__max_input_chars_per_word=200)}, {"longest_word": 200}),
    ],
)
def test_settings_are_those_of_the_files(write, files, settings):
    found = establish(write(vocab=TOKENS, **files)).settings
    wanted = {"lower": True, "strip_accents": True, "chinese_characters": True, "longest_word": 100, **settings}
    assert {name: getattr(found, name) for name in wanted} == wanted


# What cannot be reproduced ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class is 'BertJapaneseTokenizer'"),
        ({"tokenizer_class": "XLMRobertaTokenizer"}, "tokenizer_class is 'XLMRobertaTokenizer'"),
        ({"tokenizer_class": ["BertTokenizer"]}, "tokenizer_class is ['BertTokenizer']"),
        ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type is 'mecab'"),
        ({"subword_tokenizer_type": "character"}, "subword_tokenizer_type is 'character'"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize is False"),
        ({"wordpieces_prefix": ""}, "wordpieces_prefix is ''"),
        ({"clean_text": False}, "clean_text is False"),
        ({"auto_map": {"AutoTokenizer": ["a.B", None]}}, "code of its own"),
    ],
)
def test_another_tokenizer_is_refused_with_the_remedy(write, config, told):
    line = complaint(write(vocab=TOKENS, tokenizer_config=config), CheckpointError)
    assert told in line and "take a checkpoint with BERT's own tokenizer" in line and "tokenizer_config.json" in line
    assert told in complaint(write(vocab=TOKENS, tokenizer_config=config), uncased=True)  # both ways in


def test_the_class_may_stand_in_the_models_config(write):
    line = complaint(write(vocab=TOKENS, config={"tokenizer_class": "BertJapaneseTokenizer"}))
    assert "/config.json: tokenizer_class is 'BertJapaneseTokenizer'" in line


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"normalizer": None}, "its normalizer is None"),
        ({"normalizer": {"type": "Lowercase"}}, "its normalizer is 'Lowercase'"),
        ({"normalizer__type": "Sequence"}, "its normalizer is 'Sequence'"),
        ({"normalizer__clean_text": False}, "clean_text of its normalizer is False"),
        ({"normalizer__lowercase": None}, "lowercase of its normalizer is None"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "its pre_tokenizer is 'ByteLevel'"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "its pre_tokenizer is 'Whitespace'"),
        ({"decoder": {"type": "BPEDecoder"}}, "its decoder is 'BPEDecoder'"),
        ({"decoder__prefix": "@@"}, "the prefix of its decoder is '@@'"),
        ({"post_processor": {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}}, "post_processor"),
        (
            {"post_processor__pair": pipeline()["post_processor"]["single"]},
            "post_processor does not make [CLS] premise",
        ),
        ({"post_processor__special_tokens": {}}, "post_processor"),
        ({"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 2]}}, "post_processor"),
        ({"model__continuing_subword_prefix": "@"}, "the prefix of its pieces is '@'"),
        ({"model__max_input_chars_per_word": 0}, "max_input_chars_per_word is 0"),
        ({"model__type": "Unigram"}, "its model is 'Unigram'"),
        ({"added_tokens": [{"id": 5, "content": "two", "single_word": True}]}, "(single_word)"),
    ],
)
def test_another_pipeline_is_refused_with_the_remedy(write, changes, told):
    line = complaint(write(tokenizer=pipeline(**changes)), CheckpointError)
    assert told in line and "tokenizer.json" in line and "take a checkpoint with BERT's own tokenizer" in line


@pytest.mark.parametrize(
    "added",
    [[5], [{"id": 5}], [{"id": "5", "content": "two"}], [{"id": -1, "content": "a"}], [{"content": 3, "id": 1}]],
)
def test_damaged_added_tokens_are_named(write, added):
    assert "tokenizer.json is damaged" in complaint(write(tokenizer=pipeline(added_tokens=added)))


# Contradictions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"tokenizer_config": {"do_lower_case": False}}, "lowercase=true and "),
        ({"tokenizer_config": {"strip_accents": False}}, "strip_accents is False"),
        ({"tokenizer_config": {"tokenize_chinese_chars": False}}, "tokenize_chinese_chars is False"),
        ({"tokenizer_config": {"cls_token": "<s>"}}, "cls_token is '<s>' in tokenizer_config.json and '[CLS]' in"),
        ({"special_tokens_map": {"unk_token": "<unk>"}}, "unk_token is '<unk>' in special_tokens_map.json and '[UNK]'"),
        ({"vocab": [*TOKENS[:-1], "!"]}, "the id of"),
        ({"vocab": [*TOKENS, "more"]}, "the id of 'more' is 12 in vocab.txt and missing in tokenizer.json"),
        ({"added_tokens": {"[SEP]": 9}}, "the id of '[SEP]' is 3 and 9"),
        ({"added_tokens": {"[NEW]": 5}}, "the tokens 'two' and '[NEW]' have the id 5"),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"5": {"content": "[NEW]"}}}},
            "'two' and '[NEW]' have the id 5",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(write, files, told):
    line = complaint(write(tokenizer=pipeline(), **files), CheckpointError)
    assert told in line and "contradict each other" in line


def test_null_is_the_default_of_the_classes_that_decide_for_themselves(write):
    files = {"tokenizer": pipeline(normalizer__strip_accents=False)}
    config = {"strip_accents": None, "tokenizer_class": "BertTokenizer"}
    assert "strip_accents is True" in complaint(write(tokenizer_config=config, **files))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    assert not establish(write(tokenizer_config=config, **files)).settings.strip_accents


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"tokenizer_config": {"do_lower_case": False}}, "do_lower_case=false: --name must end in _cased"),
        ({"tokenizer": pipeline(normalizer__lowercase=False)}, "lowercase=false: --name must end in _cased"),
    ],
)
def test_a_name_that_contradicts_the_files_is_refused(write, files, told):
    folder = write(vocab=TOKENS, **files)
    assert told in complaint(folder, uncased=True)
    assert not establish(folder, uncased=False).settings.lower


def test_a_vocabulary_with_capitals_is_not_one_of_lower_cased_text(write, caplog):
    folder = write(vocab=[*TOKENS, "Two", "Birds"])
    for uncased in (None, True):
        line = complaint(folder, uncased=uncased)
        assert "upper-case letters, as in 'Two': write {\"do_lower_case\": false}" in line
    assert not establish(folder, uncased=False).settings.lower
    write(tokenizer_config={"do_lower_case": True})
    assert establish(folder).settings.lower and "2 tokens are never used, such as 'Two'" in caplog.text


def test_a_setting_that_is_neither_true_nor_false_is_named(write):
    assert "do_lower_case is 'yes'" in complaint(write(vocab=TOKENS, tokenizer_config={"do_lower_case": "yes"}))


# Special and added tokens ------------------------------------------------------------------------------------------


def test_special_tokens_may_be_called_otherwise(write):
    names = {
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    tokens = [*names.values(), *TOKENS[5:]]
    tokenizer = establish(write(vocab=tokens, tokenizer_config=names))
    assert (tokenizer.vocab.cls_token, tokenizer.vocab["<s>"], tokenizer.vocab["no"]) == ("<s>", 2, 1)
    assert bert_tokenizer(tokenizer.vocab, tokenizer.settings).ids("two</s>") == [5, 3]
    assert "has no token [PAD]" in complaint(write(vocab=tokens, tokenizer_config={}))


def test_a_generic_tokenizer_adds_only_the_tokens_that_it_names(write):
    files = {"tokenizer": pipeline(added_tokens=[]), "tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    assert [token.content for token in establish(write(**files)).settings.added_tokens] == ["[UNK]", "[CLS]", "[SEP]"]


@pytest.mark.parametrize(
    ("files", "token"),
    [
        ({"added_tokens": {"[NAME]": 12}}, AddedToken("[NAME]", normalized=True, special=False)),
        ({"tokenizer_config": {"added_tokens_decoder": {"12": {"content": "[NAME]", "normalized": False}}}}, None),
        ({"tokenizer_config": {"additional_special_tokens": ["[NAME]"]}}, AddedToken("[NAME]")),
        (
            {"tokenizer": pipeline(added_tokens=[{"id": 12, "content": "[NAME]", "special": True}])},
            AddedToken("[NAME]"),
        ),
    ],
)
def test_added_tokens_are_at_their_ids(write, files, token, caplog):
    with caplog.at_level(logging.WARNING):
        tokenizer = establish(write(**{"vocab": TOKENS, **files}), size=13, uncased=True)
    assert tokenizer.vocab.idx_to_token == [*TOKENS, "[NAME]"] and not caplog.text
    assert (token or AddedToken("[NAME]", normalized=False, special=False)) in tokenizer.settings.added_tokens
    assert bert_tokenizer(tokenizer.vocab, tokenizer.settings).ids("two [NAME]s") == [5, 12, 1]


def test_added_tokens_without_weights_are_listed(write, caplog):
    files = {"added_tokens": {"[A]": 12, "[B]": 13}, "tokenizer_config": {"additional_special_tokens": ["[C]"]}}
    tokenizer = establish(write(vocab=TOKENS, **files), size=12)
    assert tokenizer.vocab.idx_to_token == TOKENS
    assert "added tokens that the weights have no rows for are left out: '[A]', '[B]', '[C]'" in caplog.text
