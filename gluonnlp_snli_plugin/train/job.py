"""The protocols of what the training loop trains."""

from typing import Any, Dict, Iterator, Protocol

from .engines.engine import Engine
from .progress import Meter
from .update_batches import Group


class Stateful(Protocol):
    """Something that changes while a run trains, and that a checkpoint therefore holds."""

    def state_dict(self) -> Dict[str, Any]:
        """What :meth:`load_state_dict` needs, in a form that JSON can hold."""

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Continue from a state of :meth:`state_dict`."""


class Evaluator(Stateful, Protocol):
    """Measures how good the net is on pairs or texts that it is not trained on."""

    is_final: bool  #: whether the run ends here, before its last update

    def evaluate(self, epoch: int, update: int) -> None:
        """Evaluate the net as it is, and write the figures to the output."""


class UpdateSource(Stateful, Protocol):
    """Gives the batches of a run, update by update."""

    def __iter__(self) -> Iterator[Group]: ...


class Job(Protocol):
    """What a run trains: :class:`.finetuning.FineTuning` or :class:`.pretraining.Pretraining`, built from a ``Run``."""

    num_updates: int  #: of the whole run
    has_epochs: bool  #: whether the end of an epoch is a time to evaluate and to write a checkpoint
    evaluates_first: bool  #: whether to evaluate before the first update

    @property
    def engine(self) -> Engine: ...

    @property
    def update_batches(self) -> UpdateSource: ...

    @property
    def meter(self) -> Meter: ...

    @property
    def evaluator(self) -> Evaluator: ...

    def circumstances(self) -> Dict[str, Any]:
        """What the result depends on besides the settings, for ``config.json``."""

    def finish(self) -> Dict[str, Any]:
        """Complete the output after the last update; returns figures for ``summary.json``."""

    @staticmethod
    def report(folder: str) -> None:
        """Write the report of the run in an output folder."""
