"""What a run is scored on: the files of ``--dev-file`` and ``--test-file``, or those of the task's corpus.

The first file for development selects the best model. All others are scored once, at the end.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Sequence, Tuple

from ..evaluate.labelled_pairs import LabelledPairs
from ..tasks.dataset import has_segment, segment_source
from ..tasks.task import find_task
from .settings.scored_files import scored_file
from .settings.training_files import require_known

if TYPE_CHECKING:
    from .settings.finetune_config import FinetuneConfig

_USES = ("dev", "test")
_LONGEST_NAME = 40


class EvaluationFile(NamedTuple):
    """Pairs to score a run on."""

    pairs: LabelledPairs
    task: str = ""  #: the task that says how they are read; empty for that of the run


def evaluation_files(config: "FinetuneConfig") -> Dict[str, EvaluationFile]:
    """The pairs to score a run on.

    Returns
    -------
    dict of str to EvaluationFile
        By the names that summary and report give to them: 'dev' and 'test' for the first ones, and for example
        'test_hans' for the second test file.

    Raises
    ------
    DataError, DownloadError
        If a file of a corpus is missing and cannot be downloaded.
    """
    given = {"dev": config.dev_file, "test": config.test_file}
    found: Dict[str, EvaluationFile] = {}
    for use in _USES:
        if given[use]:
            entries = [_given(text, use, config) for text in given[use] or ()]
        else:
            entries = [] if config.dev_file else _of_corpus(use, config)
        for name, file in entries:
            found[_unique(name if use in found else use, found)] = file
    return found


def _given(text: str, use: str, config: "FinetuneConfig") -> Tuple[str, EvaluationFile]:
    """A file that the user names, and what to call it."""
    named = scored_file(text)
    require_known(f"--{use}-file", named)
    task = find_task(named.task or config.task)
    if named.is_corpus:
        source = segment_source(task, named.place, config.corpus_root)
        name = f"{task.name}_{named.place}"
    else:
        source = segment_source(task, use, file=named.place)
        name = _stem(named.place)
    name = re.sub(r"[\W_]+", "_", name)[:_LONGEST_NAME]  # letters and digits of any script
    return f"{use}_{name}", EvaluationFile(LabelledPairs(source), named.task)


def _of_corpus(use: str, config: "FinetuneConfig") -> List[Tuple[str, EvaluationFile]]:
    """The segments of the task's corpus for a use: the first one, and those of the others whose files are there."""
    task, root = find_task(config.task), config.corpus_root
    segments: Sequence[str] = task.segments(use)
    chosen = [one for i, one in enumerate(segments) if i == 0 or has_segment(task, one, root)]
    return [(segment, EvaluationFile(LabelledPairs(segment_source(task, segment, root)))) for segment in chosen]


def _stem(path: str) -> str:
    """The name of a file without its endings, such as ``.jsonl.gz``."""
    return Path(path).name.split(".")[0] or "file"


def _unique(name: str, taken: Dict[str, EvaluationFile]) -> str:
    number = next(i for i in range(1, len(taken) + 2) if (name if i == 1 else f"{name}_{i}") not in taken)
    return name if number == 1 else f"{name}_{number}"
