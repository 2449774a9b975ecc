"""Adversarial NLI 1.0: pairs written to mislead a model, in three rounds with stronger and stronger models.

Nie et al., "Adversarial NLI: A New Benchmark for Natural Language Understanding", ACL 2020. Licence: Creative Commons
BY-NC 4.0.
"""

from typing import Dict, Tuple, Union

from ..dataset import Place
from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

_FOLDERS = ("", "anli_v1.0/")  # the second is that of the archive
_SEGMENTS = ("train", "dev", "test")


def _round(number: int) -> Dict[str, Tuple[Union[str, Place], ...]]:
    """Where the files of one round are."""
    return {segment: tuple(f"{folder}R{number}/{segment}.jsonl" for folder in _FOLDERS) for segment in _SEGMENTS}


class _Adversarial(PairTask):
    """What the rounds have in common."""

    name = "ANLI"
    class_labels = LABELS
    label_alias = LABEL_ALIAS  # 'e', 'n' and 'c' in the files
    own_columns = ("context", "hypothesis", "label")
    folder = "anli"
    page = "https://github.com/facebookresearch/anli"


@register
class ANLIR1Task(_Adversarial):
    """Natural language inference on the first round of ANLI, in ``R1/{train,dev,test}.jsonl``."""

    name = "ANLI-R1"
    files = _round(1)


@register
class ANLIR2Task(_Adversarial):
    """Natural language inference on the second round of ANLI, in ``R2/{train,dev,test}.jsonl``."""

    name = "ANLI-R2"
    files = _round(2)


@register
class ANLIR3Task(_Adversarial):
    """Natural language inference on the third round of ANLI, in ``R3/{train,dev,test}.jsonl``."""

    name = "ANLI-R3"
    files = _round(3)


@register
class ANLITask(_Adversarial):
    """Natural language inference on all three rounds of ANLI: each segment is that of round 1, then 2, then 3.

    The files are JSON lines with ``context``, ``hypothesis`` and ``label``, which is ``e``, ``n`` or ``c``.
    """

    name = "ANLI"
    files = {
        segment: tuple(Place(tuple(f"{folder}R{i}/{segment}.jsonl" for i in (1, 2, 3))) for folder in _FOLDERS)
        for segment in _SEGMENTS
    }
