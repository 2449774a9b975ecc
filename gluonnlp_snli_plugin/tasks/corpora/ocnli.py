"""OCNLI: Chinese pairs that were written in Chinese, of five genres; part of CLUE.

Hu et al., "OCNLI: Original Chinese Natural Language Inference", Findings of EMNLP 2020. Licence: Creative Commons BY-NC
2.0.
"""

from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

_FOLDERS = ("", "ocnli/", "data/ocnli/")


@register
class OCNLITask(PairTask):
    """Natural language inference on OCNLI, in the official ``train.50k.json`` and ``dev.json``.

    The files are JSON lines with ``sentence1``, ``sentence2`` and ``label``; it is ``-`` where the annotators did not
    agree. The labels of the test pairs are not published.
    """

    name = "OCNLI"
    class_labels = LABELS
    label_alias = LABEL_ALIAS
    own_columns = ("sentence1", "sentence2", "label")
    files = {
        "train": tuple(f"{folder}train.50k.json" for folder in _FOLDERS),
        "dev": tuple(f"{folder}dev.json" for folder in _FOLDERS),
    }
    page = "https://github.com/CLUEbenchmark/OCNLI"
