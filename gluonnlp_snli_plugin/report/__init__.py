"""What a run was and what its model answers, as one page to look at: pure functions over recorded files."""

import logging

from ..errors import PluginError

_log = logging.getLogger("gluonnlp_snli_plugin")


def write_report(folder, to=None):
    """Make the page of a run, or one that compares several, from what their output folders hold.

    Parameters
    ----------
    folder : str, Path or list of them
        Output folders of ``finetune``.
    to : str, Path or None
        Where the page goes, default ``report.html`` in the folder; there is no default for several.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If several folders are given and no place for the page.
    PluginError
        If a folder holds no run, a file in it is damaged, or the page cannot be written.
    """
    from .page import write  # matplotlib takes a second to import, and few need it

    return write(folder, to)


def try_report(folder):
    """As :func:`write_report` of one run, but what goes wrong is only a line of log: there are results to keep."""
    try:
        write_report(folder)
    except (PluginError, ImportError) as error:  # ImportError: matplotlib cannot be used
        _log.warning("no report: %s", error)
