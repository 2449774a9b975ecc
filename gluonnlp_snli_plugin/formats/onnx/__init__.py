"""ONNX: one file for ONNX Runtime and others, with the tokenizer and an example; read back, it is a model like any."""

import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ... import registry
from ..format import Format
from ..job import Job, encode_rows, logits_of
from ..model_folder import Model
from . import export
from .layout import GRAPH


@registry.format("onnx")
class Onnx(Format):
    """A folder with ``model.onnx``. ``Predictor.load`` computes it with ONNX Runtime, in float32 on CPU."""

    description = "model.onnx for ONNX Runtime and others"
    packages = ("onnx", "onnxruntime")
    extra = "onnx"

    def can_read(self, path: Path) -> bool:
        return os.path.isfile(path / GRAPH)

    def read(
        self,
        path: Path,
        ctx: Any = None,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
        root: Optional[str] = None,
    ) -> Model:
        from .reader import read

        return read(path, ctx)

    def write(self, job: Job, folder: Path) -> None:
        export.write(job, folder)

    def check(self, job: Job, folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        """Logits of the folder, whose own vocabulary and settings make the inputs."""
        import onnxruntime

        model = self.read(folder)
        return logits_of(model.net, encode_rows(model, job.rows)), {"onnxruntime": onnxruntime.__version__}
