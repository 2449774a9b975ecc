"""Tells what is lost on the way to the model: rows that are left out, inputs that are cut, classes without pairs."""

import logging
from typing import Any, Container, Optional, Sequence

from ..errors import DataError, counted

_log = logging.getLogger("gluonnlp_snli_plugin")


def tell_left_out(path: Any, num_pairs: int, found: Any) -> None:
    """Log how many rows of a file were left out, and why.

    Parameters
    ----------
    path : str or Path
    num_pairs : int
        Rows that are used.
    found : PairReader or EncodedFile
        With ``num_bad``, ``first_bad`` and ``num_unlabelled``.
    """
    num_rows = num_pairs + found.num_bad + found.num_unlabelled
    if found.num_bad:
        _tell(f"{path}: {found.num_bad} of {num_rows} rows cannot be used and are left out; first, {found.first_bad}")
    if found.num_unlabelled:
        rows = f"{found.num_unlabelled} of {num_rows} rows have no gold label and are left out"
        _tell(f"{path}: {rows}", logging.INFO)  # as is usual with SNLI


def tell_truncated(path: Any, num_truncated: int, num_pairs: int, max_len: int) -> None:
    """Log how many pairs of a file were cut."""
    if num_truncated:
        share = f"{num_truncated} of {num_pairs} pairs ({num_truncated / num_pairs:.1%})"
        _tell(f"{path}: {share} are longer than {max_len} tokens (max_len) and are cut")


def tell_merged(remark: Optional[str]) -> None:
    """Log which classes are counted as one, if any are."""
    if remark:
        _tell(remark)


def require_all_classes(path: Any, present: Container[str], names: Sequence[str], found: Any) -> None:
    """Complain if no pair of a file to train on has one of the labels.

    Parameters
    ----------
    path : str or Path
    present : set of str
        The labels that pairs have.
    names : sequence of str
        Those of the task.
    found : PairReader or EncodedFile
        What was left out.

    Raises
    ------
    DataError
    """
    missing = [name for name in names if name not in present]
    if missing:
        why = f" ({counted(found.num_bad, 'row')} cannot be used; first, {found.first_bad})" if found.num_bad else ""
        raise DataError(f"{path}: {_no_pair(missing)}{why}: a model trained on the rest could never give that answer")


def tell_missing_classes(path: Any, present: Container[str], names: Sequence[str]) -> None:
    """Log which labels no pair of a file has."""
    missing = [name for name in names if name not in present]
    if missing:
        _tell(f"{path}: {_no_pair(missing)}")


def _no_pair(missing: Sequence[str]) -> str:
    return f"no pair has the label {' or '.join(missing)}"


def _tell(text: str, level: int = logging.WARNING) -> None:
    _log.log(level, "%s", DataError(text))  # in one printable line, as errors are
