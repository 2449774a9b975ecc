"""This package's own format: an output folder, whose ``model/`` folder holds the model."""

import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from .. import registry
from .format import Format, content_of
from .job import Job, logits_of
from .model_folder import Model, load_model, save_model


@registry.format("model")
class OutputFolder(Format):
    """The folder that ``finetune`` writes: what it exports can be moved to a machine without a model store."""

    description = "a folder as finetune's, for all commands"
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
