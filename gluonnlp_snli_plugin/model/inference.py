"""Logits of many pairs: batches of similar length, results in the order of the pairs."""

import copy
from typing import Any, Sequence

import mxnet as mx
import numpy as np

from ..data.batches import LengthBucketBatches
from ..data.encoding import EncodedPairs


def logits(
    net: Any,
    encoded: EncodedPairs,
    contexts: Sequence[mx.Context],
    batch_size: int = 64,
    rank: int = 0,
    num_ranks: int = 1,
) -> np.ndarray:
    """The logits of all pairs, or of the share of one rank.

    Parameters
    ----------
    net : SNLIBertClassifier
    encoded : EncodedPairs, of n pairs
    contexts : list of Context
        The devices that hold the net; batches go to them in turn.
    batch_size : int, default 64
        Pairs per batch.
    rank, num_ranks : int, default 0 and 1

    Returns
    -------
    ndarray of float32, shape (n, num_classes)
        Zeros for pairs of other ranks.
    """
    results = []
    batches = LengthBucketBatches(encoded, batch_size, shuffle=False, rank=rank, num_ranks=num_ranks)
    for i, batch in enumerate(batches):
        ctx = contexts[i % len(contexts)]
        inputs = (mx.nd.array(array, ctx, array.dtype) for array in batch[:3])
        results.append((batch.index, net(*inputs)))
        if i >= 2 * len(contexts):  # MXNet is asynchronous: limit the queue
            results[i - 2 * len(contexts)][1].wait_to_read()
    values = np.zeros((len(encoded), net.num_classes), np.float32)
    for index, out in results:
        values[index] = out.asnumpy()
    return values


def for_evaluation(net: mx.gluon.HybridBlock) -> mx.gluon.HybridBlock:
    """A copy of a net for evaluation during training: it shares the parameters but has its own memory.

    A hybridized net keeps its working memory for the next batch, but frees and allocates all of it at each change from
    training to evaluation and back.

    Parameters
    ----------
    net : HybridBlock

    Returns
    -------
    HybridBlock
    """
    twin = copy.copy(net)
    twin._clear_cached_op()
    return twin


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of `logits` along the last axis; ndarray of float32 of the same shape."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def mean_loss(logits: np.ndarray, labels: Any) -> float:
    """Mean cross-entropy of `logits` (n, num_classes) against class indices `labels` (n,); float."""
    return float(-np.log(np.maximum(probabilities(logits)[np.arange(len(labels)), labels], 1e-30)).mean())
