"""Adversarial NLI 1.0: pairs written to mislead a model, in three rounds with stronger and stronger models.

Nie et al., "Adversarial NLI: A New Benchmark for Natural Language Understanding", ACL 2020. Licence: Creative Commons
BY-NC 4.0.
"""

from typing import Sequence, Type

from ..dataset import Place
from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

_FOLDERS = ("", "anli_v1.0/")  # the second is that of the archive


def _task_of(name: str, rounds: Sequence[int]) -> Type[PairTask]:
    """The task of some rounds, whose pairs come one after the other."""
    files = {
        segment: tuple(Place(tuple(f"{folder}R{i}/{segment}.jsonl" for i in rounds)) for folder in _FOLDERS)
        for segment in ("train", "dev", "test")
    }
    about = f"""Natural language inference on {"all rounds" if rounds[1:] else f"round {rounds[0]}"} of ANLI.

    The files are ``R1/{{train,dev,test}}.jsonl`` and so on: JSON lines with ``context``, ``hypothesis`` and ``label``,
    which is ``e``, ``n`` or ``c``.
    """
    description = {
        "__doc__": about,
        "__module__": __name__,
        "name": name,
        "class_labels": LABELS,
        "label_alias": LABEL_ALIAS,
        "own_columns": ("context", "hypothesis", "label"),
        "files": files,
        "folder": "anli",
        "page": "https://github.com/facebookresearch/anli",
    }
    task = type(f"{name.replace('-', '_')}_Task", (PairTask,), description)
    globals()[task.__name__] = task  # where pickle looks for it
    return register(task)


TASKS = [_task_of(f"ANLI-R{i}", [i]) for i in (1, 2, 3)] + [_task_of("ANLI", [1, 2, 3])]
