"""Metrics for TensorBoard, which shows them during a run."""

import time
from pathlib import Path
from typing import Any, Dict

from ..errors import UsageError


class Scalars:
    """Writes scalars to a folder.

    Not with tensorboardX's ``SummaryWriter``, whose thread hides the error of a full disk and then blocks the run.

    Parameters
    ----------
    folder : Path
        Created with the first scalar.

    Raises
    ------
    UsageError
        If tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboardX.event_file_writer
        except ImportError:
            how = "pip install 'gluonnlp-snli-plugin[tensorboard]'"
            raise UsageError(f"--tensorboard needs tensorboardX: {how}") from None
        self._folder, self._package = folder, tensorboardX
        self._file: Any = None

    def add(self, kind: str, update: int, figures: Dict[str, float]) -> None:
        """Add figures after this many updates, as ``KIND/NAME``; they are on the disk at once."""
        if self._file is None:
            self._folder.mkdir(exist_ok=True)
            # A unique name: a run resumed within a second would overwrite its earlier file.
            prefix, suffix = str(self._folder / "events"), f".{update:09d}"
            self._file = self._package.event_file_writer.EventsWriter(prefix, suffix)
            # A resumed run repeats updates made after its checkpoint: TensorBoard drops the earlier figures.
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
