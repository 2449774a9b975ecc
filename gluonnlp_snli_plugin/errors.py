"""The errors a user can act on: one family, one line each."""

TIME_IS_UP = 75  # exit status: "try again later", EX_TEMPFAIL of sysexits.h


def printable(text: object) -> str:
    """A text as one line, with everything that is not printable as escapes.

    Names of files and texts from outside are printed through it: they may hold line ends, terminal commands or marks
    that reverse the direction of writing.

    Parameters
    ----------
    text : object
        Its str is meant.

    Returns
    -------
    str
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def counted(count: int, noun: str) -> str:
    """A number of things in a message: '1 row', '2 rows'."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class PluginError(Exception):
    """A user can act on this error: a file, a name or a setting is wrong.

    The message is one line that says what is wrong, where, and what to do.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(PluginError, ValueError):
    """The request is wrong: an unknown name, an impossible option."""


class DataError(PluginError):
    """A data file cannot be used; the message names the file and the line."""


class CheckpointError(PluginError):
    """A weights file, a vocabulary or a model folder cannot be used."""


class DownloadError(PluginError):
    """A download failed; the message says where to put the file by hand."""


class Stopped(PluginError):
    """A run has stopped before its end, by a signal or a time limit, and can be resumed.

    Attributes
    ----------
    status : int
        Exit status of the command: 128 and the signal's number, or ``TIME_IS_UP`` when the time limit was reached.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
