"""Metrics for TensorBoard, which shows them while a run goes on."""

import time
from typing import Any, Dict

from ..errors import UsageError


class Scalars:
    """Writes scalars to a folder.

    Not with tensorboardX's ``SummaryWriter``, whose thread would swallow a full disk, and then keep the run waiting.

    Parameters
    ----------
    folder : Path
        Not made before the first scalar.

    Raises
    ------
    UsageError
        If tensorboardX is not installed.
    """

    def __init__(self, folder: Any) -> None:
        try:
            import tensorboardX.event_file_writer
        except ImportError:
            how = "pip install 'gluonnlp-snli-plugin[tensorboard]'"
            raise UsageError(f"--tensorboard needs tensorboardX: {how}") from None
        self._folder, self._package = folder, tensorboardX
        self._file: Any = None

    def add(self, kind: Any, update: int, figures: Dict[str, float]) -> None:
        """Add figures after so many updates, as ``KIND/NAME``; they are on the disk at once."""
        if self._file is None:
            self._folder.mkdir(exist_ok=True)
            # A name of its own, or a run resumed within a second would lose what it had written.
            prefix, suffix = str(self._folder / "events"), f".{update:09d}"
            self._file = self._package.event_file_writer.EventsWriter(prefix, suffix)
            # A run that is resumed comes again by updates that it had been through: TensorBoard forgets those.
            self._write(update, session_log={"status": "START"})
        for name, value in figures.items():
            self._write(update, summary=self._package.summary.scalar(f"{kind}/{name}", value))
        self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _write(self, update: int, **content: Any) -> None:
        event = self._package.proto.event_pb2.Event(wall_time=time.time(), step=update, **content)
        self._file.write_event(event)
