"""Saves and restores everything that changes while a run trains."""

import time
from pathlib import Path
from typing import Any, Dict

from ...errors import CheckpointError, PluginError
from ...parallel.ranks import Ranks
from ..job import Job, Stateful
from .checkpoint import Checkpoints


class Snapshots:
    """Writes the checkpoints of a run, and loads the newest one.

    Called by all ranks alike; rank 0 writes.

    Parameters
    ----------
    folder : Path
        The output folder, which on resuming all ranks must see.
    keep : int
    job : Job
        Its engine holds weights and moments; meter, evaluator and batches are :class:`.job.Stateful`.
    ranks : Ranks
    output : OutputFolder or NoOutput
    run : dict
        What does not change; a resumed run is compared with it, see :mod:`.record_check`.

    Attributes
    ----------
    seconds_to_write : float
        Time that the last checkpoint took.
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        job: Job,
        ranks: Ranks,
        output: Any,
        run: Dict[str, Any],
    ) -> None:
        self._checkpoints = Checkpoints(folder / "checkpoints", keep)
        self._engine, self._ranks, self._output, self._run = job.engine, ranks, output, run
        self._parts: Dict[str, Stateful] = {"meter": job.meter, "best": job.evaluator, "stream": job.update_batches}
        self._last = -1
        self.seconds_to_write = 0.0

    def write(self, wait: bool = False) -> None:
        """Write a checkpoint, in the background unless told to wait."""
        begin = time.perf_counter()
        state: Dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        update = self._engine.num_updates_done
        if self._ranks.rank == 0 and update != self._last:
            arrays, numbers = self._engine.state()
            state.update(run=self._run, optimizer=numbers, metrics=self._output.state_dict())
            self._checkpoints.write(update, arrays, state)
            self._last = update
        if wait:
            self._checkpoints.wait()
            self._ranks.wait()  # no rank exits before it is written: the launcher would end the others
            self.seconds_to_write = time.perf_counter() - begin

    def wait(self) -> None:
        """Wait until the last checkpoint is on the disk."""
        self._checkpoints.wait()

    def resume(self) -> int:
        """Restore the state of the newest checkpoint.

        Returns
        -------
        int
            Updates done: 0 if there is no checkpoint.

        Raises
        ------
        PluginError
            If the checkpoint is not one of this run, or the ranks do not see the same one.
        """
        found = self._checkpoints.newest()
        update = found.update if found else 0
        if len(set(self._ranks.gather([update]).ravel().tolist())) > 1:
            raise PluginError("the ranks see different checkpoints: resume from a folder that all of them see")
        if found is None:
            self._output.load_state_dict(None)
            return 0
        try:
            self._engine.load_state(found.arrays, found.state["optimizer"], f"checkpoint {update}")
            for name, part in self._parts.items():
                part.load_state_dict(found.state[name])
            self._output.load_state_dict(found.state["metrics"])
        except KeyError as error:
            raise CheckpointError(f"checkpoint {update} is of another net: {error} is missing") from None
        self._ranks.wait()  # until all have read theirs
        if self._ranks.rank == 0:
            self._checkpoints.tidy()
        self._last = update
        return update
