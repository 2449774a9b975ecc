"""GluonNLP's parameter files: of a fine-tuned ``BERTClassifier``, read and written, and of a BERT alone, read."""

import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ... import registry
from ...errors import CheckpointError
from ...store.pretrained import PretrainedBert
from ..format import Format, PathLike
from ..job import Job
from ..model_folder import Model
from . import classifier, export, parameters


@registry.format("gluonnlp")
class GluonNLPParams(Format):
    """A ``.params`` file that ``nlp.utils.save_parameters`` wrote; the export puts a vocabulary beside it."""

    description = "a .params file for --model_parameters of GluonNLP's script"

    def can_read(self, path: Path) -> bool:
        is_file = os.path.isfile(path) or (path.suffix == ".params" and not os.path.isdir(path))
        return is_file or super().can_read(path)

    def read(
        self,
        path: Path,
        ctx: Any = None,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
        root: Optional[str] = None,
    ) -> Model:
        if os.path.isdir(path):  # an export, whose file needs options
            return super().read(path)
        return classifier.read_classifier(path, ctx, dataset_name, backbone, root)

    def read_bert(
        self, path: PathLike, name: str, vocab: Optional[PathLike], backbone: Optional[str], root: Optional[str]
    ) -> PretrainedBert:
        if Path(path).suffix != ".params":
            raise CheckpointError(
                f"{path} is not a folder: give the folder that holds config.json and model.safetensors, or a .params "
                "file"
            )
        return parameters.read_bert(path, name, vocab, backbone, root)

    def write(self, job: Job, folder: Path) -> None:
        export.write(job, folder)

    def check(self, job: Job, folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        return export.check(job, folder), {}
