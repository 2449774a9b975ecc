"""Labels a pair of sentences with model.onnx: python example.py PREMISE HYPOTHESIS"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers

FOLDER = Path(__file__).parent
settings = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))
session = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
tokenizer = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def ids(text: str) -> list:
    return tokenizer.encode(text).ids


def label(premise: str, hypothesis: str) -> tuple:
    a, b, budget = ids(premise), ids(hypothesis), settings["max_len"] - 3
    if len(a) + len(b) > budget:
        keep_b = min(len(b), max(budget // 2, budget - len(a)))  # longest_first
        a, b = a[: budget - keep_b], b[:keep_b]
    input_ids = np.array([[settings["cls_id"], *a, settings["sep_id"], *b, settings["sep_id"]]])
    token_type_ids = np.array([[0] * (len(a) + 2) + [1] * (len(b) + 1)])
    inputs = {"input_ids": input_ids, "token_type_ids": token_type_ids, "attention_mask": np.ones_like(input_ids)}
    logits = session.run(["logits"], inputs)[0][0]  # padded pairs of a batch have 0 in attention_mask
    return settings["labels"][logits.argmax()], logits


if __name__ == "__main__":
    print(label(*sys.argv[1:])[0])
