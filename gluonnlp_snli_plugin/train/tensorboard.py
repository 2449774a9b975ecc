"""Metrics for TensorBoard, which shows them while a run goes on."""

from ..errors import UsageError


class Scalars:
    """Writes scalars to a folder.

    Parameters
    ----------
    folder : Path
        Not made before the first scalar.

    Raises
    ------
    UsageError
        If tensorboardX is not installed.
    """

    def __init__(self, folder):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            how = "pip install 'gluonnlp-snli-plugin[tensorboard]'"
            raise UsageError(f"--tensorboard needs tensorboardX: {how}") from None
        self._folder, self._make, self._writer = folder, SummaryWriter, None

    def add(self, kind, update, figures):
        """Add figures after so many updates, as ``KIND/NAME``."""
        if self._writer is None:
            # A run that is resumed comes again by updates that it had been through: TensorBoard forgets those.
            # A name of its own, or a run resumed within a second would lose what it had written.
            self._writer = self._make(str(self._folder), purge_step=update, filename_suffix=f".{update:09d}")
        for name, value in figures.items():
            self._writer.add_scalar(f"{kind}/{name}", value, update)
        self._writer.flush()

    def close(self):
        if self._writer:
            self._writer.close()
