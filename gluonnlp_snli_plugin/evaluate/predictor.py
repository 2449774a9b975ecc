"""Answers for pairs of sentences from a fine-tuned model."""

import itertools
from typing import Dict, NamedTuple

import mxnet as mx
import numpy as np

from ..errors import CheckpointError, UsageError
from ..formats.classifier_file import load_finetuned
from ..model.inference import logits, probabilities
from ..native import accelerate, dtype_for_inference, require_cpu, use_bfloat16
from ..native.int8 import quantize
from ..system import threads
from .explanation import explain

DTYPES = ("float32", "bfloat16", "int8")
_CHUNK = 1024  # pairs sorted by length together


class Prediction(NamedTuple):
    """The answer for one pair."""

    label: str  #: the likeliest label
    probabilities: Dict[str, float]  #: of every label, in the order of the model's classes

    def to_dict(self):
        """The same as JSON holds it, numbers rounded."""
        rounded = {name: round(value, 6) for name, value in self.probabilities.items()}
        return {"label": self.label, "probabilities": rounded}


class Predictor:
    """A fine-tuned model that takes sentences.

    Parameters
    ----------
    model : Model
    contexts : list of Context or None
        The devices that hold the model, default CPU.
    batch_size : int, default 64
    dtype : {'float32', 'bfloat16', 'int8'}, default 'float32'
        'bfloat16': matrix products in bfloat16, on CPU (:func:`gluonnlp_snli_plugin.native.accelerate`); 'int8': dense
        layers with 8-bit integers, on CPU (:func:`.int8.quantize`). A processor without instructions for either
        computes in float32, and a line in the log says so.
    native : bool, default True
        Whether the model uses the C++ operators on CPU (:func:`gluonnlp_snli_plugin.native.accelerate`).

    Attributes
    ----------
    num_truncated : int
        Pairs among those answered so far that were longer than the model takes, and were cut.

    Raises
    ------
    UsageError
        If there can be no such batches, or that precision is not to be had.

    Examples
    --------
    >>> predictor = Predictor.load('out')
    >>> predictor([('Two dogs run through the snow.', 'The dogs are asleep.')])[0].label
    'contradiction'
    """

    def __init__(self, model, contexts=None, batch_size=64, dtype="float32", native=True):
        if batch_size < 1:
            raise UsageError(f"--batch-size is {batch_size}; it must be at least 1")
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
        if dtype != "float32" and not native:
            raise UsageError(f"--dtype {dtype} needs the C++ operators, which --no-native leaves out")
        self.labels = model.settings.labels
        self.encoder = model.encoder()
        self._contexts = contexts or [mx.cpu()]
        threads.use_cores(self._contexts)
        dtype = dtype_for_inference(dtype)
        if dtype == "bfloat16":
            use_bfloat16(model.net)
        elif native:
            accelerate(model.net)
        self._net = quantize(model.net) if dtype == "int8" else model.net
        self._net.hybridize(static_alloc=True)
        self._model = model
        self._batch_size = batch_size
        self.num_truncated = 0

    @classmethod
    def load(cls, folder, contexts=None, batch_size=64, dataset_name=None, backbone=None, dtype="float32", native=True):
        """Read the model of an output folder of ``finetune``, or a file of GluonNLP's own fine-tuning script.

        Parameters
        ----------
        folder : str or Path
            The folder, or a ``.params`` file of a ``gluonnlp.model.BERTClassifier``.
        contexts : list of Context or None
            Devices to use, default CPU.
        batch_size : int, default 64
        dataset_name : str or None
            Which vocabulary of the model store a ``.params`` file is for.
        backbone : str or None
            Architecture of a ``.params`` file, where the store has several under that name.
        dtype : {'float32', 'bfloat16', 'int8'}, default 'float32'
        native : bool, default True

        Returns
        -------
        Predictor

        Raises
        ------
        UsageError
            If `dataset_name` or `backbone` is missing, does not fit, or is given for a folder; or as the class does.
        CheckpointError
            If there is none, or it is damaged.
        """
        contexts = contexts or [mx.cpu()]
        if dtype != "float32":
            require_cpu(dtype, contexts)
        return cls(load_finetuned(folder, contexts, dataset_name, backbone), contexts, batch_size, dtype, native)

    def __call__(self, pairs):
        """Predictions for a sequence of (premise, hypothesis), a list of :class:`Prediction`."""
        return list(self.stream(pairs))

    def stream(self, pairs, waits=lambda: False):
        """Predictions for any iterable of (premise, hypothesis), in its order, as it goes on.

        Parameters
        ----------
        pairs : iterable of (str, str)
        waits : callable, optional
            Tells whether the next pair would keep us waiting; then what is there is answered first.

        Yields
        ------
        Prediction
        """
        pairs = iter(pairs)
        while True:
            chunk = list(itertools.islice(pairs, 1))
            while chunk and len(chunk) < _CHUNK and not waits():
                more = list(itertools.islice(pairs, 1))
                if not more:
                    break
                chunk += more
            if not chunk:
                return
            encoded = self.encoder.encode([premise for premise, _ in chunk], [hypothesis for _, hypothesis in chunk])
            self.num_truncated += encoded.num_truncated
            for row in probabilities(self.logits(encoded)).tolist():
                by_label = dict(zip(self.labels, row))
                yield Prediction(max(by_label, key=by_label.__getitem__), by_label)

    @property
    def settings(self):
        """The model's :class:`~gluonnlp_snli_plugin.formats.model_folder.ModelSettings`."""
        return self._model.settings

    def explain(self, premise, hypothesis, label=None):
        """Why a pair gets its answer; it takes 16 passes forward and backward.

        Parameters
        ----------
        premise, hypothesis : str
        label : str or None
            The answer to explain, by default the model's (in float32, whatever the precision of the answers).

        Returns
        -------
        Explanation

        """
        return explain(self._model, self.encoder, premise, hypothesis, self._contexts[0], label)

    def logits(self, encoded):
        """Logits of encoded pairs; ndarray of float32, shape (n, classes)."""
        values = logits(self._net, encoded, self._contexts, self._batch_size)
        if not np.isfinite(values).all():  # whose largest would be an answer like any other
            raise CheckpointError("the model's answers are not finite numbers: its weights are damaged")
        return values
