"""Answers for pairs of sentences from a fine-tuned model."""

import functools
import itertools
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

import mxnet as mx
import numpy as np

from ..data.encoding import EncodedPairs
from ..errors import CheckpointError, UsageError
from ..formats.model_folder import Model
from ..formats.model_settings import ModelSettings
from ..formats.reading import load_finetuned
from ..model.backbone import UnknownNet
from ..model.classifier import SNLIBertClassifier
from ..model.inference import logits, probabilities
from ..native import accelerate, dtype_for_inference, is_accelerated, operators, use_bfloat16
from ..native.classifier import NativeClassifier
from ..parallel.devices import Devices, devices_of
from ..system import threads
from .explanation import Explanation, explain

DTYPES = ("float32", "bfloat16", "int8", "tfloat32", "float16")
_ONLY_OF_MXNET, _ONLY_OF_XLA = ("int8",), ("tfloat32", "float16")
_CHUNK = 1024  # pairs sorted by length together


class Prediction(NamedTuple):
    """The answer for one pair."""

    label: str  #: the most likely label
    probabilities: Dict[str, float]  #: of every label, in the order of the model's classes

    def to_dict(self) -> Dict[str, Any]:
        """The same for JSON, with rounded numbers."""
        rounded = {name: round(value, 6) for name, value in self.probabilities.items()}
        return {"label": self.label, "probabilities": rounded}


class Predictor:
    """A fine-tuned model that takes sentences.

    Parameters
    ----------
    model : Model
        Its weights are read once: if they change, make a new predictor.
    contexts : list of Context or None
        The devices that hold the model, default CPU.
    batch_size : int, default 64
    dtype : {'float32', 'bfloat16', 'int8', 'tfloat32', 'float16'}, default 'float32'
        'bfloat16': matrix products in bfloat16 (:func:`gluonnlp_snli_plugin.native.accelerate`); 'int8': dense
        layers with 8-bit integers, on CPU (:class:`.NativeClassifier`). A processor without instructions for either
        computes in float32, and a line in the log says so. 'tfloat32' and 'float16' are for GPUs. An ONNX folder is
        always computed in float32.
    native : bool, default True
        Whether the model uses the C++ operators on CPU (:func:`gluonnlp_snli_plugin.native.accelerate`); of no effect
        on an ONNX folder, and on GPUs.
    engine : {'auto', 'mxnet', 'xla'}, default 'auto'
        What computes; 'auto' is XLA on GPUs, ``contexts=[mx.gpu(0)]``, and MXNet on CPU.

    Attributes
    ----------
    num_truncated : int
        How many of the pairs answered so far were longer than `max_len` and were truncated.

    Raises
    ------
    UsageError
        If the batch size is not positive, or the model cannot be computed in that precision.

    Examples
    --------
    >>> predictor = Predictor.load('out')
    >>> predictor([('Two dogs run through the snow.', 'The dogs are asleep.')])[0].label
    'contradiction'
    """

    def __init__(
        self,
        model: Model,
        contexts: Optional[List[mx.Context]] = None,
        batch_size: int = 64,
        dtype: str = "float32",
        native: bool = True,
        engine: str = "auto",
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"--batch-size is {batch_size}; it must be at least 1")
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
        devices = devices_of(contexts or [mx.cpu()], engine)
        _require_possible(dtype, native, devices)
        self.labels = model.settings.labels
        self.encoder = model.encoder()
        self._contexts = devices.contexts
        self._model = model
        self.num_truncated = 0
        self._xla: Any = None
        self._score: Callable[[EncodedPairs], np.ndarray]
        if not _is_mxnets(model):
            if dtype != "float32" or devices.uses_xla:
                how = f"--dtype {dtype}" if dtype != "float32" else "XLA"
                raise UsageError(f"{how} is for a model of finetune; an ONNX model is computed in float32, on CPU")
            self._score = functools.partial(logits, model.net, contexts=self._contexts, batch_size=batch_size)
        elif devices.uses_xla:
            devices.configure()
            from ..xla.inference import FixedClassifier

            self._xla = FixedClassifier(model.net, model.settings, devices.places, dtype, batch_size)
            self._score = self._xla.logits
        else:
            self._score = scorer_of(model.net, dtype_for_inference(dtype), native, self._contexts, batch_size)
        threads.use_cores(self._contexts)

    @classmethod
    def load(
        cls,
        folder: Union[str, "os.PathLike[str]"],
        contexts: Optional[List[mx.Context]] = None,
        batch_size: int = 64,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
        dtype: str = "float32",
        native: bool = True,
        engine: str = "auto",
    ) -> "Predictor":
        """Read a fine-tuned model: an output folder of ``finetune``, or a file or folder in another format.

        Parameters
        ----------
        folder : str or Path
            An output folder of ``finetune``; a folder of ``export --format onnx``, computed by ONNX Runtime; a
            classifier in Hugging Face's layout; or a ``.params`` file of a ``gluonnlp.model.BERTClassifier``, which
            GluonNLP's own fine-tuning script writes.
        contexts : list of Context or None
            Devices to use, default CPU.
        batch_size : int, default 64
        dataset_name : str or None
            Which vocabulary of the model store a ``.params`` file is for.
        backbone : str or None
            Architecture of a ``.params`` file, where the store has several under that name.
        dtype : {'float32', 'bfloat16', 'int8', 'tfloat32', 'float16'}, default 'float32'
        native : bool, default True
        engine : {'auto', 'mxnet', 'xla'}, default 'auto'

        Returns
        -------
        Predictor

        Raises
        ------
        UsageError
            If `dataset_name` or `backbone` is missing, does not fit, or is given for a folder; if a package for the
            format is missing; or as the class does.
        CheckpointError
            If there is no model, or it is damaged.
        """
        devices = devices_of(contexts or [mx.cpu()], engine)
        _require_possible(dtype, native, devices)
        devices.configure()  # says what is missing before the model is read
        model = load_finetuned(folder, devices.contexts, dataset_name, backbone)
        if _is_mxnets(model):
            model.net.collect_params().setattr("grad_req", "null")  # gradients take as much memory as the parameters
        return cls(model, contexts, batch_size, dtype, native, engine)

    def __call__(self, pairs: Iterable[Tuple[str, str]]) -> List[Prediction]:
        """Predictions for a sequence of (premise, hypothesis), a list of :class:`Prediction`."""
        return list(self.stream(pairs))

    def stream(
        self, pairs: Iterable[Tuple[str, str]], waits: Callable[[], bool] = lambda: False
    ) -> Iterator[Prediction]:
        """Predictions for any iterable of (premise, hypothesis), in its order, while it is read.

        Parameters
        ----------
        pairs : iterable of (str, str)
        waits : callable, optional
            Whether reading the next pair would block; the pairs read so far are answered first then.

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

    def compile(self) -> None:
        """Compile for all shapes of batches, which takes long on GPUs; otherwise each is compiled at its first use."""
        if self._xla:
            self._xla.compile()

    @property
    def settings(self) -> ModelSettings:
        """The model's :class:`~gluonnlp_snli_plugin.formats.model_settings.ModelSettings`."""
        return self._model.settings

    @property
    def can_explain(self) -> bool:
        """Whether :meth:`explain` has gradients to work with; ONNX Runtime gives none."""
        return _is_mxnets(self._model)

    def explain(self, premise: str, hypothesis: str, label: Optional[str] = None) -> Explanation:
        """What each word of a pair contributes to its answer; it takes 16 passes forward and backward.

        Parameters
        ----------
        premise, hypothesis : str
        label : str or None
            The answer to explain, by default the model's (in float32, whatever the precision of the answers).

        Returns
        -------
        Explanation

        Raises
        ------
        UsageError
            If the model gives no gradients.
        """
        if not self.can_explain:
            raise UsageError("an ONNX model cannot be explained: use the model that it was exported from")
        return explain(self._model, self.encoder, premise, hypothesis, self._contexts[0], label)

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        """Logits of encoded pairs; ndarray of float32, shape (n, classes)."""
        values = self._score(encoded)
        if not np.isfinite(values).all():  # NaN would pass for an answer
            raise CheckpointError("the model's answers are not finite numbers: its weights are damaged")
        return values


def _require_possible(dtype: str, native: bool, devices: Devices) -> None:
    """Raise a UsageError if the devices do not compute like that."""
    if devices.uses_xla:
        if dtype in _ONLY_OF_MXNET:
            raise UsageError(f"--dtype {dtype} is for CPU: omit it, or use bfloat16")
        if not native:
            raise UsageError("--no-native is about MXNet's operators on CPU: omit it where XLA computes")
    elif dtype in _ONLY_OF_XLA:
        raise UsageError(f"--dtype {dtype} is for GPUs: give --gpus 0, or omit it")
    elif dtype != "float32" and not native:
        raise UsageError(f"--dtype {dtype} needs the C++ operators, which --no-native leaves out")


def _is_mxnets(model: Model) -> bool:
    return isinstance(model.net, mx.gluon.Block)


def scorer_of(
    net: SNLIBertClassifier, dtype: str, native: bool, contexts: List[mx.Context], batch_size: int
) -> Callable[[EncodedPairs], np.ndarray]:
    """What gives the logits of encoded pairs: the net in that precision, on these devices, without XLA."""
    if dtype == "bfloat16":
        use_bfloat16(net)
    elif native:
        accelerate(net)
        try:
            if dtype == "int8" or (is_accelerated(net) and _is_fast_in_float32()):
                return NativeClassifier(net, dtype, batch_size).logits
        except UnknownNet as reason:
            if dtype == "int8":
                raise UsageError(f"--dtype int8: {reason} is not computed with 8-bit integers; leave it out") from None
    net.hybridize(static_alloc=True)
    return functools.partial(logits, net, contexts=contexts, batch_size=batch_size)


def _is_fast_in_float32() -> bool:
    """Whether a NativeClassifier is faster than the net; with AMX, which it does not use in float32, it is not."""
    return bool(operators.panel()) and not operators.has_amx()
