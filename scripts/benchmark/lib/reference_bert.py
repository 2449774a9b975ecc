"""The reference that ``compare_import.py`` compares with: what `transformers` makes of sentence pairs.

``python reference_bert.py CHECKPOINT PAIRS OUT`` runs in an environment with torch and transformers and without MXNet.
PAIRS is a JSON list of ``[premise, hypothesis]``; OUT gets the outputs of all pairs, without padding, as ``.npz``.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer, BertForPreTraining, BertTokenizer

BATCH_SIZE = 16
MASKED_POSITIONS = (1, 3)  # a pair has at least five tokens


def main(checkpoint, pairs_file, out_file):
    pairs = json.loads(Path(pairs_file).read_text(encoding="utf-8"))
    is_bert = AutoConfig.from_pretrained(checkpoint).model_type == "bert"
    tokenizer = (BertTokenizer if is_bert else AutoTokenizer).from_pretrained(checkpoint)
    model_class = BertForPreTraining if is_bert else AutoModelForMaskedLM
    model, loading = model_class.from_pretrained(checkpoint, dtype=torch.float32, output_loading_info=True)
    model.eval()
    missing = " ".join(loading["missing_keys"])  # transformers gives these random values
    has_pooler = is_bert and "pooler." not in missing
    has_mlm = not any(part in missing for part in ("cls.predictions.", "lm_head.", "vocab_"))
    has_nsp = has_pooler and "cls.seq_relationship." not in missing

    outputs = {}
    with torch.no_grad():
        for start in range(0, len(pairs), BATCH_SIZE):
            premises, hypotheses = zip(*pairs[start : start + BATCH_SIZE])
            batch = tokenizer(list(premises), list(hypotheses), padding=True, truncation=False, return_tensors="pt")
            valid = batch["attention_mask"].bool()
            # RoBERTa counts positions from the one after padding's.
            unused = model.config.pad_token_id + 1 if model.config.model_type == "roberta" else 0
            longest = model.config.max_position_embeddings - unused
            if valid.shape[1] > longest:
                sys.exit(f"a pair has {valid.shape[1]} tokens, {checkpoint} takes {longest}")
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
            segments = batch["token_type_ids"] if is_bert else torch.zeros_like(batch["input_ids"])
            if is_bert:
                inputs["token_type_ids"] = segments
            encoded = model.base_model(**inputs)
            results = {
                "ids": batch["input_ids"][valid],
                "segments": segments[valid],
                "lengths": valid.sum(1),
                "sequence": encoded.last_hidden_state[valid],
            }
            if has_pooler:
                results["pooled"] = encoded.pooler_output
            if has_mlm:
                logits = model(**inputs)
                logits = logits.prediction_logits if is_bert else logits.logits
                results["mlm"] = logits[:, MASKED_POSITIONS]
            if has_nsp:
                results["nsp"] = model.cls.seq_relationship(encoded.pooler_output)
            for name, result in results.items():
                outputs.setdefault(name, []).append(result.numpy())
    arrays = {name: np.concatenate(results) for name, results in outputs.items()}
    np.savez(out_file, masked_positions=np.array(MASKED_POSITIONS), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
