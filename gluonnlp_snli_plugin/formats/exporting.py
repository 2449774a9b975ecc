"""Writes a fine-tuned model in another format, and checks it against the model that it was made from."""

import contextlib
import time
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional

import mxnet as mx
import numpy as np

from ..errors import CheckpointError
from ..system.files import new_folder, write_json, writing
from .format import MARK, PathLike, format_named
from .job import Job


class Exported(NamedTuple):
    """What was exported, and how near its logits are to those of the model that it was made from."""

    folder: Path
    format: str
    difference: float  #: the largest of the logits
    tolerance: float
    num_pairs: int  #: whose logits were compared
    more: Dict[str, str]  #: what else to tell the user


def export(
    model: PathLike,
    format: str,
    to: PathLike,
    file: Optional[PathLike] = None,
    overwrite: bool = False,
    dataset_name: Optional[str] = None,
    backbone: Optional[str] = None,
) -> Exported:
    """Write a fine-tuned model in another format, and check that it gives the same logits.

    Parameters
    ----------
    model : str or Path
        Output folder of ``finetune``, or another model that :meth:`Predictor.load` reads; not an ONNX folder.
    format : {'onnx', 'huggingface', 'symbol', 'gluonnlp', 'model'}
        Or another that is registered.
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
    chosen = format_named(format)
    chosen.require()
    with _writing(to), new_folder(to, MARK, overwrite) as folder:
        job = Job.of(model, file, dataset_name, backbone)
        chosen.write(job, folder)
        logits, more = chosen.check(job, folder)
        difference = float(np.abs(logits - job.logits).max())
        if not difference <= chosen.tolerance:  # true of NaN as well
            raise CheckpointError(
                f"{format}: the logits differ by up to {difference:.2g} on {job.pairs_name}, more than "
                f"{chosen.tolerance:g}: nothing was written"
            )
        record = {
            "format": chosen.name,
            "model": str(model),
            "largest_difference": difference,
            "tolerance": chosen.tolerance,
            "pairs": len(job.rows),
            "pairs_from": job.pairs_name,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **more,
        }
        write_json(folder / MARK, record)
    return Exported(Path(to), format, difference, chosen.tolerance, len(job.rows), more)


@contextlib.contextmanager
def _writing(to: PathLike) -> Iterator[None]:
    """Turn what goes wrong in writing into one line."""
    try:
        with writing(to, CheckpointError):
            yield
    except mx.MXNetError as error:
        if "local_filesys" not in str(error):  # which writes the files
            raise
        raise CheckpointError(f"cannot write to {to}: {str(error).strip().splitlines()[-1]}") from None
