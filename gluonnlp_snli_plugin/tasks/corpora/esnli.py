"""e-SNLI: SNLI with explanations in words, which this task leaves out.

Camburu et al., "e-SNLI: Natural Language Inference with Natural Language Explanations", NeurIPS 2018. Licence: MIT; the
pairs are SNLI's.
"""

from ..dataset import Place
from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

_FOLDERS = ("", "dataset/", "e-SNLI/dataset/")


@register
class ESNLITask(PairTask):
    """Natural language inference on the pairs of e-SNLI, in the official ``esnli_{train_1,train_2,dev,test}.csv``.

    The columns are ``Sentence1``, ``Sentence2`` and ``gold_label``; the training pairs are those of both files.
    """

    name = "e-SNLI"
    class_labels = LABELS
    label_alias = LABEL_ALIAS
    own_columns = ("Sentence1", "Sentence2", "gold_label")
    files = {
        "train": tuple(Place(tuple(f"{folder}esnli_train_{i}.csv" for i in (1, 2))) for folder in _FOLDERS),
        **{segment: tuple(f"{folder}esnli_{segment}.csv" for folder in _FOLDERS) for segment in ("dev", "test")},
    }
    page = "https://github.com/OanaMariaCamburu/e-SNLI"
