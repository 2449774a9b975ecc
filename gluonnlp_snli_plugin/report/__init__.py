"""The report of a run or of several, as one page: pure functions over recorded files."""

import logging
import os
from pathlib import Path
from typing import List, Optional, Union

from ..errors import PluginError

PathLike = Union[str, "os.PathLike[str]"]
_log = logging.getLogger("gluonnlp_snli_plugin")


def write_report(folder: Union[PathLike, List[PathLike]], to: Optional[PathLike] = None) -> Path:
    """Write the page of a run, or one that compares several, from their output folders.

    Parameters
    ----------
    folder : str, Path or list of them
        Output folders of ``finetune``.
    to : str, Path or None
        The file to write, default ``report.html`` in the folder; required for several folders.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If several folders are given without `to`.
    PluginError
        If a folder holds no run, a file in it is damaged, or the page cannot be written.
    """
    from .page import write  # matplotlib takes a second to import, and few need it

    return write(folder, to)


def try_report(folder: Union[str, "os.PathLike[str]"]) -> None:
    """As :func:`write_report` of one run, but a failure is only logged: the results of the run stay."""
    try:
        write_report(folder)
    except (PluginError, ImportError) as error:  # ImportError: matplotlib cannot be used
        _log.warning("no report: %s", error)
