"""What the corpora of natural language inference have in common: their labels, columns and spellings."""

from typing import Dict, Optional, Sequence, Tuple

LABELS = ("entailment", "contradiction", "neutral")

# Where there are two classes only: what contradiction and neutral are together, as corpora spell it.
ENTAILMENT, NOT_ENTAILMENT = "entailment", "not_entailment"
OF_THREE = ("contradiction", "neutral")
OF_NOT_ENTAILMENT = (
    NOT_ENTAILMENT,
    *("not-entailment", "not entailment", "non_entailment", "non-entailment", "non entailment", "nonentailment"),
)

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


def entailment_among(labels: Sequence[str]) -> Optional[str]:
    """The label that means entailment, if the others mean that there is none, by their names; otherwise None."""
    found = [label for label in labels if label.lower() == ENTAILMENT]
    others = [label for label in labels if label not in found]
    is_inference = all(label.lower() in (*OF_THREE, *OF_NOT_ENTAILMENT) for label in others)
    return found[0] if len(found) == 1 and others and is_inference else None
