"""HANS: does a model answer by the words that two sentences share?

McCoy, Pavlick and Linzen, "Right for the Wrong Reasons: Diagnosing Syntactic Heuristics in Natural Language Inference",
ACL 2019. Licence: MIT.
"""

from typing import Dict

from ..nli import ENTAILMENT, LABEL_ALIAS, OF_NOT_ENTAILMENT
from ..task import PairTask, register

OTHER = "non-entailment"
_ALIAS: Dict[str, str] = {
    **{spelling: label for spelling, label in LABEL_ALIAS.items() if label == ENTAILMENT},
    **dict.fromkeys(OF_NOT_ENTAILMENT, OTHER),
}


@register
class HANSTask(PairTask):
    """Two-way inference on HANS, a corpus for evaluation: what is not entailment is 'non-entailment'.

    `dev` is the official ``heuristics_evaluation_set.txt``, 10,000 pairs for each of the heuristics that its column
    ``heuristic`` names (``lexical_overlap``, ``subsequence``, ``constituent``); ``subcase`` divides them further.
    `train` is ``heuristics_train_set.txt``, made for augmenting other training pairs. The columns are those of
    MultiNLI's tables.
    """

    name = "HANS"
    class_labels = (ENTAILMENT, OTHER)
    label_alias = _ALIAS
    files = {"train": ("heuristics_train_set.txt",), "dev": ("heuristics_evaluation_set.txt",)}
    page = "https://github.com/tommccoy1/hans"
