"""Writes and checks the parameter file that ``--model_parameters`` of ``finetune_classifier.py`` takes."""

from pathlib import Path
from typing import Tuple

import gluonnlp as nlp
import mxnet as mx
import numpy as np

from ...errors import UsageError
from ...model.family import family_of
from ...model.parameter_names import HostClassifier
from ...tasks.snli import LABELS
from ..huggingface.export_tokenizer import write_tokenizer, write_vocabulary
from ..job import Job, logits_of
from ..model_folder import Model

_PARAMETERS, _OWN_PARAMETERS = "model_bert_SNLI.params", "model_bert.params"

_README = """`{parameters}` is a `gluonnlp.model.{host.name}` with {classes} classes: {labels}. It is for a model of \
the shape `{backbone}` with the vocabulary of `{vocabulary}`.

```
{imports}gluonnlp-snli run {exact}--train-file train.jsonl --dev-file dev.jsonl scripts/bert/finetune_classifier.py \\
    --task_name SNLI --bert_model {backbone} --bert_dataset NAME{case} --max_len {max_len} \\
    --only_inference --model_parameters {parameters}
```

NAME{case} is the name of that vocabulary in the model store; the first line puts it there, with this model, if it \
is not there yet.
"""
# The script has no task with other classes.
_OWN_README = """`{parameters}` is a `gluonnlp.model.{host.name}` with {classes} classes: {labels}. It is for a model \
of the shape `{backbone}` with the vocabulary of `{vocabulary}`.

```python
import gluonnlp as nlp
import gluonnlp_snli_plugin

gluonnlp_snli_plugin.import_bert("{parameters}", "NAME{case}", vocab="{vocabulary}", backbone="{backbone}")
bert, vocab = nlp.model.get_model(
    "{backbone}", dataset_name="NAME{case}", pretrained=True, {use}
)
net = nlp.model.{host.name}(bert, num_classes={classes}, dropout={host.dropout})
net.load_parameters("{parameters}")
labels = {names}  # in the order of the logits
```
"""


def write(job: Job, folder: Path) -> None:
    """Write the parameters, the vocabulary and a README."""
    model = job.model
    host = _host(model)
    labels = _order(model)
    rows = mx.nd.array([model.settings.labels.index(label) for label in labels])
    parameters = {_renamed(name, host): mx.nd.array(array) for name, array in job.parameters().items()}
    *_, last = host.layers.values()
    for kind in ("weight", "bias"):
        parameters[f"{last}.{kind}"] = parameters[f"{last}.{kind}"].take(rows)
    file = _file(model)
    mx.nd.save(str(folder / file), parameters)
    vocabulary = write_vocabulary(model, folder)
    algorithm = model.settings.tokenizer.algorithm
    if algorithm != "gluonnlp" and not model.spiece:  # import-bert finds it beside the vocabulary
        write_tokenizer(model, folder, for_pairs=True)
    case = "_uncased" if model.settings.tokenizer.lower else "_cased"
    text = (_README if labels == LABELS else _OWN_README).format(
        parameters=file,
        host=host,
        use=", ".join(f"use_{part}=False" for part in family_of(model.settings.backbone).parts if part != "pooler"),
        classes=len(labels),
        labels=", ".join(labels),
        names=list(labels),
        backbone=model.settings.backbone,
        vocabulary=vocabulary,
        imports=f"gluonnlp-snli import-bert {file} --vocab {vocabulary} --backbone {model.settings.backbone} "
        f"--name NAME{case}\n",
        case=case,
        exact="--exact-tokenizer " if algorithm == "bert" and not model.spiece else "",
        max_len=model.settings.max_len,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def check(job: Job, folder: Path) -> np.ndarray:
    """Logits of GluonNLP's classifier that loads the file, built as the script builds it."""
    settings, host = job.model.settings, _host(job.model)
    family = family_of(settings.backbone)
    backbone = family.build(settings.backbone, job.model.vocab, settings.hparams, family.has_pooler)
    net = getattr(nlp.model, host.name)(backbone, num_classes=len(settings.labels), dropout=host.dropout)
    net.load_parameters(str(folder / _file(job.model)), ctx=mx.cpu())
    net.hybridize(static_alloc=True)

    def logits(input_ids: mx.nd.NDArray, segment_ids: mx.nd.NDArray, valid_length: mx.nd.NDArray) -> mx.nd.NDArray:
        segments = [segment_ids] if family.layout.has_segments else []
        return net(input_ids, *segments, valid_length)

    labels = _order(job.model)
    return logits_of(logits, job.encoded)[:, [labels.index(label) for label in settings.labels]]


def _host(model: Model) -> HostClassifier:
    """GluonNLP's class for a model; a UsageError if there is none."""
    backbone, head = model.settings.backbone, model.settings.head
    host = family_of(backbone).host_classifier
    if host is None:
        raise UsageError(f"GluonNLP has no classifier around a {backbone}: --format onnx or symbol takes any")
    if head != host.head:
        raise UsageError(
            f"the head is {head!r}; gluonnlp.model.{host.name} has only what finetune --head {host.head} makes: "
            "--format onnx or symbol takes any"
        )
    return host


def _renamed(name: str, host: HostClassifier) -> str:
    """The name of a parameter in GluonNLP's class."""
    layer, _, kind = name.rpartition(".")
    if layer in host.layers:
        return f"{host.layers[layer]}.{kind}"
    return f"{host.backbone}.{name[len('bert.') :]}"


def _file(model: Model) -> str:
    """The name of the file: that of the script's own where its task SNLI has these labels."""
    return _PARAMETERS if _order(model) == LABELS else _OWN_PARAMETERS


def _order(model: Model) -> Tuple[str, ...]:
    """The labels in the order of the file's logits: that of the script's task SNLI where they are its labels."""
    labels = tuple(model.settings.labels)
    return LABELS if sorted(labels) == sorted(LABELS) else labels
