"""The errors a user can act on: one family, one line each."""


class PluginError(Exception):
    """Something outside the program is wrong: a file, a name, a setting.

    The message is one line that says what is wrong, where, and what to do.
    """

    def __str__(self):
        # File names and texts of others may hold line ends, terminal commands, or marks that turn text around.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in super().__str__())


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
        Exit status of the command: 128 and the signal's number, or 75 when its time was up.
    """

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status
