"""For every layout of a checkpoint, ids are those of transformers' own tokenizer, text by text and pair by pair."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.formats.huggingface.tokenizer import establish
from gluonnlp_snli_plugin.model.family import family_of
from gluonnlp_snli_plugin.text.bert_characters import BertWords
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer

ASK = """
import json, sys, transformers
folder, texts = sys.argv[1], json.load(sys.stdin)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
assert tokenizer.is_fast
pairs = tokenizer(texts[:-1], texts[1:], truncation="longest_first", max_length=64)
json.dump([tokenizer(texts, add_special_tokens=False)["input_ids"], pairs["input_ids"]], sys.stdout)
"""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
OTHERS = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}


def tokenizer_json(tokens, added=SPECIAL, longest=100, **normalizer):
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    ids = {token: i for i, token in enumerate(tokens)}
    plain = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    listed = [(ids.get(name, len(tokens)), name, name in SPECIAL) for name in added]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": name, "normalized": not special, "special": special, **flags}
            for i, name, special in sorted(listed)
        ],
        "normalizer": {"type": "BertNormalizer", **plain, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": longest,
            "vocab": ids,
        },
    }


GENERIC = {"tokenizer_class": "PreTrainedTokenizerFast", **{key: f"[{key[:3].upper()}]" for key in ("pad_token",)}}
GENERIC.update(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
BERT = {"tokenizer_class": "BertTokenizer"}
LAYOUTS = {  # name -> a function of the tokens that gives the files
    "uncased": lambda tokens: {"vocab.txt": tokens, "tokenizer_config.json": {"do_lower_case": True, **BERT}},
    "cased": lambda tokens: {"vocab.txt": tokens, "tokenizer_config.json": {"do_lower_case": False, **BERT}},
    "cased, accents stripped": lambda tokens: {
        "vocab.txt": tokens,
        "tokenizer_config.json": {"do_lower_case": False, "strip_accents": True, **BERT},
    },
    "uncased with accents, Chinese words": lambda tokens: {
        "vocab.txt": tokens,
        "tokenizer_config.json": {
            "strip_accents": False,
            "tokenize_chinese_chars": False,
            "do_lower_case": True,
            **BERT,
        },
    },
    "added_tokens.json": lambda tokens: {
        "vocab.txt": tokens,
        "added_tokens.json": {"[NAME]": len(tokens)},
        "tokenizer_config.json": {"do_lower_case": True, **BERT},
    },
    "added_tokens_decoder": lambda tokens: {
        "vocab.txt": tokens,
        "tokenizer_config.json": {
            "do_lower_case": True,
            "added_tokens_decoder": {
                str(tokens.index(name)): {"content": name, "special": True, "normalized": False} for name in SPECIAL
            },
            **BERT,
        },
    },
    "tokenizer.json": lambda tokens: {"tokenizer.json": tokenizer_json(tokens), "tokenizer_config.json": GENERIC},
    "tokenizer.json, cased, long words": lambda tokens: {
        "tokenizer.json": tokenizer_json(tokens, longest=200, lowercase=False, handle_chinese_chars=False),
        "tokenizer_config.json": GENERIC,
    },
    "tokenizer.json with an added token": lambda tokens: {
        "tokenizer.json": tokenizer_json(tokens, added=[*SPECIAL, "[NAME]"]),
        "tokenizer_config.json": GENERIC,
    },
    "tokenizer.json and vocab.txt": lambda tokens: {
        "vocab.txt": tokens,
        "tokenizer.json": tokenizer_json(tokens),
        "tokenizer_config.json": {"do_lower_case": True, **BERT},
    },
    "special tokens of other names": lambda tokens: {
        "vocab.txt": [*OTHERS.values(), *tokens[5:]],
        "tokenizer_config.json": {"do_lower_case": True, **BERT, **OTHERS},
        "special_tokens_map.json": OTHERS,
    },
    "a token twice": lambda tokens: {
        "vocab.txt": [*tokens, tokens[9]],
        "tokenizer_config.json": {"do_lower_case": True, **BERT},
    },
}


def ask_transformers(python, folder, texts):
    command = [str(python), "-I", "-c", ASK, str(folder)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tokens(multilingual_texts):
    words = BertWords(TokenizerSettings.bert(True))
    letters = sorted({c for text in multilingual_texts for c in text + words.normalized(text)})
    letters = [c for c in letters if not c.isspace() and ord(c) % 11 and not 0xD800 <= ord(c) < 0xE000]
    pieces = [
        "the",
        "dog",
        "##ing",
        "Йо",
        "##га",
        "café",
        "cafe",
        "한국",
        "##어",
        "##를",
        "が",
        "##く",
        "北京",
        "ne",
        "né",
    ]
    return list(dict.fromkeys([*SPECIAL, *pieces, *letters, *(f"##{c}" for c in letters[::2])]))


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_are_those_of_transformers(reference_python, tokens, multilingual_texts, tmp_path, layout):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for name, content in LAYOUTS[layout](tokens).items():
        text = json.dumps(content) if isinstance(content, dict) else "".join(f"{token}\n" for token in content)
        (tmp_path / name).write_text(text, encoding="utf-8")
    tokenizer = establish(tmp_path)
    ours = bert_tokenizer(tokenizer.vocab, tokenizer.settings)
    ids, of_pairs = ask_transformers(reference_python, tmp_path, multilingual_texts)
    found, lengths = ours.ids_of_all(multilingual_texts)
    for text, mine, wanted in zip(multilingual_texts, np.split(found, np.cumsum(lengths)[:-1]), ids):
        assert mine.tolist() == wanted, ascii(text)
    encoded = PairEncoder(ours, tokenizer.vocab, 64).encode(multilingual_texts[:-1], multilingual_texts[1:])
    assert [encoded[i][0].tolist() for i in range(len(encoded))] == of_pairs


ROBERTAS = {  # name -> the files, and what is changed in tokenizer.json and tokenizer_config.json
    "all files": (("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"), {}),
    "vocab.json and merges.txt": (("vocab.json", "merges.txt", "tokenizer_config.json"), {}),
    "tokenizer.json": (("tokenizer.json", "tokenizer_config.json"), {}),
    "a space before the first word": (("tokenizer.json", "tokenizer_config.json"), {"add_prefix_space": True}),
    "a generic class": (("tokenizer.json", "tokenizer_config.json"), {"tokenizer_class": "PreTrainedTokenizerFast"}),
}


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("layout", ROBERTAS)
def test_ids_of_byte_level_bpe_are_those_of_transformers(reference_python, multilingual_texts, tmp_path, layout):
    golden = Path(__file__).parent / "golden" / "roberta"
    names, changes = ROBERTAS[layout]
    for name in names:
        content = (golden / name).read_text(encoding="utf-8")
        if name == "tokenizer_config.json":
            content = json.dumps({**json.loads(content), **changes})
        elif name == "tokenizer.json" and "add_prefix_space" in changes:
            content = content.replace('"add_prefix_space":false', '"add_prefix_space":true')
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    texts = [*multilingual_texts, "the  dog", " a<s> b </s>c ", "I'm we've\tdon't", "x"]
    tokenizer = establish(tmp_path)
    ours = bert_tokenizer(tokenizer.vocab, tokenizer.settings)
    ids, of_pairs = ask_transformers(reference_python, tmp_path, texts)
    found, lengths = ours.ids_of_all(texts)
    for text, mine, wanted in zip(texts, np.split(found, np.cumsum(lengths)[:-1]), ids):
        assert mine.tolist() == wanted, ascii(text)
    layout_of_pairs = family_of("roberta_1_16_2").layout
    encoded = PairEncoder(ours, tokenizer.vocab, 64, layout=layout_of_pairs).encode(texts[:-1], texts[1:])
    assert [encoded[i][0].tolist() for i in range(len(encoded))] == of_pairs
