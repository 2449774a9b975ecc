"""The C++ operators for what a script trains on CPU: its BERT, its clipping of gradients and its BERTAdam."""

import warnings
from typing import Any, Callable, Iterable

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from gluonnlp.optimizer import BERTAdam
from gluonnlp.utils import parameter as host_parameter

from .. import registry
from ..native import operators
from ..native.accelerate import accelerate


def use_native_operators(changes: registry.Changes) -> None:
    """Let every BERT that a script hybridizes use the C++ operators, and its optimizer too.

    Parameters
    ----------
    changes : registry.Changes
        Undoes it.
    """
    hybridize = mx.gluon.HybridBlock.hybridize

    def accelerate_and_hybridize(self: Any, active: bool = True, **kwargs: Any) -> None:
        if active:
            accelerate(self)
        hybridize(self, active, **kwargs)

    changes.set_attribute(mx.gluon.HybridBlock, "hybridize", accelerate_and_hybridize)
    changes.set_attribute(BERTAdam, "_update_impl", _update_impl(BERTAdam._update_impl))
    clip = _clip_grad_global_norm(nlp.utils.clip_grad_global_norm)
    for module in (nlp.utils, host_parameter):
        changes.set_attribute(module, "clip_grad_global_norm", clip)


def _are_for_cpu(arrays: Iterable[mx.nd.NDArray]) -> bool:
    """Whether the operators can take these arrays."""
    return operators.are_available() and all(
        array.context.device_type == "cpu" and array.stype == "default" and array.dtype == np.float32
        for array in arrays
    )


def _update_impl(original: Callable[..., Any]) -> Callable[..., Any]:
    def _update_impl(self: Any, indices: Any, weight: Any, grad: Any, state: Any, multi_precision: bool = False) -> Any:
        if not isinstance(indices, (tuple, list)):
            indices, weight, grad, state = [indices], [weight], [grad], [state]
        if self.clip_gradient or multi_precision or not _are_for_cpu([*weight, *grad]):
            return original(self, indices, weight, grad, state, multi_precision)
        self._update_count(indices)
        factor = self.rescale_grad
        if not isinstance(factor, mx.nd.NDArray):
            factor = mx.nd.full(1, factor)
        means, variances = zip(*state)
        settings = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        operators.adam(
            weight, grad, means, variances, factor, self._get_lrs(indices), self._get_wds(indices), **settings
        )

    return _update_impl


def _clip_grad_global_norm(original: Callable[..., Any]) -> Callable[..., Any]:
    def clip_grad_global_norm(parameters: Any, max_norm: float, check_isfinite: bool = True) -> Any:
        gradients = [parameter.list_grad() for parameter in parameters if parameter.grad_req != "null"]
        if any(len(copies) > 1 for copies in gradients) or not _are_for_cpu([copies[0] for copies in gradients]):
            return original(parameters, max_norm, check_isfinite)
        norm_and_factor = operators.clip_factor([copies[0] for copies in gradients], max_norm)
        norm, factor = norm_and_factor[:1], norm_and_factor[1:]
        if check_isfinite:
            if not np.isfinite(norm.asscalar()):
                warnings.warn("nan or inf is detected. Clipping results will be undefined.", stacklevel=2)
            if factor.asscalar() == 1:
                return norm
        for copies in gradients:
            copies[0] *= factor
        return norm

    return clip_grad_global_norm
