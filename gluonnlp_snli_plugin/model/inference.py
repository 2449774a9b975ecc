"""Logits of many pairs: batches of like length, results in the order of the pairs."""

import mxnet as mx
import numpy as np

from ..data.batches import LengthBucketBatches


def logits(net, encoded, contexts, batch_size=64, round_to=1):
    """The logits of all pairs.

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

    Returns
    -------
    ndarray of float32, shape (n, num_classes)
    """
    results = []
    for i, batch in enumerate(LengthBucketBatches(encoded, batch_size, shuffle=False, round_to=round_to)):
        ctx = contexts[i % len(contexts)]
        inputs = (mx.nd.array(array, ctx, array.dtype) for array in batch[:3])
        results.append((batch.index, net(*inputs)))
        if i >= 2 * len(contexts):  # MXNet runs ahead of Python: keep it from piling up work
            results[i - 2 * len(contexts)][1].wait_to_read()
    if not results:
        return np.zeros((0, net.num_classes), np.float32)
    order = np.concatenate([index for index, _ in results])
    values = np.concatenate([out.asnumpy() for _, out in results]).astype(np.float32, copy=False)
    return values[np.argsort(order)]


def probabilities(logits):
    """Softmax of `logits` along the last axis; ndarray of float32 of the same shape."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def mean_loss(logits, labels):
    """Mean cross-entropy of `logits` (n, num_classes) against class indices `labels` (n,); float."""
    return float(-np.log(np.maximum(probabilities(logits)[np.arange(len(labels)), labels], 1e-30)).mean())
