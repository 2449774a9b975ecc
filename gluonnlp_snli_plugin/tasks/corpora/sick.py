"""SICK: pairs about pictures and videos, made for compositional semantics; task 1 of SemEval 2014.

Marelli et al., "A SICK cure for the evaluation of compositional distributional semantic models", LREC 2014. Licence:
Creative Commons BY-NC-SA 3.0.
"""

from ..dataset import Place
from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

_SETS = {"train": ("TRAIN", "SICK_train.txt"), "dev": ("TRIAL", "SICK_trial.txt")}
_SETS["test"] = ("TEST", "SICK_test_annotated.txt")


@register
class SICKTask(PairTask):
    """Natural language inference on SICK: the rows of the official ``SICK.txt`` whose ``SemEval_set`` is TRAIN, TRIAL
    (the development pairs) or TEST; or the three files of SemEval 2014, which have the same pairs.

    Both are tables with ``sentence_A`` and ``sentence_B``, and with ``entailment_label`` or ``entailment_judgment``:
    ENTAILMENT, CONTRADICTION or NEUTRAL.
    """

    name = "SICK"
    class_labels = LABELS
    label_alias = LABEL_ALIAS
    own_columns = ("sentence_A", "sentence_B", "entailment_label")
    files = {
        segment: (
            *(Place((f"{folder}SICK.txt",), {"SemEval_set": chosen}) for folder in ("", "SICK/")),
            file,
        )
        for segment, (chosen, file) in _SETS.items()
    }
    page = "https://zenodo.org/record/2787612"
