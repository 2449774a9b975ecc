"""Logits of many pairs through XLA, and a classifier that gives them."""

import logging
from typing import Any, Dict, List, Sequence

import jax
import mxnet as mx
import numpy as np

from ..data.batches import LengthBucketBatches
from ..data.encoding import EncodedPairs
from ..model.heads import head_named
from .bert import Bert
from .classifier import Classifier
from .lengths import fitting, usual_lengths
from .mesh import DeviceMesh
from .precision import PRECISIONS
from .programs import Programs

_log = logging.getLogger("gluonnlp_snli_plugin")
_WAITING = 8  # batches whose results are not fetched yet


class Inference:
    """Computes logits in batches of few shapes.

    Parameters
    ----------
    net : Classifier
    mesh : DeviceMesh
    programs : Programs
    rows : list of int
        Ascending: pairs of a batch, of this process. A batch has as many as needed, at most the last number.
    lengths : list of int
        Ascending: tokens of a pair; the last is at least the longest pair's.
    """

    def __init__(
        self, net: Classifier, mesh: DeviceMesh, programs: Programs, rows: Sequence[int], lengths: Sequence[int]
    ) -> None:
        self._net, self._mesh, self._programs = net, mesh, programs
        self._rows = sorted({-(-number // len(mesh)) * len(mesh) for number in rows})
        self._lengths = lengths
        self._forward = jax.jit(lambda weights, inputs: net.logits(weights, inputs), out_shardings=mesh.by_row)

    def compile(self, weights: Dict[str, Any], rows: int, length: int) -> None:
        """Begin to compile the program for a shape."""
        if ("logits", rows, length) in self._programs:
            return
        what = f"answers for {rows * self._mesh.num_ranks} pairs of {length} tokens"
        shapes = self._mesh.shapes(_inputs_of(self._net.blank(rows, length)))
        self._programs.compile(("logits", rows, length), what, self._forward, weights, shapes)

    def compile_for(self, weights: Dict[str, Any], encoded: EncodedPairs, num_ranks: int = 1) -> None:
        """Begin to compile the programs that :meth:`logits` needs for these pairs."""
        size = self._rows[-1] * num_ranks
        for longest in -np.sort(-encoded.valid_length)[::size]:
            self.compile(weights, self._rows[-1], fitting(self._lengths, int(longest)))

    def compile_all(self, weights: Dict[str, Any]) -> None:
        """Compile the programs for all shapes, and wait for them."""
        for rows in self._rows:
            for length in self._lengths:
                self.compile(weights, rows, length)
        self._programs.wait()

    def logits(self, weights: Dict[str, Any], encoded: EncodedPairs, rank: int = 0, num_ranks: int = 1) -> np.ndarray:
        """The logits of all pairs, or of the share of one rank.

        Parameters
        ----------
        weights : dict of str to array
            On the devices.
        encoded : EncodedPairs, of n pairs
        rank, num_ranks : int, default 0 and 1

        Returns
        -------
        ndarray of float32, shape (n, num_classes)
            Zeros for pairs of other ranks.
        """
        values = np.zeros((len(encoded), self._net.num_classes), np.float32)
        waiting: List[Any] = []

        def fetch(number: int) -> None:
            while len(waiting) > number:
                index, out = waiting.pop(0)
                values[index] = self._mesh.own_rows(out)[: len(index)]

        for batch in LengthBucketBatches(encoded, self._rows[-1], shuffle=False, rank=rank, num_ranks=num_ranks):
            rows, length = fitting(self._rows, -(-batch.num_pairs // num_ranks)), fitting(self._lengths, batch.longest)
            self.compile(weights, rows, length)
            inputs = self._mesh.divide(_inputs_of(self._net.inputs(batch, rows, length)))
            out = self._programs(("logits", rows, length), weights, inputs)
            waiting.append((batch.index, out))
            with self._programs.enough_memory():
                fetch(_WAITING)
        with self._programs.enough_memory():
            fetch(0)
        return values


def _inputs_of(arrays: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return {name: arrays[name] for name in ("input_ids", "segment_ids", "valid_length")}


class FixedClassifier:
    """A fine-tuned classifier on devices of this process, for which JAX has been configured.

    Parameters
    ----------
    net : SNLIBertClassifier
        Its parameters are copied.
    settings : ModelSettings
    contexts : list of Context
    dtype : str
        One of :data:`.precision.PRECISIONS`.
    batch_size : int
        Pairs of the largest batch.

    Raises
    ------
    UsageError
        If the devices do not exist, or do not have that precision.
    PluginError
        If JAX cannot use them.
    """

    def __init__(
        self, net: Any, settings: Any, contexts: Sequence[mx.Context], dtype: str = "float32", batch_size: int = 64
    ) -> None:
        mesh = DeviceMesh(contexts, is_alone=True)
        mesh.require(dtype)
        sizes = len(settings.labels), settings.hidden_units, settings.dropout
        classifier = Classifier(Bert(settings.hparams, PRECISIONS[dtype]), head_named(settings.head), *sizes)
        self._weights = mesh.replicate(arrays_of(net))
        rows = sorted({1, batch_size})
        lengths = usual_lengths(settings.max_len)
        self._inference = Inference(classifier, mesh, Programs(_log.info, mesh.memory), rows, lengths)

    def compile(self) -> None:
        """Compile the programs for all shapes; otherwise each is compiled when it is first needed."""
        self._inference.compile_all(self._weights)

    def logits(self, encoded: EncodedPairs) -> np.ndarray:
        """The logits of pairs; ndarray of float32, shape (n, num_classes)."""
        return self._inference.logits(self._weights, encoded)


def arrays_of(net: mx.gluon.Block) -> Dict[str, np.ndarray]:
    """The parameters of a net by the names of ``Block.save_parameters``; one of several names has the first."""
    found: Dict[int, str] = {}
    for name, parameter in net._collect_params_with_prefix().items():
        found.setdefault(id(parameter), name)
    named = net._collect_params_with_prefix()
    return {name: named[name].data(named[name].list_ctx()[0]).asnumpy() for name in found.values()}
