"""An 8-bit model by MXNet's own oneDNN path, calibrated on given pairs.

``quantize_net_v2`` fixes the range of every layer's inputs beforehand, from those of the pairs it is shown. Where this
package can be installed, ``--dtype int8`` (:mod:`gluonnlp_snli_plugin.native.int8`) needs no calibration.
"""

import contextlib
import os
import statistics
import time
import warnings

import mxnet as mx
import numpy as np
from gluonnlp.calibration import BertLayerCollector
from mxnet.contrib.quantization import quantize_net_v2

from ..data.batches import pad
from ..errors import CheckpointError, UsageError
from ..system.files import digest
from . import symbol
from .job import logits_of, net_function
from .model_folder import load_model, write_settings

TOLERANCE = 10  # of the logits of a single pair, where a large number was cut; what counts is how many labels change
_MOST_CHANGED = 0.15  # share of pairs
_PAIRS = 512  # to calibrate with, at most
_TIMED_PAIRS, _ROUNDS = 256, 3
_BATCH_SIZE = 32
_CLIP = {"clip_min": -50, "clip_max": 10}  # of LayerNorm's outputs and GELU's; as GluonNLP's script has it


def require(file=None):
    """Complain if there are no pairs of the model's own kind: the sample's would set ranges that are not theirs."""
    if file is None:
        raise UsageError("--format int8 needs --file F: pairs such as the model will see, to calibrate with")


def write(job, folder):
    """Write the quantized graph, its parameters, the vocabulary and settings that make a model of the folder."""
    symbol.write(job, folder)  # in float32, to be replaced
    net = symbol.load(folder)
    with _quietly():
        quantized = quantize_net_v2(
            net,
            quantize_mode="smart",
            quantize_granularity="channel-wise",
            calib_mode="customize",
            calib_data=_calibration(job.encoded),
            LayerOutputCollector=BertLayerCollector(**_CLIP),
            ctx=mx.cpu(),
        )
    quantized.export(str(folder / "model"))
    vocab = folder / ("spiece.model" if job.model.spiece else "vocab.txt")
    files = {"graph": folder / symbol.GRAPH, "weights": folder / symbol.PARAMETERS, "vocab": vocab}
    write_settings(folder, job.model.settings, {use: (path, digest(path)) for use, path in files.items()})


def check(job, folder):
    """Logits of the folder, loaded as ``evaluate`` does; accuracy and speed before and after."""
    quantized = load_model(folder).net
    quantized.hybridize(static_alloc=True)
    logits = logits_of(net_function(quantized), job.encoded)
    before, after, gold = job.logits.argmax(axis=1), logits.argmax(axis=1), job.gold
    changed = float((before != after).mean())
    if changed > _MOST_CHANGED:
        raise CheckpointError(
            f"int8: {changed:.0%} of the labels on {job.pairs_name} are others than before, more than "
            f"{_MOST_CHANGED:.0%}: nothing was written; --dtype int8 of evaluate and predict is more exact"
        )
    more = {"same labels": f"{1 - changed:.4f} of {len(gold)} pairs"}
    known = gold >= 0
    if known.any():
        was, now = (float((labels == gold)[known].mean()) for labels in (before, after))
        more["accuracy"] = f"{was:.4f} before, {now:.4f} after"
    ratios = _ratios(job, quantized)
    more["speed"] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times that before"
    return logits, more


@contextlib.contextmanager
def _quietly():
    """Keep MXNet from saying on standard error, past Python, which layers stay as they are."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _calibration(encoded):
    """Batches of one length, as quantize_net_v2 wants them."""
    batch = pad(encoded, np.arange(min(len(encoded), _PAIRS)))
    inputs = {name: mx.nd.array(array, dtype="float32") for name, array in zip(symbol.INPUTS, batch[:3])}
    return mx.io.NDArrayIter(inputs, batch_size=min(_BATCH_SIZE, len(batch.index)))


def _ratios(job, quantized):
    """How many times as fast the second net is as MXNet's own in float32; they take turns."""
    encoded = job.model.encoder().encode(*zip(*(row[:2] for row in job.rows[:_TIMED_PAIRS])))
    ratios = []
    for _ in range(_ROUNDS + 1):
        times = []
        for net in (job.model.net, quantized):
            start = time.perf_counter()
            logits_of(net_function(net), encoded)
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return ratios[1:]  # in the first round, both prepare themselves
