"""MultiNLI 1.0: pairs of ten genres of written and spoken English.

Williams, Nangia and Bowman, "A Broad-Coverage Challenge Corpus for Sentence Understanding through Inference", NAACL
2018. Licence: most of the text under that of the Open American National Corpus, some of the fiction under Creative
Commons BY 3.0 and BY-SA 3.0; the paper lists them.
"""

from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

_SEGMENTS = ("train", "dev_matched", "dev_mismatched")


@register
class MultiNLITask(PairTask):
    """Natural language inference on MultiNLI 1.0, in the official files ``multinli_1.0_{train,dev_matched,
    dev_mismatched}``, ``.jsonl`` before ``.txt``.

    Its columns and labels are those of SNLI. `dev_matched` has the five genres of the training pairs, `dev_mismatched`
    five others. GLUE's copy, which orders the labels in another way, is the task ``MNLI``.

    Examples
    --------
    >>> nlp.data.create('MultiNLI', segment='dev_matched', root='multinli_1.0')[0]
    ['The new rights are nice enough', 'Everyone really likes the newest benefits ', 'neutral']
    """

    name = "MultiNLI"
    class_labels = LABELS
    label_alias = LABEL_ALIAS
    files = {
        segment: tuple(
            f"{folder}multinli_1.0_{segment}.{kind}" for kind in ("jsonl", "txt") for folder in ("", "multinli_1.0/")
        )
        for segment in _SEGMENTS
    }
    page = "https://cims.nyu.edu/~sbowman/multinli/"
