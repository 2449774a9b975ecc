"""Who takes part in the benchmark: one more contender is one more entry, and perhaps a program in ``contenders/``."""

import os
import sys
from pathlib import Path
from typing import Any, Dict, NamedTuple

from gluonnlp_snli_plugin import PluginError

from . import reference_env

REFERENCE = "ours"  # with whom the others are compared
SCRIPT = "scripts/bert/finetune_classifier.py"


class Entry(NamedTuple):
    """A contender.

    Attributes
    ----------
    title : str
    module : str
        Its program in ``contenders/``.
    job : dict
        What it is told besides what all are told. For this project, ``settings`` go to ``finetune``.
    in_reference_env : bool
        Whether it needs torch and transformers instead of MXNet.
    is_low_precision : bool
        Whether its matrix products may be of less than 32 bits.
    has_all_cores : bool
        Whether it gets a thread for each core where it would choose fewer.
    """

    title: str
    module: str
    job: Dict[str, Any] = {}
    in_reference_env: bool = False
    is_low_precision: bool = False
    has_all_cores: bool = False


def _ours(scorer="float32", **settings):
    return {"settings": settings, "scorer": scorer}


def entries():
    """All contenders by name."""
    return {
        REFERENCE: Entry("this project", "ours.py", _ours()),
        "ours-no-native": Entry("this project, `--no-native`", "ours.py", _ours(no_native=True)),
        "ours-int8": Entry("this project, evaluation with `--dtype int8`", "ours.py", _ours("int8")),
        "ours-bf16": Entry(
            "this project, `--dtype bfloat16`", "ours.py", _ours(dtype="bfloat16"), is_low_precision=True
        ),
        "onnx": Entry("ONNX Runtime, evaluation of this project's export", "ours.py", _ours("onnx")),
        "onnx-int8": Entry("ONNX Runtime, the same with `quantize_dynamic`", "ours.py", _ours("onnx-int8")),
        **_gluonnlp(),
        "chapter": Entry("the *Dive into Deep Learning* chapter, reimplemented", "chapter.py"),
        "hugging-face": _hugging_face("fp32, by length"),
        "hugging-face-bf16": _hugging_face("bf16, by length", bf16=True),
        "hugging-face-padded": _hugging_face("fp32, padded as `run_glue.py`", padded=True, eval_batch_size=8),
    }


def _gluonnlp():
    """GluonNLP's script: the real one from a checkout, or its loop reimplemented."""
    checkout = os.environ.get("GLUONNLP_SCRIPTS")
    if checkout:
        script = Path(checkout, SCRIPT).absolute()
        if not script.is_file():
            raise PluginError(f"GLUONNLP_SCRIPTS is {checkout}, which has no {SCRIPT}")
        job = {"script": str(script), "native": False}
        found = {"gluonnlp": Entry("GluonNLP's script", "gluonnlp_original.py", job)}
    else:
        title = "GluonNLP's script, reimplemented"
        found = {"gluonnlp": Entry(title, "gluonnlp_script.py", {"eval_batch_size": 8})}
    plain = found["gluonnlp"]
    found["gluonnlp-all-cores"] = plain._replace(title=f"{plain.title}, a thread for each core", has_all_cores=True)
    if checkout:
        title = "GluonNLP's script, by `gluonnlp-snli run`"
        found["gluonnlp-run"] = plain._replace(title=title, job={**plain.job, "native": True})
    return found


def _hugging_face(how, bf16=False, padded=False, **job):
    title, job = f"Hugging Face Trainer, {how}", {"bf16": bf16, "padded": padded, **job}
    return Entry(title, "hugging_face.py", job, in_reference_env=True, is_low_precision=bf16)


def chosen(names):
    """The entries of a list of names with commas between them, or all.

    Raises
    ------
    PluginError
        If there is no such contender.
    """
    found = entries()
    if names is None:
        return found
    for name in names.split(","):
        if name not in found:
            raise PluginError(f"no contender {name!r}; there are {', '.join(found)}")
    return {name: found[name] for name in names.split(",")}


def python_of(entry, options):
    """The Python that an entry runs in; its environment is made where it is missing."""
    if entry.in_reference_env:
        return reference_env.reference_python(options.reference_env, options.reference_python)
    return sys.executable
