"""Natural language inference: its labels, and what the corpora of the task call them and their columns."""

from .schema import PairSchema

LABELS = ("entailment", "contradiction", "neutral")

NLI = PairSchema(
    labels=LABELS,
    label_alias={
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
    },
    # '-' in SNLI, where the annotators did not agree; -1 in the copies of corpora whose labels are numbers.
    no_label=("-", "-1"),
    columns={
        "premise": ("premise", "sentence1", "sentence_a", "text1", "text_a", "text", "context", "evidence"),
        "hypothesis": ("hypothesis", "hypo", "sentence2", "sentence_b", "text2", "text_b", "statement", "claim"),
        "label": ("gold_label", "label", "gold", "entailment_label", "entailment_judgment"),
    },
    own_columns=("sentence1", "sentence2", "gold_label"),
)
