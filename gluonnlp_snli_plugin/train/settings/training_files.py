"""What ``--train-file`` names: files and corpora to train on together, with a share of each: ``TASK:FILE=SHARE``."""

import math
import os
import re
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple, Union

from ...data.assignments import in_words
from ...errors import UsageError

TrainFiles = Union[str, Mapping[str, float], Sequence[str], None]

_OPTION = "--train-file"
_TASK = re.compile(r"([\w.-]+):(.+)", re.DOTALL)
_SEGMENT = re.compile(r"\w+")
_LARGEST_SHARE = 1000


class TrainingFile(NamedTuple):
    """A file, or a segment of a corpus, to train on."""

    task: str  #: the task that says how the file is read; empty for that of the run
    place: str  #: the path; or the name of a segment, where the task has a corpus with such a segment
    share: float  #: the part of its pairs that an epoch takes
    is_corpus: bool  #: whether `place` is a segment

    def __str__(self) -> str:
        return f"{self.task}:{self.place}" if self.task else self.place


def training_file(text: str) -> TrainingFile:
    """What one value of ``--train-file`` names.

    Parameters
    ----------
    text : str
        ``FILE``, ``TASK:FILE`` or ``TASK:SEGMENT``, perhaps with ``=SHARE`` behind it. Only a registered task counts as
        one, and only a number as a share: everything else is part of a file's name.

    Returns
    -------
    TrainingFile
    """
    from ... import registry  # imports MXNet, which parsing options does not need

    named, share = split_share(text)
    match = _TASK.fullmatch(named)
    if not match or match[1] not in registry.task:
        return TrainingFile("", named, share, False)
    task, place = match.groups()
    return TrainingFile(task, place, share, place in getattr(registry.task[task], "files", ()))


def split_share(text: str) -> Tuple[str, float]:
    """A value of ``--train-file`` without its share, and the share, 1 where there is none."""
    named, equals, end = text.rpartition("=")
    try:
        return (named, float(end)) if named and equals else (text, 1.0)
    except ValueError:
        return text, 1.0


def split_path(text: str) -> Tuple[str, str, str]:
    """What comes before the path in a value of ``--train-file``, the path, and what follows; no path in a corpus."""
    found = training_file(text)
    if found.is_corpus:
        return text, "", ""
    begin = len(str(found)) - len(found.place)
    return text[:begin], found.place, text[begin + len(found.place) :]


def may_be_corpus(text: str) -> bool:
    """Whether a value of ``--train-file`` may name a task, as far as can be told without the registered names."""
    return bool(_TASK.fullmatch(text))


def as_texts(given: Any) -> Tuple[str, ...]:
    """What Python's ``train_file`` says, as on the command line.

    Parameters
    ----------
    given : str, path, mapping of these to shares, sequence of str and paths, or None
        A str is read as on the command line; a path is a file of exactly that name.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if isinstance(given, Mapping) and given:
        return tuple(f"{text_of(_OPTION, file)}={_number(file, share)}" for file, share in given.items())
    return tuple(
        exactly(os.fsdecode(file)) if isinstance(file, os.PathLike) else text_of(_OPTION, file)
        for file in as_list(_OPTION, given)
    )


def as_list(option: str, given: Any) -> Sequence[Any]:
    """What Python's setting of that option names: nothing, one file, or several.

    Raises
    ------
    UsageError
        If it is something else, or an empty list, which does not mean the corpus, as None does.
    """
    if isinstance(given, (list, Mapping)) and not given:
        raise UsageError(f"{option} is {given!r}: name a file, or omit it")
    files: Any = () if given is None else [given] if isinstance(given, (str, os.PathLike)) else given
    if not isinstance(files, (list, tuple)):
        raise UsageError(f"{option} is {given!r}; it must be a file, or a list of files")
    return files


def text_of(option: str, file: Any) -> str:
    """The value of an option for a file, without a share; a path never names a task."""
    if isinstance(file, os.PathLike):
        path = os.fsdecode(file)
        return os.path.join(os.curdir, path) if may_be_corpus(path) else path
    if not isinstance(file, str):
        raise UsageError(f"{option} names {file!r}, which is not a path")
    return file


def exactly(path: str) -> str:
    """The value of ``--train-file`` for a file of exactly this name."""
    path = text_of(_OPTION, Path(path))
    return f"{path}=1" if split_share(path)[0] != path else path


def complaints(texts: Sequence[str]) -> Iterator[str]:
    """What is wrong with the values of ``--train-file``, a line each."""
    seen: List[str] = []
    for text in texts:
        named, share = split_share(text)
        if not 0 < share <= _LARGEST_SHARE:
            limits = f"above 0 and at most {_LARGEST_SHARE}"
            yield f"--train-file {text}: the share must be {limits}, not {text[len(named) + 1 :]}"
        if not named:
            yield "--train-file is empty: name a file"
        before, _, end = named.rpartition("=")
        if os.path.isfile(before) and not os.path.exists(named):
            yield f"--train-file {text}: the share {end!r} is not a number; write {before}=0.5"
        if named != text and os.path.isfile(text) and not os.path.exists(named):
            yield f"--train-file {text} means the file {named}, which is missing; for the file {text} write {text}=1"
        path = os.path.realpath(named)
        if path in seen:
            yield f"--train-file names {named} twice; to take its pairs twice, write {named}=2"
        seen.append(path)


def require_known(option: str, file: TrainingFile) -> None:
    """Raise a UsageError if a value that is not a file names a task, or a segment of a corpus, that does not exist."""
    from ...tasks.task import find_task

    if file.is_corpus or os.path.exists(file.place):
        return
    if not file.task and may_be_corpus(file.place):
        find_task(file.place.partition(":")[0])  # reports that there is none
    if file.task and _SEGMENT.fullmatch(file.place):
        task = find_task(file.task)
        segments = f"there are {', '.join(task.files)}" if task.files else "it has no corpus"
        raise UsageError(
            f"{option} {file}: there is no file {file.place}, and {task.name} has no segment of that name; {segments}"
        )


def require_same_classes(files: Sequence[TrainingFile], labels: Sequence[str]) -> None:
    """Raise a UsageError if a task of a file does not exist, or has other classes than the run."""
    from ...tasks.task import find_task

    for file in files:
        require_known("--train-file", file)
        others = find_task(file.task).schema.labels if file.task else labels
        if sorted(others) != sorted(labels):
            raise UsageError(
                f"--train-file {file}: {file.task} has the classes {in_words(others)}, this run has "
                f"{in_words(labels)}; only files with the same classes are mixed"
            )


def require_moved(
    option: str,
    then: Sequence[str],
    now: Sequence[str],
    parse: Callable[[str], TrainingFile],
    what: str = "tasks and shares",
) -> None:
    """Raise a UsageError if the values of an option differ in more than where the files are.

    Parameters
    ----------
    option : str
        Its name, for the message.
    then, now : sequence of str
    parse : callable
        Says what a value names.
    what : str
        What must be the same, for the message.
    """
    before, after = ([_apart_from_path(parse(text)) for text in texts] for texts in (then, now))
    if before != after:
        begun = f"with {option} {' '.join(then)}" if then else f"without {option}"
        raise UsageError(f"the run was begun {begun}: give as many files, in that order, with their {what}")


def _apart_from_path(file: TrainingFile) -> Tuple[str, str, float]:
    """Task, segment of a corpus, and share."""
    return file.task.lower(), file.place if file.is_corpus else "", file.share


def _number(file: Any, share: Any) -> str:
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not math.isfinite(share):
        raise UsageError(f"--train-file {file}: the share is {share!r}; it must be a number, such as 0.5")
    return repr(float(share))
