"""This package's own format: an output folder, whose ``model/`` folder holds the model."""

import os
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np

from .. import registry
from .format import Format, content_of
from .job import Job, logits_of
from .model_folder import Model, load_model, save_model


@registry.format("model")
class OutputFolder(Format):
    """The folder that ``finetune`` writes: what it exports can be moved to a machine without a model store."""

    description = "a folder like finetune's, for all commands"
    tolerance = 1e-6

    def can_read(self, path: Path) -> bool:
        config = content_of(path / "config.json")
        return os.path.isdir(path / "model") or ("format" in config and "settings" in config)

    def read(
        self,
        path: Path,
        ctx: Any = None,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
        root: Optional[str] = None,
    ) -> Model:
        return load_model(path, ctx)

    def write(self, job: Job, folder: Path) -> None:
        save_model(job.model, folder / "model")

    def check(self, job: Job, folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        return logits_of(load_model(folder).net, job.encoded), {}


def scores_in(config: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[Tuple[str, str, float]]:
    """The scores of a run: accuracy, and what the metric of its task measures besides.

    Parameters
    ----------
    config, summary : dict
        What ``config.json`` and ``summary.json`` of the run hold.

    Yields
    ------
    name : str
        What the run was scored on, such as 'dev' or 'test_hans'.
    figure : str
        What was measured, such as 'accuracy'.
    value : float
    """
    data = config.get("data")
    names = [name for name in data if name.split()[0] != "train"] if isinstance(data, dict) else []  # 'train 1', ...
    for name in names:
        longer = tuple(f"{other}_" for other in names if other.startswith(f"{name}_"))
        for key, value in summary.items():
            is_its = key.startswith(f"{name}_") and not key.startswith(longer) and key != f"{name}_pairs_per_second"
            if is_its and isinstance(value, float):
                yield name, key[len(name) + 1 :], value
