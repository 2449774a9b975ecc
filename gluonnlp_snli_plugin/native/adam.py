"""AdamW and Adam for all parameters of a net in two operator calls: norm of the gradients, then clipping and update."""

import math
from typing import Sequence

import mxnet as mx

from . import operators


class Adam:
    """Equivalent to ``Trainer.update`` with optimizer 'bertadam' or 'adam', on CPU, including clipping.

    Parameters
    ----------
    parameters : list of Parameter
        Initialized, float32, on one or several CPU devices.
    rule : {'bertadam', 'adam'}
        AdamW as in GluonNLP's ``BERTAdam`` (decoupled weight decay, no bias correction), or MXNet's ``Adam``.
    epsilon : float
    weight_decay : float
        Times each parameter's ``wd_mult``.
    clip : float
        Largest global norm of the gradients; 0 for no limit.

    Attributes
    ----------
    num_updates : int
    moments : list
        For each device the means, and the variances, of all parameters' gradients: two lists of NDArray.
    """

    def __init__(
        self, parameters: Sequence[mx.gluon.Parameter], rule: str, epsilon: float, weight_decay: float, clip: float
    ) -> None:
        self._parameters = list(parameters)
        self._is_adamw = rule == "bertadam"
        self._settings = {"beta1": 0.9, "beta2": 0.999, "epsilon": epsilon, "decoupled": self._is_adamw}
        self._wds = [weight_decay * parameter.wd_mult for parameter in self._parameters]
        self._lr_mults = [parameter.lr_mult for parameter in self._parameters]
        self._clip = clip
        self.num_updates = 0
        self.moments = [
            [[mx.nd.zeros_like(weight) for weight in weights] for _ in ("mean", "variance")]
            for weights in zip(*(parameter.list_data() for parameter in self._parameters))
        ]

    def update(self, learning_rate: float) -> None:
        """Make one update from the gradients that the parameters hold, the same on every device."""
        self.num_updates += 1
        if not self._is_adamw:
            bias_corrections = 1 - 0.999**self.num_updates, 1 - 0.9**self.num_updates
            learning_rate *= math.sqrt(bias_corrections[0]) / bias_corrections[1]
        lrs = [learning_rate * lr_mult for lr_mult in self._lr_mults]
        for device, (means, variances) in enumerate(self.moments):
            gradients = [parameter.list_grad()[device] for parameter in self._parameters]
            weights = [parameter.list_data()[device] for parameter in self._parameters]
            self.norm_and_factor = operators.clip_factor(gradients, self._clip)
            factor = self.norm_and_factor[1:]
            operators.adam(weights, gradients, means, variances, factor, lrs, self._wds, **self._settings)
