"""The public names of the package. Importing this module imports MXNet and GluonNLP, and activates the plugin."""

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
    raise ImportError(
        "gluonnlp_snli_plugin needs MXNet 1.9.1: pip install --no-deps mxnet==1.9.1 for CPU, or the mxnet-cu* wheel of "
        "your CUDA (docs/installation.md)",
        name="mxnet",
    ) from None

from . import store  # noqa: E402, F401
from .data import truncation  # noqa: E402
from .data.batches import LengthBucketBatches  # noqa: E402
from .data.encoding import EncodedPairs, PairEncoder  # noqa: E402
from .errors import PluginError  # noqa: E402
from .evaluate.evaluation import evaluate  # noqa: E402
from .evaluate.predictor import Predictor  # noqa: E402
from .formats import export, models  # noqa: E402, F401
from .formats.importing import import_bert  # noqa: E402
from .model import bert  # noqa: E402, F401
from .native import accelerate  # noqa: E402
from .registry import activate, deactivate  # noqa: E402
from .report import write_report  # noqa: E402
from .store.train_vocab import train_vocabulary  # noqa: E402
from .tasks import corpora, glue, snli  # noqa: E402, F401
from .train.finetuning import finetune  # noqa: E402
from .train.pretraining import pretrain  # noqa: E402

activate()  # all modules that register something have been imported

__all__ = [
    "EncodedPairs",
    "LengthBucketBatches",
    "PairEncoder",
    "PluginError",
    "Predictor",
    "accelerate",
    "activate",
    "deactivate",
    "evaluate",
    "export",
    "finetune",
    "import_bert",
    "pretrain",
    "train_vocabulary",
    "truncation",
    "write_report",
]
