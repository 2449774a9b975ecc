"""Fixtures: small corpora in the layouts that people have."""

import json
from pathlib import Path

import pytest

WORDS = "a the man woman dog cat is are not sleeping awake running eating outside inside two three red blue".split()


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory):
    """120 labelled pairs that the tiny BERT's vocabulary covers."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = []
    for i in range(120):
        who, what = WORDS[2 + i % 4], WORDS[9 + i // 4 % 4]
        label, other = (("entailment", "a {} is {}"), ("contradiction", "not red {} {}"), ("neutral", "two {} are {}"))[
            i % 3
        ]
        premise = f"The {who} is {what} {'outside ' * (i % 7)}."
        rows.append({"sentence1": premise, "sentence2": other.format(who, what), "gold_label": label})
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


_PARSES = "sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
_MNLI = f"index promptID pairID genre {_PARSES} sentence1 sentence2"
_MRPC = "#1_ID #2_ID #1_String #2_String"  # with spaces in the files
_STSB = "index genre filename year old_index source1 source2 sentence1 sentence2"
_DEV = " ".join(f"label{i}" for i in range(1, 6))
# The columns of GLUE's files for training and evaluation, and for testing. CoLA's own have no header.
_GLUE = {
    "RTE": ("index sentence1 sentence2 label", "index sentence1 sentence2"),
    "QNLI": ("index question sentence label", "index question sentence"),
    "WNLI": ("index sentence1 sentence2 label", "index sentence1 sentence2"),
    "QQP": ("id qid1 qid2 question1 question2 is_duplicate", "id question1 question2"),
    "MRPC": (f"Quality {_MRPC}", f"index {_MRPC}"),
    "STS-B": (f"{_STSB} score", _STSB),
    "CoLA": ("source label star sentence", "index sentence"),
    "SST-2": ("sentence label", "index sentence"),
    "MNLI": (f"{_MNLI} label1 gold_label", _MNLI),
}
_GLUE_LABELS = {
    "RTE": ("not_entailment", "entailment"),
    "QNLI": ("not_entailment", "entailment"),
    "MNLI": ("neutral", "entailment", "contradiction"),
    "STS-B": ("0.500", "4.000"),
}


_OF_LABEL = {"entailment": "red", "1": "red", "4.000": "red", "contradiction": "outside"}  # what can be learned


@pytest.fixture(scope="session")
def glue_folder(tmp_path_factory):
    """GLUE as its site has it, a folder for each task, with eight rows in each file."""
    folder = tmp_path_factory.mktemp("glue")
    for task, (labelled, unlabelled) in _GLUE.items():
        labels = _GLUE_LABELS.get(task, ("0", "1"))
        kinds = ("_matched", "_mismatched") if task == "MNLI" else ("",)
        files = {"train": labelled}
        files.update((f"dev{kind}", labelled.replace("label1", _DEV)) for kind in kinds)
        files.update((f"test{kind}", unlabelled) for kind in kinds)
        (folder / task).mkdir()
        for segment, names in files.items():
            columns = [name.replace("_", " ") if name.startswith("#") else name for name in names.split()]
            rows = [[_glue_cell(name, i, labels[i % len(labels)]) for name in columns] for i in range(8)]
            has_header = task != "CoLA" or segment == "test"
            lines = map("\t".join, [columns] * has_header + rows)
            (folder / task / f"{segment}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _glue_cell(column, i, label):
    if column in ("is_duplicate", "Quality", "score") or "label" in column:
        return label
    if column in ("sentence1", "question1", "question", "#1 String"):
        return f'the "man" is {WORDS[9 + i % 4]}'
    if column in ("sentence", "sentence2", "question2", "#2 String"):
        return f"a woman is {_OF_LABEL.get(label, 'inside')}"
    return str(i)


# Subcases of HANS, by heuristic, each with a premise, a hypothesis and whether it follows.
_HANS = {
    "lexical_overlap": {
        "ln_subject/object_swap": ("The {0} {2} the {1} .", "The {1} {2} the {0} .", False),
        "ln_conjunction": ("The {0} and the {1} {2} the dog .", "The {0} {2} the {1} .", False),
        "le_around_relative_clause": ("The {0} that ran {2} the {1} .", "The {0} {2} the {1} .", True),
    },
    "subsequence": {
        "sn_PP_on_subject": ("The {0} near the {1} {3} .", "The {1} {3} .", False),
        "se_conjunction": ("The {0} and the {1} {3} .", "The {1} {3} .", True),
    },
    "constituent": {
        "cn_embedded_under_if": ("If the {0} {3} , the {1} ran .", "The {0} {3} .", False),
        "ce_after_since_clause": ("Since the {0} {3} , the {1} ran .", "The {1} ran .", True),
    },
}
_HANS_COLUMNS = (
    "gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2"
)


@pytest.fixture(scope="session")
def hans_folder(tmp_path_factory):
    """HANS as its repository has it: both tables, with 56 pairs in each."""
    folder = tmp_path_factory.mktemp("hans")
    words = [(a, b, verb, deed) for a, b in (("man", "woman"), ("judge", "actor"), ("doctor", "dog"), ("cat", "lawyer"))
             for verb, deed in (("saw", "slept"), ("helped", "danced"))]  # fmt: skip
    lines = [[*_HANS_COLUMNS.split(), "pairID", "heuristic", "subcase", "template"]]
    for heuristic, subcases in _HANS.items():
        for i, (subcase, (premise, hypothesis, follows)) in enumerate(subcases.items()):
            for chosen in words:
                texts = [text.format(*chosen) for text in (premise, hypothesis)]
                label = "entailment" if follows else "non-entailment"
                lines.append([label, *("( x )",) * 4, *texts, f"ex{len(lines) - 1}", heuristic, subcase, f"temp{i}"])
    for name in ("train", "evaluation"):
        text = "".join("\t".join(line) + "\n" for line in lines)
        (folder / f"heuristics_{name}_set.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def multilingual_texts():
    """Texts in many languages, edge cases, and some of every block of Unicode: a list of str."""
    texts = json.loads((Path(__file__).parents[1] / "text" / "texts.json").read_text(encoding="utf-8"))
    for block in [*range(0, 0x323B0, 128), *range(0xE0000, 0xE0200, 128), *range(0xF0000, 0x110000, 0x2000)]:
        characters = [chr(c) for c in range(block, block + 128) if not 0xD800 <= c < 0xE000]
        texts.append(" ".join(characters[::11]))
        texts.append("".join(characters[5::17]) + " Né" + "x".join(characters[8::23]))
    return texts
