"""The errors a user can act on: one family, one line each."""

TIME_IS_UP = 75  # exit status: "try again later", EX_TEMPFAIL of sysexits.h


def printable(text):
    """A text in one line that controls no terminal and turns nothing around it: the rest of it as escapes.

    Names of files and folders, and texts of others, are printed through it; they may hold line ends, terminal commands,
    or marks that reverse what follows.

    Parameters
    ----------
    text : object
        Its str is meant.

    Returns
    -------
    str
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


class PluginError(Exception):
    """Something outside the program is wrong: a file, a name, a setting.

    The message is one line that says what is wrong, where, and what to do.
    """

    def __str__(self):
        return printable(super().__str__())


class UsageError(PluginError, ValueError):
    """The request itself makes no sense: an unknown name, an impossible option."""


class DataError(PluginError):
    """A data file cannot be used; the message names the file and the line."""


class CheckpointError(PluginError):
    """A weights file, a vocabulary or a model folder cannot be used."""


class DownloadError(PluginError):
    """A download failed; the message says where to put the file by hand."""


class Stopped(PluginError):
    """A run stopped before its end, as it was told to, and can be resumed.

    Attributes
    ----------
    status : int
        Exit status of the command: 128 and the signal's number, or ``TIME_IS_UP`` when its time was up.
    """

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status
