"""Writes and checks the parameter file that ``--model_parameters`` of ``finetune_classifier.py`` takes."""

from pathlib import Path
from typing import Tuple

import mxnet as mx
import numpy as np
from gluonnlp.model import BERTClassifier
from gluonnlp.model.bert import get_bert_model

from ...errors import UsageError
from ...model.heads import head_named
from ...tasks.snli import LABELS
from ..huggingface.export_tokenizer import write_tokenizer, write_vocabulary
from ..job import Job, logits_of
from ..model_folder import Model

_PARAMETERS, _OWN_PARAMETERS = "model_bert_SNLI.params", "model_bert.params"

_README = """`{parameters}` is a `gluonnlp.model.BERTClassifier` with {classes} classes: {labels}. It is for a BERT of \
the shape `{backbone}` with the vocabulary of `{vocabulary}`.

```
{imports}gluonnlp-snli run {exact}--train-file train.jsonl --dev-file dev.jsonl scripts/bert/finetune_classifier.py \\
    --task_name SNLI --bert_model {backbone} --bert_dataset NAME{case} --max_len {max_len} \\
    --only_inference --model_parameters {parameters}
```

NAME{case} is the name of that vocabulary in the model store; the first line puts it there, with this BERT, where it \
is not yet.
"""
# The script has no task with other classes.
_OWN_README = """`{parameters}` is a `gluonnlp.model.BERTClassifier` with {classes} classes: {labels}. It is for a \
BERT of the shape `{backbone}` with the vocabulary of `{vocabulary}`.

```python
import gluonnlp as nlp
import gluonnlp_snli_plugin

gluonnlp_snli_plugin.import_bert("{parameters}", "NAME{case}", vocab="{vocabulary}", backbone="{backbone}")
bert, vocab = nlp.model.get_model(
    "{backbone}", dataset_name="NAME{case}", pretrained=True, use_decoder=False, use_classifier=False
)
net = nlp.model.BERTClassifier(bert, num_classes={classes}, dropout=0.1)
net.load_parameters("{parameters}")
labels = {names}  # in the order of the logits
```
"""


def write(job: Job, folder: Path) -> None:
    """Write the parameters, the vocabulary and a README."""
    model = job.model
    if not head_named(model.settings.head).is_berts:
        raise UsageError(
            f"the head is {model.settings.head!r}; gluonnlp.model.BERTClassifier has only what finetune --head pooled "
            "makes: --format onnx or symbol takes any"
        )
    labels = _order(model)
    rows = mx.nd.array([model.settings.labels.index(label) for label in labels])
    parameters = {name: mx.nd.array(array) for name, array in job.parameters().items()}
    for kind in ("weight", "bias"):
        parameters[f"classifier.1.{kind}"] = parameters[f"classifier.1.{kind}"].take(rows)
    file = _file(model)
    mx.nd.save(str(folder / file), parameters)
    vocabulary = write_vocabulary(model, folder)
    is_exact = model.settings.tokenizer.algorithm == "bert" and not model.spiece
    if is_exact:  # import-bert finds it beside the vocabulary
        write_tokenizer(model, folder, for_pairs=True)
    case = "_uncased" if model.settings.tokenizer.lower else "_cased"
    text = (_README if labels == LABELS else _OWN_README).format(
        parameters=file,
        classes=len(labels),
        labels=", ".join(labels),
        names=list(labels),
        backbone=model.settings.backbone,
        vocabulary=vocabulary,
        imports=f"gluonnlp-snli import-bert {file} --vocab {vocabulary} --backbone {model.settings.backbone} "
        f"--name NAME{case}\n",
        case=case,
        exact="--exact-tokenizer " if is_exact else "",
        max_len=model.settings.max_len,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def check(job: Job, folder: Path) -> np.ndarray:
    """Logits of a ``BERTClassifier`` that loads the file, built as the script builds it."""
    settings = job.model.settings
    bert, _ = get_bert_model(
        settings.backbone,
        vocab=job.model.vocab,
        pretrained=False,
        use_decoder=False,
        use_classifier=False,
        hparam_allow_override=True,
        **settings.hparams,
    )
    net = BERTClassifier(bert, num_classes=len(settings.labels), dropout=settings.dropout or 0.1)
    net.load_parameters(str(folder / _file(job.model)), ctx=mx.cpu())
    net.hybridize(static_alloc=True)
    labels = _order(job.model)
    return logits_of(net, job.encoded)[:, [labels.index(label) for label in settings.labels]]


def _file(model: Model) -> str:
    """The name of the file: that of the script's own where its task SNLI has these labels."""
    return _PARAMETERS if _order(model) == LABELS else _OWN_PARAMETERS


def _order(model: Model) -> Tuple[str, ...]:
    """The labels in the order of the file's logits: that of the script's task SNLI where they are its labels."""
    labels = tuple(model.settings.labels)
    return LABELS if sorted(labels) == sorted(LABELS) else labels
