"""What ``--dev-file`` and ``--test-file`` name: ``FILE``, ``TASK:FILE``, or ``TASK:SEGMENT`` for a part of a corpus.

They are those of ``--train-file`` without shares: an equals sign is part of a file's name.
"""

from typing import Any, Iterator, Sequence, Tuple

from .training_files import TrainingFile, as_list, require_moved, split_path, text_of, training_file

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
    return tuple(text_of(option, file) for file in as_list(option, given))


def complaints_about(option: str, texts: Sequence[str]) -> Iterator[str]:
    """What is wrong with the values of an option, a line each."""
    for i, text in enumerate(texts):
        if not text:
            yield f"{option} is empty: name a file"
        if text in texts[:i]:
            yield f"{option} names {text} twice"


def require_scored_moved(option: str, then: Sequence[str], now: Sequence[str]) -> None:
    """Raise a UsageError if the values of an option differ in more than where the files are."""
    require_moved(option, then, now, scored_file, "tasks")
