"""The model card of a Hugging Face folder, made from what the run recorded."""

import json
import os
from typing import Any, Dict, Sequence

from ...model.family import family_of
from ...tasks.snli import LABELS
from ..job import Job
from ..output_folder import scores_in

_CARD = """---
library_name: transformers
pipeline_tag: text-classification
tags:
- {tag}
---

# {title}

{what} ({labels}). A {architecture}, fine-tuned with \
[GluonNLP](https://github.com/dmlc/gluon-nlp) and MXNet and exported by `gluonnlp-snli export`.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("DIR")
model = AutoModelForSequenceClassification.from_pretrained("DIR")
inputs = tokenizer(
    ["Two dogs run through the snow."], ["The dogs are asleep."],
    truncation={truncation!r}, max_length={max_len}, padding=True, return_tensors="pt",
)
print(model.config.id2label[int(model(**inputs).logits.argmax())])
```
{class_note}
## Data and accuracy

{data}

## Settings

{settings}

## Versions

{versions}

## Licence

Not stated by this program: the author of the model says under which licence it, its data and the pretrained weights \
may be used.
"""
_CLASS_NOTE = """
The head is Dense, ReLU, Dense on the encoding of `[CLS]`, which `BertForSequenceClassification` (a tanh there) cannot \
hold. So the model is stored as DeBERTa-v2 without relative positions and convolution, which computes what a BERT does.
"""
_OF_NLI = {
    "tag": "natural-language-inference",
    "title": "{} for natural language inference",
    "what": "Tells whether a *hypothesis* follows from a *premise*",
}
_OF_OWN_CLASSES = {
    "tag": "sentence-pair-classification",
    "title": "{} for the classification of sentence pairs",
    "what": "Tells the class of a pair of sentences",
}
_SETTINGS = (
    "backbone dataset_name init_from head hidden_units dropout max_len truncation epochs batch_size accumulate lr "
    "optimizer schedule warmup_ratio weight_decay clip dtype seed"
).split()
_VERSIONS = "gluonnlp_snli_plugin mxnet gluonnlp numpy python".split()
_UNKNOWN = "Not known: there is no record of a run beside the model."
_TRUNCATIONS = {"longest_first": "longest_first", "only_first": "only_first", "only_second": "only_second"}


def model_card(job: Job, is_relu: bool) -> str:
    """The text of ``README.md``.

    Parameters
    ----------
    job : Job
    is_relu : bool
        Whether it is a BERT with a head that no class of transformers' BERTs has.
    """
    settings, run, summary = job.model.settings, job.record("config.json"), job.record("summary.json")
    given, versions = (run[name] if isinstance(run.get(name), dict) else {} for name in ("settings", "versions"))
    if isinstance(given.get("init_from"), str):  # its name, without its path
        given = {**given, "init_from": os.path.basename(given["init_from"].rstrip("/"))}
    name = family_of(settings.backbone).huggingface.classifier.partition("For")[0]
    name = name.replace("Bert", "BERT").replace("berta", "BERTa")
    about = _OF_NLI if set(settings.labels) & set(LABELS) else _OF_OWN_CLASSES
    return _CARD.format(
        **{**about, "title": about["title"].format(settings.backbone)},
        labels=", ".join(settings.labels),
        architecture=f"{name} of {settings.hparams['num_layers']} layers of {settings.hparams['units']} units",
        truncation=_TRUNCATIONS.get(settings.truncation, "longest_first"),
        max_len=settings.max_len,
        class_note=_CLASS_NOTE if is_relu else "",
        data=_data(run, summary),
        settings=_table(given, _SETTINGS),
        versions=_table(versions, _VERSIONS),
    )


def _data(run: Dict[str, Any], summary: Dict[str, Any]) -> str:
    lines = []
    for segment, facts in run["data"].items() if isinstance(run.get("data"), dict) else ():
        if isinstance(facts, dict):  # names of the files, without their paths
            sources = str(facts.get("source", "")).split(", ")
            facts = {**facts, "source": ", ".join(source.rsplit("/", 1)[-1] for source in sources)}
            facts.pop("remark", None)  # names the file
            lines.append(f"- {segment}: " + ", ".join(f"{name} {_plain(value)}" for name, value in facts.items()))
    for name, figure, value in scores_in(run, summary):
        lines.append(f"- {figure.replace('_', ' ')} on the {name} pairs: {value:.4f}")
    return "\n".join(lines) or _UNKNOWN


def _table(content: Dict[str, Any], names: Sequence[str]) -> str:
    rows = [f"| {name} | {_plain(content[name])} |" for name in names if content.get(name) is not None]
    return "\n".join(["| | |", "| --- | --- |", *rows]) if rows else _UNKNOWN


def _plain(value: Any) -> str:
    """A value as code, so that nothing in it is Markdown."""
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split())
    return "`" + text.replace("`", "'").replace("|", "/") + "`"
