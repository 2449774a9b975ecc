"""Logits of many pairs: batches of like length, results in the order of the pairs."""

import copy

import mxnet as mx
import numpy as np

from ..data.batches import LengthBucketBatches


def logits(net, encoded, contexts, batch_size=64, round_to=1, rank=0, num_ranks=1):
    """The logits of all pairs, or of the share of one of several ranks.

    Parameters
    ----------
    net : SNLIBertClassifier
    encoded : EncodedPairs, of n pairs
    contexts : list of Context
        The devices that hold the net; batches go to them in turn.
    batch_size : int, default 64
        Pairs a batch.
    round_to : int, default 1
        Round lengths up to a multiple of this.
    rank, num_ranks : int, default 0 and 1

    Returns
    -------
    ndarray of float32, shape (n, num_classes)
        Zeros for pairs of other ranks.
    """
    results = []
    batches = LengthBucketBatches(encoded, batch_size, shuffle=False, rank=rank, num_ranks=num_ranks, round_to=round_to)
    for i, batch in enumerate(batches):
        ctx = contexts[i % len(contexts)]
        inputs = (mx.nd.array(array, ctx, array.dtype) for array in batch[:3])
        results.append((batch.index, net(*inputs)))
        if i >= 2 * len(contexts):  # MXNet runs ahead of Python: keep it from piling up work
            results[i - 2 * len(contexts)][1].wait_to_read()
    values = np.zeros((len(encoded), net.num_classes), np.float32)
    for index, out in results:
        values[index] = out.asnumpy()
    return values


def for_evaluation(net):
    """A net while it is trained, to compute with between updates: the same parameters, but memory of its own.

    A hybridized net keeps the memory it computes in for the next batch, but frees and takes all of it at each change
    from training to evaluation and back.

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


def probabilities(logits):
    """Softmax of `logits` along the last axis; ndarray of float32 of the same shape."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def mean_loss(logits, labels):
    """Mean cross-entropy of `logits` (n, num_classes) against class indices `labels` (n,); float."""
    return float(-np.log(np.maximum(probabilities(logits)[np.arange(len(labels)), labels], 1e-30)).mean())
