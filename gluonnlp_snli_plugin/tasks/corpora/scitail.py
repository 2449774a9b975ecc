"""SciTail 1.1: does a sentence from the web entail the answer to a question of a science exam?

Khot, Sabharwal and Clark, "SciTail: A Textual Entailment Dataset from Science Question Answering", AAAI 2018. Licence:
see the README files of the archive.
"""

from ..nli import LABEL_ALIAS
from ..task import PairTask, register

_FOLDERS = ("", "snli_format/", "SciTailV1.1/snli_format/")


@register
class SciTailTask(PairTask):
    """Two-way inference on SciTail, in the official ``snli_format/scitail_1.0_{train,dev,test}.txt``.

    The files are JSON lines with the columns of SNLI; the other formats of the archive hold the same pairs, and call
    'entailment' ``entails``.
    """

    name = "SciTail"
    class_labels = ("entailment", "neutral")
    label_alias = {spelling: label for spelling, label in LABEL_ALIAS.items() if label != "contradiction"}
    files = {
        segment: tuple(f"{folder}scitail_1.0_{segment}.txt" for folder in _FOLDERS)
        for segment in ("train", "dev", "test")
    }
    page = "https://allenai.org/data/scitail"
