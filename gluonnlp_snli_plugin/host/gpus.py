"""Lets ``mx.gpu(i)`` in a script be a device whose nets compute through XLA.

MXNet 1.9.1 has no code for today's GPUs, and its CPU wheel none for any. So arrays on ``mx.gpu(i)`` are in the host's
memory, in a context of their own, and MXNet computes there what a script does around its nets: the loss, the metric.
The nets, with their parameters, gradients and the state of their optimizer, are on the device (:mod:`..xla.gluon`).
"""

import contextlib
import logging
import threading
import warnings
from typing import Any, Callable, Sequence, Set

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from gluonnlp.data import sampler
from gluonnlp.model.bert import BERTEncoder, BERTEncoderCell
from gluonnlp.optimizer import BERTAdam
from gluonnlp.utils import parameter as host_parameter
from mxnet.contrib import amp
from mxnet.gluon.loss import SoftmaxCrossEntropyLoss

from .. import registry
from ..errors import PluginError
from ..xla.gluon import training
from ..xla.gluon.arrays import DeviceArray
from ..xla.gluon.calls import Calls
from ..xla.gluon.nets import contains_bert, example_arguments, is_computed_as_a_whole
from ..xla.gluon.outputs import Scores, loss_of
from ..xla.gluon.places import Place
from ..xla.mesh import DeviceMesh
from .gpu_contexts import FIRST, replace_contexts

_COMPUTED = "GluonNLP's BERT, RoBERTa and DistilBERT"
_log = logging.getLogger("gluonnlp_snli_plugin")


class ScriptOnGPUs:
    """What a script finds changed where its ``mx.gpu(i)`` computes through XLA.

    Parameters
    ----------
    devices : list of Context
        For which JAX has been configured; ``mx.gpu(i)`` is the one numbered i.
    changes : registry.Changes
        Undoes it.

    Attributes
    ----------
    every : list of jax.Device
        The first device of each rank.
    array_type : type
        Of the arrays that are on devices.
    averages : bool
        Whether gradients are averaged over the ranks; else they are added up.
    """

    array_type = DeviceArray

    def __init__(self, devices: Sequence[mx.Context], changes: registry.Changes) -> None:
        mesh_of_ranks = DeviceMesh(devices[:1])
        self.every, self.averages = mesh_of_ranks.every, True
        self._num_ranks, self._reduction = mesh_of_ranks.num_ranks, training.Reduction(mesh_of_ranks)
        meshes = dict(zip((device.device_id for device in devices), DeviceMesh(devices, is_alone=True).apart()))
        replace_contexts(changes, list(meshes))
        self._calls = Calls({mx.gpu(number): Place(mx.gpu(number), mesh) for number, mesh in meshes.items()})
        # The workers of a data loader, which MXNet forks, do not use JAX.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        self._around = threading.local()  # .depth: of nets that are not computed as a whole, but have a BERT inside
        self._told: Set[str] = set()
        # Nets.
        changes.wrap(mx.gluon.HybridBlock, "forward", self._forward)
        changes.wrap(mx.gluon.SymbolBlock, "forward", self._forward_symbol)
        changes.wrap(mx.gluon.HybridBlock, "export", self._export)
        changes.wrap(mx.nd, "topk", self._topk)
        changes.wrap(mx.random, "seed", self._seed)
        changes.wrap(sampler.FixedBucketSampler, "__init__", self._init_sampler)
        # Gradients.
        for owner in (mx.autograd, mx.nd.NDArray):
            changes.wrap(owner, "backward", self._backward)
        changes.wrap(mx.autograd, "grad", self._grad)
        changes.wrap(mx.autograd, "mark_variables", self._mark_variables)
        changes.wrap(mx.gluon.Parameter, "zero_grad", self._zero_grad)
        changes.wrap(mx.gluon.ParameterDict, "zero_grad", self._zero_all)
        for module in (nlp.utils, host_parameter):
            changes.wrap(module, "grad_global_norm", self._grad_global_norm)
            changes.wrap(module, "clip_grad_global_norm", self._clip_grad_global_norm)
        changes.wrap(mx.gluon.Trainer, "__init__", self._init_trainer)
        changes.wrap(mx.gluon.Trainer, "_allreduce_grads", self._allreduce)
        changes.wrap(mx.optimizer.Updater, "__call__", self._update)
        changes.wrap(mx.optimizer.Optimizer, "_set_current_context", self._set_current_context)
        # Precision.
        for module in (amp, amp.amp):
            changes.wrap(module, "init", self._init_amp)
            changes.wrap(module, "init_trainer", lambda original, trainer: None)
            changes.wrap(module, "unscale", lambda original, trainer: None)
            changes.wrap(module, "scale_loss", lambda original, loss, trainer: contextlib.nullcontext(loss))

    # Nets

    def _forward(self, original: Callable[..., Any], block: Any, x: Any, *arguments: Any) -> Any:
        if isinstance(x, Scores) and isinstance(block, SoftmaxCrossEntropyLoss):
            loss = loss_of(block, x, *arguments)
            if loss is not None:
                return loss
        context = x.context if isinstance(x, mx.nd.NDArray) else None
        if context not in self._calls.places:
            return original(block, x, *arguments)
        net = self._calls.net_of(block, context)
        if net is not None:
            return net(x, *arguments)
        if not contains_bert(block):
            self._check(block, context)
            return original(block, x, *arguments)
        self._around.depth = getattr(self._around, "depth", 0) + 1
        try:
            return original(_NotHybridized(block), x, *arguments)
        finally:
            self._around.depth -= 1

    def _check(self, block: Any, context: mx.Context) -> None:
        """Refuse a net that MXNet would have to compute, unless it is around a backbone."""
        name = type(block).__name__
        is_known = any(isinstance(array, DeviceArray) for p in block._reg_params.values() for array in p._data or ())
        if is_known or isinstance(block, (BERTEncoder, BERTEncoderCell)):
            raise PluginError(f"{name} is part of a backbone on {context}: through XLA it is computed only as a whole")
        if getattr(self._around, "depth", 0) or not block.collect_params().keys():
            return
        if not self._calls.has_computed:
            raise PluginError(f"{name} on {context} cannot be computed through XLA, only {_COMPUTED} can: use mx.cpu()")
        self._tell(f"{name} on {context} is computed by MXNet on the CPU: XLA computes only {_COMPUTED}")

    def _forward_symbol(self, original: Callable[..., Any], block: Any, x: Any, *arguments: Any) -> Any:
        if isinstance(x, mx.nd.NDArray) and x.context in self._calls.places:
            raise PluginError(f"a net from a symbol file cannot be computed through XLA on {x.context}: use mx.cpu()")
        return original(block, x, *arguments)

    def _export(self, original: Callable[..., Any], block: Any, *args: Any, **kwargs: Any) -> Any:
        contexts = {context for p in block.collect_params().values() for context in p.list_ctx()}
        if block._active and not block._cached_graph and contexts & set(self._calls.places):
            if not is_computed_as_a_whole(block):
                raise PluginError(
                    f"{type(block).__name__} was not computed by MXNet, which exports it: before export, call "
                    "collect_params().reset_ctx(mx.cpu()) and the net itself, with a batch on mx.cpu()"
                )
            block._get_graph(*example_arguments(block))  # as a call of MXNet's would have made it
        return original(block, *args, **kwargs)

    def _topk(self, original: Callable[..., Any], data: Any = None, **options: Any) -> Any:
        if isinstance(data, Scores) and data.has_own_last_axis:
            axis = options.get("axis", -1)
            rest = {name: value for name, value in options.items() if name != "axis"}
            if axis in (-1, data.ndim - 1) and rest == {"k": 1, "ret_typ": "indices"}:
                return data.best()
        return original(data, **options)

    def _seed(self, original: Callable[..., Any], seed_state: Any, *args: Any, **kwargs: Any) -> Any:
        self._calls.seed(int(seed_state))
        return original(seed_state, *args, **kwargs)

    def _init_sampler(self, original: Callable[..., Any], instance: Any, *args: Any, **kwargs: Any) -> None:
        """Learn how long the batches will be, before there are any."""
        original(instance, *args, **kwargs)
        if instance._lengths.ndim == 1:
            buckets = sorted(instance._bucket_sample_ids, key=len, reverse=True)
            self._calls.lengths += [int(instance._lengths[bucket].max()) for bucket in buckets]
            self._calls.rows = max(self._calls.rows, min(instance._bucket_batch_sizes))

    # Gradients

    def _backward(
        self,
        original: Callable[..., Any],
        heads: Any,
        gradients: Any = None,
        retain_graph: bool = False,
        train_mode: bool = True,
        **named: Any,
    ) -> Any:
        gradients = next(iter(named.values()), gradients)  # 'head_grads' of one function, 'out_grad' of the other
        with self._calls.one_pass(retain_graph):
            return original(heads, gradients, retain_graph, train_mode)

    def _grad(self, original: Callable[..., Any], heads: Any, variables: Any, *args: Any, **kwargs: Any) -> Any:
        arrays = [variables] if isinstance(variables, mx.nd.NDArray) else variables
        place = next((array.context for array in arrays if array.context in self._calls.places), None)
        try:
            if not training.divided(arrays)[0]:
                return original(heads, variables, *args, **kwargs)
        except mx.MXNetError:  # a parameter's array from before its net has computed
            if place is None:
                raise
        raise PluginError(
            f"mx.autograd.grad of a parameter of a net on {place}: what is computed through XLA has its gradients in "
            "the parameters' grad(), after backward()"
        ) from None

    def _mark_variables(self, original: Callable[..., Any], variables: Any, gradients: Any, *args: Any) -> None:
        """MXNet computes nothing with parameters on a device, so it need not read them."""
        pairs = [(variables, gradients)] if isinstance(variables, mx.nd.NDArray) else list(zip(variables, gradients))
        pairs = [pair for pair in pairs if not isinstance(pair[0], DeviceArray)]
        if pairs:
            original(*map(list, zip(*pairs)), *args)

    def _zero_grad(self, original: Callable[..., Any], parameter: mx.gluon.Parameter) -> None:
        if isinstance((parameter._grad or [None])[0], DeviceArray):
            training.set_to_zero(parameter._grad)
        else:
            original(parameter)

    def _zero_all(self, original: Callable[..., Any], parameters: Any) -> None:
        on_device, others = training.divided([array for p in parameters.values() for array in p._grad or ()])
        if not on_device:
            return original(parameters)
        training.set_to_zero(on_device)
        for array in others:
            array[:] = 0

    def _grad_global_norm(self, original: Callable[..., Any], parameters: Any, max_norm: Any = None) -> Any:
        parameters = list(parameters)
        gradients = [parameter.list_grad()[0] for parameter in parameters if parameter.grad_req != "null"]
        if not training.divided(gradients)[0]:
            return original(parameters, max_norm)
        norm, context = training.norm_of(gradients), gradients[0].context
        figures = [norm]
        if max_norm is not None:
            ratio = training.ratio_of(norm, float(max_norm))
            figures += [ratio, float(np.isfinite(ratio))]
        arrays = [mx.nd.array([figure], context) for figure in figures]
        return arrays[0] if max_norm is None else tuple(arrays)

    def _clip_grad_global_norm(
        self, original: Callable[..., Any], parameters: Any, max_norm: float, check_isfinite: bool = True
    ) -> Any:
        parameters = list(parameters)
        gradients = [array for p in parameters if p.grad_req != "null" for array in p.list_grad()]
        if not training.divided(gradients)[0]:
            return original(parameters, max_norm, check_isfinite)
        norm, ratio, is_finite = host_parameter.grad_global_norm(parameters, max_norm)
        if check_isfinite and not is_finite.asscalar():
            warnings.warn("nan or inf is detected. Clipping results will be undefined.", stacklevel=3)
        if ratio.asscalar() != 1:
            training.scale(gradients, 1 / ratio.asscalar())
        return norm

    def _init_trainer(self, original: Callable[..., Any], trainer: mx.gluon.Trainer, *args: Any, **kwargs: Any) -> None:
        original(trainer, *args, **kwargs)
        if set(trainer._contexts) & set(self._calls.places):
            trainer._kvstore_params["update_on_kvstore"] = False

    def _allreduce(self, original: Callable[..., Any], trainer: mx.gluon.Trainer) -> None:
        gradients = [parameter.list_grad() for parameter in trainer._params if parameter.grad_req != "null"]
        on_device = [copies for copies in gradients if isinstance(copies[0], DeviceArray)]
        if not on_device:
            return original(trainer)
        if self._num_ranks > 1 or len(on_device[0]) > 1:
            self._reduction.sum(on_device, 1 / self._num_ranks if self.averages else 1)
        for copies in gradients:
            if len(copies) > 1 and not isinstance(copies[0], DeviceArray):
                total = mx.nd.add_n(*(array.as_in_context(copies[0].context) for array in copies))
                for array in copies:
                    total.copyto(array)

    def _update(self, original: Callable[..., Any], updater: Any, index: Any, grad: Any, weight: Any) -> None:
        if not isinstance(index, (list, tuple)):
            index, grad, weight = [index], [grad], [weight]
        is_mine = [isinstance(array, DeviceArray) for array in weight]
        if any(is_mine) and not isinstance(updater.optimizer, BERTAdam):
            self._tell(
                f"{type(updater.optimizer).__name__} updates parameters on the CPU: each update transfers all of "
                "them there and back; bertadam updates them on the device"
            )
            is_mine = [False] * len(is_mine)
        for which, call in ((True, training.update), (False, original)):
            chosen = [number for number, mine in enumerate(is_mine) if mine == which]
            if chosen:
                call(updater, *([values[number] for number in chosen] for values in (index, grad, weight)))

    def _set_current_context(self, original: Callable[..., Any], optimizer: Any, device_id: int) -> None:
        """Count updates under the number that the script knows, which is saved with the optimizer's states."""
        original(optimizer, device_id - FIRST if device_id >= FIRST else device_id)

    def _init_amp(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        for place in self._calls.places.values():
            place.dtype = place.half_precision
            self._tell(f"float16: {place.context} computes in {place.dtype}", logging.INFO)

    def _tell(self, line: str, level: int = logging.WARNING) -> None:
        if line not in self._told:
            self._told.add(line)
            _log.log(level, "%s", line)


class _NotHybridized:
    """A block as if it were not hybridized: as a graph of MXNet's it would have its BERT inside."""

    _active = False

    def __init__(self, block: Any) -> None:
        self._block = block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)
