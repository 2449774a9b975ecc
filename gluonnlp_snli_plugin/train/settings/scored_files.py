"""What ``--dev-file`` and ``--test-file`` name: ``FILE``, ``TASK:FILE``, or ``TASK:SEGMENT`` for a part of a corpus.

They are those of ``--train-file`` without shares: an equals sign is part of a file's name.
"""

import os
from typing import Any, Iterator, List, Sequence, Tuple

from ...errors import UsageError
from .training_files import TrainingFile, may_be_corpus, require_some, split_path, training_file

ScoredFile = TrainingFile  # whose share is 1


def scored_file(text: str) -> ScoredFile:
    """What one value of the options names."""
    return training_file(f"{text}=1")


def split_scored_path(text: str) -> Tuple[str, str, str]:
    """What comes before the path in a value, the path, and nothing; no path in a segment of a corpus."""
    before, path, _ = split_path(f"{text}=1")
    return (before, path, "") if path else (text, "", "")


def as_scored_texts(option: str, given: Any) -> Tuple[str, ...]:
    """What Python's ``dev_file`` or ``test_file`` says, as on the command line.

    Parameters
    ----------
    option : str
        Its name, for messages.
    given : str, path, sequence of these, or None
        A str is read as on the command line; a path is a file of exactly that name.

    Raises
    ------
    UsageError
        If it is something else.
    """
    require_some(option, given)
    files: Any = () if given is None else [given] if isinstance(given, (str, os.PathLike)) else given
    if not isinstance(files, (list, tuple)):
        raise UsageError(f"{option} is {given!r}; it must be a file, or a list of files")
    texts: List[str] = []
    for file in files:
        if not isinstance(file, (str, os.PathLike)):
            raise UsageError(f"{option} names {file!r}, which is not a path")
        text = os.fsdecode(file)
        is_path = not isinstance(file, str)
        texts.append(os.path.join(os.curdir, text) if is_path and may_be_corpus(text) else text)
    return tuple(texts)


def complaints_about(option: str, texts: Sequence[str]) -> Iterator[str]:
    """What is wrong with the values of an option, a line each."""
    for i, text in enumerate(texts):
        if not text:
            yield f"{option} is empty: name a file"
        if text in texts[:i]:
            yield f"{option} names {text} twice"


def require_scored_moved(option: str, then: Sequence[str], now: Sequence[str]) -> None:
    """Raise a UsageError if the values of an option differ in more than where the files are."""
    before, after = ([_apart_from_path(text) for text in texts] for texts in (then, now))
    if before != after:
        begun = f"with {option} {' '.join(then)}" if then else f"without {option}"
        raise UsageError(f"the run was begun {begun}: give as many files, in that order, with their tasks")


def _apart_from_path(text: str) -> Tuple[str, str]:
    """Task, and segment of a corpus."""
    file = scored_file(text)
    return file.task.lower(), file.place if file.is_corpus else ""
