"""What the corpora of natural language inference have in common: their labels, columns and spellings."""

from typing import Dict, Tuple

LABELS = ("entailment", "contradiction", "neutral")

LABEL_ALIAS: Dict[str, str] = {
    "e": "entailment",
    "entail": "entailment",
    "entails": "entailment",
    "entailed": "entailment",
    "c": "contradiction",
    "contradict": "contradiction",
    "contradicts": "contradiction",
    "contradicted": "contradiction",
    "contradictory": "contradiction",
    "n": "neutral",
}

# '-' in SNLI, where the annotators did not agree; -1 in the copies of corpora whose labels are numbers.
NO_LABEL = ("-", "-1")

COLUMNS: Dict[str, Tuple[str, ...]] = {
    "premise": ("premise", "sentence1", "sentence_a", "text1", "text_a", "text", "context", "evidence"),
    "hypothesis": ("hypothesis", "hypo", "sentence2", "sentence_b", "text2", "text_b", "statement", "claim"),
    "label": ("gold_label", "label", "gold", "entailment_label", "entailment_judgment"),
}

SNLI_COLUMNS = ("sentence1", "sentence2", "gold_label")
