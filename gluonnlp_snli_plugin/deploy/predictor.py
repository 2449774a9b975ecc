"""Answers for pairs of sentences from a fine-tuned model."""

import itertools
from typing import Dict, NamedTuple

import mxnet as mx

from ..errors import UsageError
from ..model.folder import load_model
from ..model.inference import logits, probabilities

_CHUNK = 1024  # pairs sorted by length together


class Prediction(NamedTuple):
    """The answer for one pair."""

    label: str  #: the likeliest label
    probabilities: Dict[str, float]  #: of every label, in the order of the model's classes


class Predictor:
    """A fine-tuned model that takes sentences.

    Parameters
    ----------
    model : Model
    contexts : list of Context or None
        The devices that hold the model, default CPU.
    batch_size : int, default 64

    Raises
    ------
    UsageError
        If there can be no such batches.

    Examples
    --------
    >>> predictor = Predictor.load('out')
    >>> predictor([('Two dogs run through the snow.', 'The dogs are asleep.')])[0].label
    'contradiction'
    """

    def __init__(self, model, contexts=None, batch_size=64):
        if batch_size < 1:
            raise UsageError(f"--batch-size is {batch_size}; it must be at least 1")
        self.labels = model.settings.labels
        self.encoder = model.encoder()
        self._net = model.net
        self._net.hybridize(static_alloc=True)
        self._contexts = contexts or [mx.cpu()]
        self._batch_size = batch_size

    @classmethod
    def load(cls, folder, contexts=None, batch_size=64):
        """Read the model of an output folder of ``finetune``.

        Raises
        ------
        CheckpointError
            If there is none, or it is damaged.
        """
        contexts = contexts or [mx.cpu()]
        return cls(load_model(folder, contexts), contexts, batch_size)

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
            for row in probabilities(self.logits(encoded)).tolist():
                by_label = dict(zip(self.labels, row))
                yield Prediction(max(by_label, key=by_label.__getitem__), by_label)

    def logits(self, encoded):
        """Logits of encoded pairs; ndarray of float32, shape (n, classes)."""
        return logits(self._net, encoded, self._contexts, self._batch_size)
