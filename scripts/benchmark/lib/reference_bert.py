"""The reference that ``compare_import.py`` compares with: what `transformers` makes of sentence pairs.

``python reference_bert.py CHECKPOINT PAIRS OUT`` runs in an environment with torch and transformers and without MXNet.
PAIRS is a JSON list of ``[premise, hypothesis]``; OUT gets the outputs of all pairs, without padding, as ``.npz``.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertForPreTraining, BertTokenizer

BATCH_SIZE = 16
MASKED_POSITIONS = (1, 3)  # a pair has at least five tokens


def main(checkpoint, pairs_file, out_file):
    pairs = json.loads(Path(pairs_file).read_text(encoding="utf-8"))
    tokenizer = BertTokenizer.from_pretrained(checkpoint)
    model, loading = BertForPreTraining.from_pretrained(checkpoint, dtype=torch.float32, output_loading_info=True)
    model.eval()
    missing = " ".join(loading["missing_keys"])  # transformers makes these anew, at random
    has_pooler = "pooler." not in missing
    has_mlm = "cls.predictions." not in missing
    has_nsp = has_pooler and "cls.seq_relationship." not in missing

    outputs = {}
    with torch.no_grad():
        for start in range(0, len(pairs), BATCH_SIZE):
            premises, hypotheses = zip(*pairs[start : start + BATCH_SIZE])
            batch = tokenizer(list(premises), list(hypotheses), padding=True, truncation=False, return_tensors="pt")
            valid = batch["attention_mask"].bool()
            if valid.shape[1] > model.config.max_position_embeddings:
                sys.exit(
                    f"a pair has {valid.shape[1]} tokens, {checkpoint} takes {model.config.max_position_embeddings}"
                )
            encoded = model.bert(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
            results = {
                "ids": batch["input_ids"][valid],
                "segments": batch["token_type_ids"][valid],
                "lengths": valid.sum(1),
                "sequence": encoded.last_hidden_state[valid],
            }
            if has_pooler:
                results["pooled"] = encoded.pooler_output
            if has_mlm:
                results["mlm"] = model.cls.predictions(encoded.last_hidden_state[:, MASKED_POSITIONS])
            if has_nsp:
                results["nsp"] = model.cls.seq_relationship(encoded.pooler_output)
            for name, result in results.items():
                outputs.setdefault(name, []).append(result.numpy())
    arrays = {name: np.concatenate(results) for name, results in outputs.items()}
    np.savez(out_file, masked_positions=np.array(MASKED_POSITIONS), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
