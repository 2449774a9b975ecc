"""Hugging Face's checkpoint layout: of a BERT, read, and of a fine-tuned classifier, read and written."""

import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ... import registry
from ...errors import UsageError
from ...store.pretrained import PretrainedBert
from ..format import Format, PathLike, content_of
from ..job import Job
from ..model_folder import Model
from . import checkpoint, classifier, export


@registry.format("huggingface")
class HuggingFace(Format):
    """A folder that ``transformers`` loads, with safetensors for the weights."""

    description = "a folder for transformers' AutoModelForSequenceClassification"

    def can_read(self, path: Path) -> bool:
        config = content_of(path / "config.json")
        is_ours = "format" in config or os.path.isdir(path / "model")
        return not is_ours and ("model_type" in config or "architectures" in config)

    def read(
        self,
        path: Path,
        ctx: Any = None,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
        root: Optional[str] = None,
    ) -> Model:
        return classifier.read_classifier(path, ctx=ctx)

    def read_bert(
        self, path: PathLike, name: str, vocab: Optional[PathLike], backbone: Optional[str], root: Optional[str]
    ) -> PretrainedBert:
        for option, value in (("vocab", vocab), ("backbone", backbone)):
            if value is not None:
                raise UsageError(f"--{option} goes with a .params file; a folder in Hugging Face's layout has its own")
        return checkpoint.read_huggingface(path, name)

    def write(self, job: Job, folder: Path) -> None:
        export.write(job, folder)

    def check(self, job: Job, folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        return export.check(job, folder), {}
