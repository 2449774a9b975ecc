"""Makes the folders `roberta*` and `distilbert*` beside it, and `families.npz`, what `transformers` computes with them.

A small byte-level BPE is trained for the RoBERTas, as no file of the real one is in any package. `ids.json` has the ids
that ``RobertaTokenizerFast`` gives for the texts of ``tests/text/texts.json`` and for some that it alone finds
difficult. ``test_families.py`` and ``tests/text/test_byte_pairs.py`` compare. To make them again, in the environment
that `make_golden.py` describes::

    /tmp/reference/bin/python tests/formats/golden/make_families.py
"""

import json
import shutil

import numpy as np
import torch
from make_golden import HERE, VOCABULARY, save
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

TEXTS = json.loads((HERE.parents[1] / "text" / "texts.json").read_text(encoding="utf-8"))
OF_BYTES = [
    "a <mask> b<mask>c",
    " <mask>",
    "<s>a</s> b </s>c<pad><unk>",
    "the  dog   runs    ",
    " \t\n the\u00a0dog\u2003 's",
    "I'm we've they'll he'd don't it's",
    "\0the dog",
    "👩‍👩‍👧 🇩🇪🏽é",
    "dog" * 40,
]
PAIRS = [
    ("A man is playing a guitar.", "A man isn't sleeping."),
    ("Zwei Hunde  laufen über die Straße.", "犬が走る 🐕"),
    ("", "nothing"),
    ("A woman", ""),
]
SIZE = 512
MASKED_POSITIONS = ((1, 2, 4), (1, 3, 5), (1, 2, 3), (0, 1, 2))
NLI = {"id2label": {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}}
NLI["label2id"] = {label: i for i, label in NLI["id2label"].items()}


def write_byte_pairs(folder):
    """The tokenizer of a RoBERTa, in all the files that transformers 4 writes but special_tokens_map.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - 1, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*TEXTS, *(text for pair in PAIRS for text in pair), *OF_BYTES], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    vocabulary = {**model["vocab"], "<mask>": len(model["vocab"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = "".join(f"{merge}\n" for merge in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}", encoding="utf-8")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    tokenizer.add_tokens([AddedToken(name, normalized=True, special=True) for name in special])
    tokenizer.add_tokens([AddedToken("<mask>", normalized=False, lstrip=True, special=True)])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, "trim_offsets": True}
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
    names.update(unk_token="<unk>", pad_token="<pad>", mask_token="<mask>")
    config = {**settings, **names, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def roberta(**changes):
    sizes = {"vocab_size": SIZE, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 40}
    return RobertaConfig(
        **{
            **sizes,
            "num_hidden_layers": 2,
            "max_position_embeddings": 66,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            **changes,
        }
    )


def distilbert(**changes):
    sizes = {"vocab_size": len(VOCABULARY), "dim": 16, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": 40}
    return DistilBertConfig(**{**sizes, "n_layers": 2, **changes})


def outputs(folder, model_class, tokenizer):
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = tokenizer(*map(list, zip(*PAIRS)), padding=True, return_tensors="pt", return_token_type_ids=False)
    mask = inputs["attention_mask"]
    result = {"ids": inputs["input_ids"].int(), "valid_lengths": mask.sum(1).int()}
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True)
        sequence = states.hidden_states[-1]
        result["sequence"] = sequence * mask[..., None]
        if hasattr(model, "num_labels") and "ForSequence" in type(model).__name__:
            result["logits"] = states.logits
        else:
            result["mlm"] = torch.stack([states.logits[row, list(at)] for row, at in enumerate(MASKED_POSITIONS)])
    return {name: value.numpy() for name, value in result.items()}


def make():
    models_of = {
        "roberta": RobertaForMaskedLM(roberta()),
        "roberta_classifier": RobertaForSequenceClassification(roberta(num_hidden_layers=1, **NLI)),
        "distilbert": DistilBertForMaskedLM(distilbert()),
        "distilbert_classifier": DistilBertForSequenceClassification(distilbert(n_layers=1, **NLI)),
    }
    expected = {"masked_positions": np.array(MASKED_POSITIONS, np.int32)}
    for seed, (name, model) in enumerate(models_of.items()):
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        save(folder, model, 100 + seed)
        (folder / "model.safetensors").chmod(0o644)
        if name == "roberta":
            write_byte_pairs(folder)
        if name.startswith("roberta"):
            tokenizer = AutoTokenizer.from_pretrained(HERE / "roberta")
        else:
            tokenizer = BertTokenizerFast(str(HERE / "vocab.txt"))
        for key, value in outputs(folder, type(model), tokenizer).items():
            expected[f"{name}/{key}"] = value
    np.savez_compressed(HERE / "families.npz", **expected)
    tokenizer = AutoTokenizer.from_pretrained(HERE / "roberta")
    ids = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in [*TEXTS, *OF_BYTES]}
    pairs = [[*pair, tokenizer([pair[0]], [pair[1]])["input_ids"][0]] for pair in PAIRS]  # "" alone would count as none
    content = json.dumps({"texts": ids, "pairs": pairs}, ensure_ascii=False)
    (HERE / "roberta" / "ids.json").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    make()
