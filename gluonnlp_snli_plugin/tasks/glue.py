"""GLUE's tasks of pair classification, for ``finetune --task``: RTE, QNLI, WNLI, MNLI, MRPC and QQP.

Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding", ICLR 2019.
``nlp.data.get_task`` still gives GluonNLP's own tasks of these names; labels, their order and metrics are the same.
GLUE does not publish the labels of its test pairs, so there are no test segments.
"""

from typing import Dict, Mapping, Sequence, Tuple

from mxnet.metric import F1, Accuracy, CompositeEvalMetric, EvalMetric

from .glue_files import PAGE
from .nli import LABEL_ALIAS, SNLI_COLUMNS
from .task import PairTask, register_for_host

_USES = ("train", "dev")


def _files(folder: str, segments: Tuple[str, ...] = _USES) -> Dict[str, Tuple[str, ...]]:
    """Where the files are, in the folder of GLUE or in that of the task alone."""
    return {segment: (f"{folder}/{segment}.tsv", f"{segment}.tsv") for segment in segments}


def _accuracy_and_f1() -> EvalMetric:
    """As GluonNLP measures paraphrases; the class '1' is the positive one."""
    metric = CompositeEvalMetric()
    metric.add(Accuracy())
    metric.add(F1(average="micro"))
    return metric


class _GlueTask(PairTask):
    """What the tasks have in common."""

    name = "GLUE"
    class_labels: Sequence[str] = ("not_entailment", "entailment")
    label_alias: Mapping[str, str] = {}
    own_columns = ("sentence1", "sentence2", "label")
    folder = "glue"
    page = PAGE


@register_for_host
class RTETask(_GlueTask):
    """Recognizing textual entailment, in GLUE's ``RTE/{train,dev}.tsv``."""

    name = "RTE"
    files = _files("RTE")


@register_for_host
class QNLITask(_GlueTask):
    """Does a sentence answer a question? In GLUE's ``QNLI/{train,dev}.tsv``."""

    name = "QNLI"
    own_columns = ("question", "sentence", "label")
    files = _files("QNLI")


@register_for_host
class WNLITask(_GlueTask):
    """Does a sentence entail itself with a pronoun resolved? In GLUE's ``WNLI/{train,dev}.tsv``; '1' is entailment."""

    name = "WNLI"
    class_labels = ("0", "1")
    entailment = "1"
    files = _files("WNLI")


@register_for_host
class MNLITask(_GlueTask):
    """MultiNLI as GLUE has it, in ``MNLI/{train,dev_matched,dev_mismatched}.tsv``, with GluonNLP's order of labels."""

    name = "MNLI"
    class_labels = ("neutral", "entailment", "contradiction")
    label_alias = LABEL_ALIAS
    own_columns = SNLI_COLUMNS
    files = _files("MNLI", ("train", "dev_matched", "dev_mismatched"))


@register_for_host
class MRPCTask(_GlueTask):
    """Are two sentences paraphrases? In GLUE's ``MRPC/{train,dev}.tsv``; '1' is yes."""

    name = "MRPC"
    class_labels = ("0", "1")
    own_columns = ("#1 String", "#2 String", "Quality")
    files = _files("MRPC")
    metric = _accuracy_and_f1


@register_for_host
class QQPTask(_GlueTask):
    """Are two questions the same? In GLUE's ``QQP/{train,dev}.tsv``; '1' is yes. Some rows of the official files lack
    columns: ``--on-bad-row skip`` leaves them out, as GluonNLP does."""

    name = "QQP"
    class_labels = ("0", "1")
    own_columns = ("question1", "question2", "is_duplicate")
    files = _files("QQP")
    metric = _accuracy_and_f1
