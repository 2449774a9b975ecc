"""A run in the middle: takes everything that changes while it trains, and puts it back."""

import time

from ..errors import CheckpointError, PluginError
from .checkpoint import Checkpoints


class Snapshots:
    """Writes the checkpoints of a run, and takes up the newest one.

    Called by all ranks alike; rank 0 writes.

    Parameters
    ----------
    folder : Path
        The output folder, which on resuming all ranks must see.
    keep : int
    net : HybridBlock
    ranks : Ranks
    output : OutputFolder or NoOutput
    parts : dict of str to object
        What else changes, by name: each with ``state()``, which gives what JSON can hold, and ``go_on_from(state)``.
    run : dict
        What does not change, and what a run that is resumed is compared with, see :mod:`.record_check`.
    optimizer : Optimizer

    Attributes
    ----------
    seconds_to_write : float
        What the last one took.
    """

    def __init__(self, folder, keep, net, optimizer, ranks, output, parts, run):
        self._checkpoints = Checkpoints(folder / "checkpoints", keep)
        self._net, self._optimizer, self._ranks, self._output, self._parts = net, optimizer, ranks, output, parts
        self._run = run
        self._last = -1
        self.seconds_to_write = 0.0

    def write(self, wait=False):
        """Write a checkpoint, in the background unless told to wait."""
        begin = time.perf_counter()
        state = {name: part.state() for name, part in self._parts.items()}
        update = self._optimizer.num_updates_done
        if self._ranks.rank == 0 and update != self._last:
            arrays, numbers = self._optimizer.state()
            arrays.update(
                (f"weight/{name}", parameter.list_data()[0])
                for name, parameter in self._net._collect_params_with_prefix().items()
            )
            state.update(run=self._run, optimizer=numbers, metrics=self._output.metrics_state())
            self._checkpoints.write(update, arrays, state)
            self._last = update
        if wait:
            self._checkpoints.wait()
            self._ranks.wait()  # nobody leaves before it is there: the launcher would end the others
            self.seconds_to_write = time.perf_counter() - begin

    def wait(self):
        """Wait until the last checkpoint is on the disk."""
        self._checkpoints.wait()

    def resume(self):
        """Put everything back as the newest checkpoint has it.

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
            self._output.go_on_from(None)
            return 0
        try:
            for name, parameter in self._net._collect_params_with_prefix().items():
                array = found.arrays[f"weight/{name}"]
                if array.shape != parameter.shape:
                    raise CheckpointError(f"checkpoint {update}: {name} is {array.shape}, not {parameter.shape}")
                for data in parameter.list_data():
                    data[:] = array
            self._optimizer.go_on_from(found.arrays, found.state["optimizer"])
            for name, part in self._parts.items():
                part.go_on_from(found.state[name])
            self._output.go_on_from(found.state["metrics"])
        except KeyError as error:
            raise CheckpointError(f"checkpoint {update} is one of another net: {error} is missing") from None
        self._ranks.wait()  # until all have read theirs
        if self._ranks.rank == 0:
            self._checkpoints.tidy()
        self._last = update
        return update
