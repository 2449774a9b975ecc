"""What is exported: a fine-tuned model, where it came from, and pairs with the logits it gives for them."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List

import mxnet as mx
import numpy as np

from ..data.batches import LengthBucketBatches
from ..data.encoding import EncodedPairs
from ..data.nli import LABELS
from ..data.reader import PairReader
from ..errors import CheckpointError, DataError
from ..native.accelerate import restore
from ..system.reading import read_json
from ..tasks.sample import sample_pairs
from .classifier_file import load_finetuned
from .model_folder import Model

_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Job:
    """A model on its way out.

    Attributes
    ----------
    model : Model
        Float32 and on CPU, of MXNet's own operators alone.
    source : Path
        What it was read from.
    rows : list of [premise, hypothesis, label or None]
    pairs_name : str
        What these pairs are, for people.
    encoded : EncodedPairs
        The rows as the model's inputs, their labels left out.
    logits : ndarray of float32, shape (pairs, classes)
        What the model makes of them.
    """

    model: Model
    source: Path
    rows: List[List[Any]]
    pairs_name: str
    encoded: EncodedPairs
    logits: np.ndarray

    @classmethod
    def of(cls, path, file=None, dataset_name=None, backbone=None):
        """Read a fine-tuned model, and ask it.

        Parameters
        ----------
        path : str or Path
            Output folder of ``finetune``, or a ``.params`` file of a ``BERTClassifier``.
        file : str, Path or None
            Pairs in SNLI's format, with labels or without; default: the dev pairs of the embedded sample.
        dataset_name, backbone : str or None
            Of a ``.params`` file.

        Returns
        -------
        Job
        """
        model = load_finetuned(path, None, dataset_name, backbone)
        restore(model.net)
        model.net.hybridize(static_alloc=True)
        name = "the embedded sample's dev pairs" if file is None else str(file)
        rows = [list(row) for row in (sample_pairs("dev") if file is None else PairReader(file, labelled=False))]
        if not rows:
            raise DataError(f"{file} has no pairs")
        encoded = model.encoder().encode([row[0] for row in rows], [row[1] for row in rows])
        logits = logits_of(net_function(model.net), encoded)
        if not np.isfinite(logits).all():
            raise CheckpointError(f"{path}: its answers are not finite numbers: its weights are damaged")
        return cls(model, Path(path), rows, name, encoded, logits)

    def parameters(self):
        """The model's parameters by the names in its file, a dict of ndarray of float32."""
        named = self.model.net._collect_params_with_prefix().items()
        return {name: parameter.data(mx.cpu()).asnumpy() for name, parameter in named}

    def record(self, name):
        """``config.json`` or ``summary.json`` of the run that trained the model; empty where there is none."""
        try:
            content = read_json(self.source / name)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def settings(self) -> Dict[str, Any]:
        """What it takes besides a graph to go from text to a label, ready for JSON."""
        settings, vocab = self.model.settings, self.model.vocab
        return {
            "labels": list(settings.labels),
            "max_len": settings.max_len,
            "truncation": settings.truncation,
            "lower_case": settings.tokenizer.lower,
            "cls_id": vocab[vocab.cls_token],
            "sep_id": vocab[vocab.sep_token],
            "pad_id": vocab[vocab.padding_token],
        }


def logits_of(function, encoded, num_classes=len(LABELS)):
    """What a function of a :class:`Batch` gives for encoded pairs, ndarray of float32, shape (pairs, num_classes)."""
    logits = np.zeros((len(encoded), num_classes), np.float32)
    for batch in LengthBucketBatches(encoded, _BATCH_SIZE, shuffle=False):
        logits[batch.index] = function(batch)
    return logits


def net_function(net):
    """A net of MXNet's that takes input ids, segment ids and lengths, as :func:`logits_of` wants it."""

    def function(batch):
        return net(*(mx.nd.array(array, dtype=array.dtype) for array in batch[:3])).asnumpy()

    return function
