"""Ways out: a fine-tuned model in the formats of other programs, each checked against the model that it was made of."""

import contextlib
import importlib
import time
from pathlib import Path
from typing import Dict, NamedTuple

import mxnet as mx
import numpy as np

from ..errors import CheckpointError, UsageError
from ..system.files import new_folder, write_json, writing
from .job import Job

MARK = "export.json"

#: format -> what there will be. Each is the module of that name here, with `TOLERANCE` and the functions `require`
#: (complains of packages that are missing), `write` (job, folder) and `check` (job, folder), which loads what was
#: written and returns its logits and what else there is to say, a dict.
FORMATS = {
    "onnx": "model.onnx for ONNX Runtime and others",
    "huggingface": "a folder for transformers' AutoModelForSequenceClassification",
    "symbol": "MXNet's -symbol.json and -0000.params",
    "gluonnlp": "a .params file for --model_parameters of GluonNLP's script",
}


class Exported(NamedTuple):
    """What was exported, and how near it is to the model that it was made of."""

    folder: Path
    format: str
    difference: float  #: the largest of the logits
    tolerance: float
    num_pairs: int  #: that both were asked
    more: Dict[str, str]  #: what else there is to say


def export(model, format, to, file=None, overwrite=False, dataset_name=None, backbone=None):
    """Write a fine-tuned model in another format, and check that it gives the same logits.

    Parameters
    ----------
    model : str or Path
        Output folder of ``finetune``, or a ``.params`` file of a ``gluonnlp.model.BERTClassifier``.
    format : {'onnx', 'huggingface', 'symbol', 'gluonnlp'}
    to : str or Path
        Folder to write, whole or not at all.
    file : str, Path or None
        Pairs to check with, in SNLI's format; default: the dev pairs of the embedded sample.
    overwrite : bool, default False
        Whether to replace an export that is there.
    dataset_name, backbone : str or None
        Of a ``.params`` file, see :meth:`Predictor.load`.

    Returns
    -------
    Exported

    Raises
    ------
    UsageError
        If there is no such format, a package for it is missing, the model cannot be expressed in it, or something is
        at `to` already.
    CheckpointError
        If there is no model, the folder cannot be written, or what was written gives other logits.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; choose from {', '.join(FORMATS)}")
    module = importlib.import_module(".huggingface.export" if format == "huggingface" else f".{format}", __name__)
    module.require()
    with _writing(to), new_folder(to, MARK, overwrite) as folder:
        job = Job.of(model, file, dataset_name, backbone)
        module.write(job, folder)
        logits, more = module.check(job, folder)
        difference = float(np.abs(logits - job.logits).max())
        if not difference <= module.TOLERANCE:  # nor where it is no number
            raise CheckpointError(
                f"{format}: the logits differ by up to {difference:.2g} on {job.pairs_name}, more than "
                f"{module.TOLERANCE:g}: nothing was written"
            )
        record = {
            "format": format,
            "model": str(model),
            "largest_difference": difference,
            "tolerance": module.TOLERANCE,
            "pairs": len(job.rows),
            "pairs_from": job.pairs_name,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **more,
        }
        write_json(folder / MARK, record)
    return Exported(Path(to), format, difference, module.TOLERANCE, len(job.rows), more)


@contextlib.contextmanager
def _writing(to):
    """Turn what goes wrong in writing into one line."""
    try:
        with writing(to, CheckpointError):
            yield
    except mx.MXNetError as error:
        if "local_filesys" not in str(error):  # which writes the files
            raise
        raise CheckpointError(f"cannot write to {to}: {str(error).strip().splitlines()[-1]}") from None
