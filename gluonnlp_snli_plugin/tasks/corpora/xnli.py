"""XNLI 1.0: development and test pairs of MultiNLI in 15 languages, a task for each: ``XNLI-ar`` to ``XNLI-zh``.

Conneau et al., "XNLI: Evaluating Cross-lingual Sentence Representations", EMNLP 2018. Licence: Creative Commons BY-NC
4.0. GluonNLP's own task ``XNLI`` is another edition, of Chinese alone.
"""

from typing import Type

from ..dataset import Place
from ..nli import LABEL_ALIAS, LABELS
from ..task import PairTask, register

LANGUAGES = "ar bg de el en es fr hi ru sw th tr ur vi zh".split()
_FOLDERS = ("", "XNLI-1.0/")  # the second is that of the archive
_TRANSLATIONS = ("", "multinli/", "XNLI-MT-1.0/multinli/")


def _task_of(language: str) -> Type[PairTask]:
    """The task of one language."""
    files = {
        "train": tuple(f"{folder}multinli.train.{language}.tsv" for folder in _TRANSLATIONS),
        **{
            segment: tuple(
                Place((f"{folder}xnli.{segment}.{kind}",), {"language": language})
                for kind in ("jsonl", "tsv")
                for folder in _FOLDERS
            )
            for segment in ("dev", "test")
        },
    }
    about = f"""Natural language inference on XNLI 1.0 in the language '{language}'.

    Development and test pairs are the rows of ``xnli.dev`` and ``xnli.test`` (``.jsonl`` before ``.tsv``) whose column
    ``language`` is '{language}'; their other columns are those of SNLI. The training pairs are MultiNLI's, machine
    translated: ``multinli.train.{language}.tsv`` of the archive XNLI-MT 1.0, with the columns ``premise``, ``hypo`` and
    ``label``.
    """
    description = {
        "__doc__": about,
        "__module__": __name__,
        "name": f"XNLI-{language}",
        "class_labels": LABELS,
        "label_alias": LABEL_ALIAS,
        "files": files,
        "folder": "xnli",
        "page": "https://github.com/facebookresearch/XNLI",
    }
    task = type(f"XNLI_{language}_Task", (PairTask,), description)
    globals()[task.__name__] = task  # where pickle looks for it
    return register(task)


TASKS = {language: _task_of(language) for language in LANGUAGES}
