"""The C++ operators as MXNet functions, for arrays and, in a graph, for symbols."""

import ctypes
import functools
import logging
from typing import Any, Callable, Sequence

import mxnet as mx
from mxnet.base import _LIB, OpHandle, c_str, check_call
from mxnet.ndarray.register import _make_ndarray_function
from mxnet.symbol.register import _make_symbol_function

from .build import BuildError, library

_log = logging.getLogger("gluonnlp_snli_plugin")


def are_available() -> bool:
    """Whether the operators are available; the first call builds and loads them, and logs a warning if that fails."""
    return loaded() is not None


def has_amx() -> bool:
    """Whether this processor has AMX, with which :func:`dense` is faster than MXNet's own layer, in float32 too."""
    return are_available() and bool(loaded().snli_has_amx())


def has_int8() -> bool:
    """Whether this processor has instructions for products of 8-bit integers, which the int8 operator needs."""
    return are_available() and bool(loaded().snli_has_int8())


def panel() -> int:
    """How many units a panel of packed weights has; 0 where products with panels are not available, or slow."""
    return int(loaded().snli_panel()) if are_available() else 0


@functools.lru_cache(maxsize=None)
def loaded() -> Any:
    """The library (ctypes.CDLL), also loaded into MXNet; None if that fails."""
    try:
        path = str(library())
        # Not mx.library.load, which recreates every function of mx.nd.
        check_call(_LIB.MXLoadLib(c_str(path), mx.base.mx_uint(0)))
        return ctypes.CDLL(path)
    except (BuildError, OSError, mx.MXNetError) as error:
        reason = str(error).strip().splitlines()[-1]  # MXNet's messages begin with a traceback
        _log.warning("using MXNet's own operators, which are slower than this package's: %s", reason)
        return None


@functools.lru_cache(maxsize=None)
def _function(name: str, is_symbolic: bool) -> Callable[..., Any]:
    handle = OpHandle()
    check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(handle)))
    return (_make_symbol_function if is_symbolic else _make_ndarray_function)(handle, name, name)


def _call(name: str, *arrays: Any, **attributes: Any) -> Any:
    return _function(name, isinstance(arrays[0], mx.sym.Symbol))(*arrays, **attributes)


def dropout_key(F: Any) -> Any:
    """64 random bits that follow ``mx.random.seed`` in training mode; otherwise a key that drops nothing.

    Returns
    -------
    NDArray or Symbol of float32, shape (64,)
        MXNet's own Dropout of an array of ones.
    """
    return F.BlockGrad(F.Dropout(F.ones((64,)), p=0.5))


def dropout(data: Any, key: Any, p: float) -> Any:
    """Dropout at rate `p` of an array of float32 of any shape, with a key from :func:`dropout_key`."""
    return _call("_snli_dropout", data, key, p=p)


def layer_norm(
    data: Any,
    gamma: Any,
    beta: Any,
    residual: Any = None,
    key: Any = None,
    eps: float = 1e-5,
    p: float = 0.0,
    bias: Any = None,
) -> Any:
    """``LayerNorm(dropout(data + bias) + residual)`` over the last axis.

    Parameters
    ----------
    data : NDArray or Symbol of float32, shape (..., C)
    gamma, beta : of shape (C,)
    residual : of the shape of `data`, or None
    key : NDArray or Symbol from :func:`dropout_key`, or None
        Each call needs its own key.
    eps : float, default 1e-5
    p : float, default 0
        Dropout rate.
    bias : of shape (C,), or None

    Returns
    -------
    NDArray or Symbol of float32, shape (..., C)
    """
    key = key if p else None
    arrays = [array for array in (data, gamma, beta, residual, bias, key) if array is not None]
    flags = {"residual": int(residual is not None), "use_bias": int(bias is not None), "dropout": int(key is not None)}
    return _call("_snli_layer_norm", *arrays, eps=eps, p=p, **flags)[0]


def add_rows(data: Any, rows: Any) -> Any:
    """``data + rows`` with a row for each position; the gradient of `rows` takes MXNet's own sum many times as long.

    Parameters
    ----------
    data : NDArray or Symbol of float32, shape (length, batch, C)
    rows : of shape (length, C)

    Returns
    -------
    NDArray or Symbol of float32, shape (length, batch, C)
    """
    return _call("_snli_add_rows", data, rows)


def gelu(data: Any, bias: Any = None) -> Any:
    """``x * Phi(x)``, exact to 1e-7, of an array of float32 of any shape, to whose last axis `bias` is added before."""
    return _call("_snli_gelu", data) if bias is None else _call("_snli_gelu", data, bias, use_bias=1)


def dense(data: Any, weight: Any, bias: Any, units: int, dtype: str = "float32", gelu: bool = False) -> Any:
    """A dense layer over the last axis whose matrix products, including those of its gradients, use bfloat16 products.

    Parameters
    ----------
    data : NDArray or Symbol of float32, shape (..., C)
    weight : of shape (units, C)
    bias : of shape (units,), or None
    units : int
    dtype : {'float32', 'bfloat16'}, default 'float32'
        'bfloat16' rounds the factors of the products. 'float32' splits each factor into the sum of three bfloat16
        numbers; its error is smaller than that of summation in float32.
    gelu : bool, default False
        Whether the layer is applied to ``gelu(data)``.

    Returns
    -------
    NDArray or Symbol of float32, shape (..., units)
    """
    arrays = (data, weight) if bias is None else (data, weight, bias)
    pieces = 1 if dtype == "bfloat16" else 3
    flags = {"use_bias": int(bias is not None), "gelu": int(gelu)}
    return _call("_snli_dense", *arrays, units=units, pieces=pieces, **flags)


def attention(
    query: Any, key: Any, value: Any, length: Any = None, dropout_key: Any = None, heads: int = 1, p: float = 0.0
) -> Any:
    """Softmax attention of all heads over projected vectors.

    Parameters
    ----------
    query : NDArray or Symbol of float32, shape (queries, batch, heads * size)
    key, value : of shape (length, batch, heads * size)
    length : NDArray or Symbol of int32, shape (batch, queries), or None
        Number of valid keys for each query.
    dropout_key : NDArray or Symbol from :func:`dropout_key`, or None
    heads : int
    p : float, default 0
        Dropout rate of the attention weights.

    Returns
    -------
    NDArray or Symbol of float32, shape (queries, batch, heads * size)
    """
    dropout_key = dropout_key if p else None
    arrays = [array for array in (query, key, value, length, dropout_key) if array is not None]
    flags = {"use_length": int(length is not None), "dropout": int(dropout_key is not None)}
    return _call("_snli_attention", *arrays, heads=heads, p=p, **flags)[0]


def clip_factor(gradients: Sequence[mx.nd.NDArray], max_norm: float) -> mx.nd.NDArray:
    """Global norm of gradients, and the factor that limits it to `max_norm` (0 for no limit).

    Returns
    -------
    NDArray of float32, shape (2,)
    """
    return _call("_snli_clip_factor", *gradients, num=len(gradients), max_norm=max_norm)


def adam(
    weights: Sequence[mx.nd.NDArray],
    gradients: Sequence[mx.nd.NDArray],
    means: Sequence[mx.nd.NDArray],
    variances: Sequence[mx.nd.NDArray],
    factor: mx.nd.NDArray,
    lrs: Sequence[float],
    wds: Sequence[float],
    **settings: Any,
) -> None:
    """One update of many parameters in place: AdamW as GluonNLP's ``BERTAdam``, or Adam.

    Parameters
    ----------
    weights, gradients, means, variances : lists of NDArray of float32
    factor : NDArray of float32, shape (1,)
        Multiplies the gradients; if it is not finite, nothing is updated.
    lrs, wds : lists of float
        Learning rate and weight decay of each parameter.
    **settings
        beta1, beta2, epsilon; decoupled: whether weight decay is decoupled from the gradient (AdamW).
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
