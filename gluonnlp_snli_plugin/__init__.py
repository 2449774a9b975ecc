"""Natural language inference with BERT in GluonNLP.

``import gluonnlp_snli_plugin`` registers the SNLI data and task, pair truncation, a BERT classification head and more
BERT backbones in GluonNLP's own registries; :func:`deactivate` takes them out again.
"""

import os
import sys

from . import compat
from .parallel import cluster
from .system import threads

compat.repair_numpy_when_mxnet_is_imported()
cluster.prepare()
try:
    with threads.short_waits():
        import mxnet  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "mxnet":
        raise
    message = (
        "gluonnlp_snli_plugin needs MXNet 1.9.1: pip install --no-deps mxnet==1.9.1 for CPU, or the mxnet-cu* wheel of "
        "your CUDA (docs/installation.md)"
    )
    if os.path.basename(sys.argv[0]) == "gluonnlp-snli":  # a command gets one line, not a traceback
        sys.exit(f"gluonnlp-snli: error: {message}")
    raise ImportError(message, name="mxnet") from None

from . import native, store  # noqa: E402, F401
from .data import truncation  # noqa: E402, F401
from .formats import models  # noqa: E402, F401
from .model import bert  # noqa: E402, F401
from .registry import activate, deactivate  # noqa: E402
from .tasks import snli, task  # noqa: E402, F401
from .version import __version__  # noqa: E402

activate()

from .data.encoding import PairEncoder  # noqa: E402
from .errors import PluginError  # noqa: E402
from .evaluate.evaluation import evaluate  # noqa: E402
from .evaluate.predictor import Predictor  # noqa: E402
from .formats.importing import import_bert  # noqa: E402
from .report import write_report  # noqa: E402
from .store.train_vocab import train_vocabulary  # noqa: E402
from .train.finetuning import finetune  # noqa: E402
from .train.pretraining import pretrain  # noqa: E402

__all__ = [
    "PairEncoder",
    "PluginError",
    "Predictor",
    "__version__",
    "activate",
    "deactivate",
    "evaluate",
    "finetune",
    "import_bert",
    "pretrain",
    "train_vocabulary",
    "write_report",
]
