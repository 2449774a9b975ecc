"""The C++ operators as functions of MXNet: the same call makes arrays or, in a graph, symbols."""

import ctypes
import functools
import logging

import mxnet as mx
from mxnet.base import _LIB, OpHandle, c_str, check_call
from mxnet.ndarray.register import _make_ndarray_function
from mxnet.symbol.register import _make_symbol_function

from .build import BuildError, library

_log = logging.getLogger("gluonnlp_snli_plugin")


def are_available():
    """Whether the operators are there; the first call builds and loads them, and logs a line where that fails."""
    return _loaded() is not None


def has_amx():
    """Whether this processor has AMX, with which :func:`dense` is faster than MXNet's own layer, in float32 too."""
    return are_available() and bool(_loaded().snli_has_amx())


def has_int8():
    """Whether this processor has instructions for products of 8-bit integers; without, there is no such operator."""
    return are_available() and bool(_loaded().snli_has_int8())


@functools.lru_cache(maxsize=None)
def _loaded():
    """The library, which MXNet has loaded too, or None."""
    try:
        path = str(library())
        # Not mx.library.load, which makes every function of mx.nd anew.
        check_call(_LIB.MXLoadLib(c_str(path), mx.base.mx_uint(0)))
        return ctypes.CDLL(path)
    except (BuildError, OSError, mx.MXNetError) as error:
        reason = str(error).strip().splitlines()[-1]  # MXNet's messages begin with a traceback
        _log.warning("MXNet's own operators are used, which are slower than this program's: %s", reason)
        return None


@functools.lru_cache(maxsize=None)
def _function(name, is_symbolic):
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(handle)))
    return (_make_symbol_function if is_symbolic else _make_ndarray_function)(handle, name, name)


def _call(name, *arrays, **attributes):
    return _function(name, isinstance(arrays[0], mx.sym.Symbol))(*arrays, **attributes)


def dropout_key(F):
    """64 random bits that follow ``mx.random.seed`` while MXNet trains; outside, a key that drops nothing.

    Returns
    -------
    NDArray or Symbol of float32, shape (64,)
        What MXNet's own Dropout makes of ones.
    """
    return F.BlockGrad(F.Dropout(F.ones((64,)), p=0.5))


def dropout(data, key, p):
    """Dropout at rate `p` of an array of float32 of any shape, with a key from :func:`dropout_key`."""
    return _call("_snli_dropout", data, key, p=p)


def layer_norm(data, gamma, beta, residual=None, key=None, eps=1e-5, p=0.0):
    """``LayerNorm(dropout(data) + residual)`` over the last axis.

    Parameters
    ----------
    data : NDArray or Symbol of float32, shape (..., C)
    gamma, beta : of shape (C,)
    residual : of the shape of `data`, or None
    key : NDArray or Symbol from :func:`dropout_key`, or None
        Each use wants a key of its own.
    eps : float, default 1e-5
    p : float, default 0
        Rate of dropout.

    Returns
    -------
    NDArray or Symbol of float32, shape (..., C)
    """
    key = key if p else None
    arrays = [array for array in (data, gamma, beta, residual, key) if array is not None]
    flags = {"residual": int(residual is not None), "dropout": int(key is not None)}
    return _call("_snli_layer_norm", *arrays, eps=eps, p=p, **flags)[0]


def gelu(data):
    """``x * Phi(x)``, exact to 1e-7, of an array of float32 of any shape."""
    return _call("_snli_gelu", data)


def dense(data, weight, bias, units, dtype="float32", gelu=False):
    """A dense layer over the last axis whose matrix products, also those of its gradients, are made of bfloat16's.

    Parameters
    ----------
    data : NDArray or Symbol of float32, shape (..., C)
    weight : of shape (units, C)
    bias : of shape (units,), or None
    units : int
    dtype : {'float32', 'bfloat16'}, default 'float32'
        'bfloat16' rounds the factors of the products to it. 'float32' makes each number the sum of three of bfloat16
        and errs less than adding up in float32 does.
    gelu : bool, default False
        Whether the layer is one of ``gelu(data)``.

    Returns
    -------
    NDArray or Symbol of float32, shape (..., units)
    """
    arrays = (data, weight) if bias is None else (data, weight, bias)
    pieces = 1 if dtype == "bfloat16" else 3
    flags = {"use_bias": int(bias is not None), "gelu": int(gelu)}
    return _call("_snli_dense", *arrays, units=units, pieces=pieces, **flags)


def attention(query, key, value, length=None, dropout_key=None, heads=1, p=0.0):
    """Softmax attention of all heads over projected vectors.

    Parameters
    ----------
    query : NDArray or Symbol of float32, shape (queries, batch, heads * size)
    key, value : of shape (length, batch, heads * size)
    length : NDArray or Symbol of int32, shape (batch, queries), or None
        How many keys count, for each query.
    dropout_key : NDArray or Symbol from :func:`dropout_key`, or None
    heads : int
    p : float, default 0
        Rate of dropout of the attention weights.

    Returns
    -------
    NDArray or Symbol of float32, shape (queries, batch, heads * size)
    """
    dropout_key = dropout_key if p else None
    arrays = [array for array in (query, key, value, length, dropout_key) if array is not None]
    flags = {"use_length": int(length is not None), "dropout": int(dropout_key is not None)}
    return _call("_snli_attention", *arrays, heads=heads, p=p, **flags)[0]


def clip_factor(gradients, max_norm):
    """Global norm of gradients, and what to multiply them by so that it is at most `max_norm` (0 for any).

    Returns
    -------
    NDArray of float32, shape (2,)
    """
    return _call("_snli_clip_factor", *gradients, num=len(gradients), max_norm=max_norm)


def adam(weights, gradients, means, variances, factor, lrs, wds, **settings):
    """One update of many parameters in place: AdamW as GluonNLP's ``BERTAdam``, or Adam.

    Parameters
    ----------
    weights, gradients, means, variances : lists of NDArray of float32
    factor : NDArray of float32, shape (1,)
        What the gradients are multiplied by; one that is not finite leaves all as it is.
    lrs, wds : lists of float
        Learning rate and weight decay of each.
    **settings
        beta1, beta2, epsilon; decoupled: whether weight decay stays out of the gradient (AdamW).
    """
    settings["decoupled"] = int(settings.get("decoupled", True))
    _call(
        "_snli_adam",
        *weights,
        *gradients,
        *means,
        *variances,
        factor,
        num=len(weights),
        lrs=",".join(map(repr, lrs)),
        wds=",".join(map(repr, wds)),
        **settings,
    )
