"""From gradients to new weights, as pure functions: clipping, AdamW or Adam, and the scale of the loss for float16."""

from typing import Any, Dict, Mapping, NamedTuple, Tuple

import jax.numpy as jnp
import numpy as np

_BETAS = np.float32(0.9), np.float32(0.999)  # as MXNet subtracts them from 1, in float32
_FIRST_SCALE, _LARGEST_SCALE = 2.0**15, 2.0**24
_UPDATES_TO_DOUBLE = 2000  # without an overflow

State = Dict[str, Any]


class Rule(NamedTuple):
    """How parameters are updated.

    As GluonNLP's ``BERTAdam`` (AdamW without bias correction), or MXNet's ``Adam``, with its decay among the gradients.
    """

    is_adamw: bool
    epsilon: float
    clip: float  #: largest global norm of the gradients; 0 for no limit
    weight_decay: Mapping[str, float]  #: of each trained parameter
    scales_loss: bool


def new_state(weights: Mapping[str, Any], rule: Rule) -> State:
    """The state of training before the first update.

    Parameters
    ----------
    weights : dict of str to array of float32
        All parameters of the net; those that `rule` has a weight decay for are trained.
    rule : Rule

    Returns
    -------
    dict
        'weight', 'mean' and 'variance' are dicts by name, the last two of what is trained; 'scale' and
        'sound_updates' are numbers: what the loss is multiplied by, and how many updates it has been so.
    """
    moments = {
        kind: {name: jnp.zeros_like(weights[name]) for name in rule.weight_decay} for kind in ("mean", "variance")
    }
    scale = jnp.float32(_FIRST_SCALE if rule.scales_loss else 1)
    return {"weight": dict(weights), **moments, "scale": scale, "sound_updates": jnp.int32(0)}


def update(state: State, gradients: Mapping[str, Any], learning_rate: Any, rule: Rule) -> Tuple[State, Any]:
    """One update; none where a gradient is not finite.

    Parameters
    ----------
    state : dict
    gradients : dict of str to array of float32
        Of the loss times ``state['scale']``.
    learning_rate : array of float32, shape ()
    rule : Rule

    Returns
    -------
    state : dict
    norm : array of float32, shape ()
        Of all gradients together, before clipping.
    """
    gradients = {name: gradient / state["scale"] for name, gradient in gradients.items()}
    norm = jnp.sqrt(sum(jnp.square(gradient).sum() for gradient in gradients.values()))
    is_sound = jnp.isfinite(norm)
    factor = jnp.minimum(1, rule.clip / (norm + 1e-8)) if rule.clip else 1
    new: State = {**state, "weight": dict(state["weight"]), "mean": {}, "variance": {}}
    for name, gradient in gradients.items():
        weight, decay = state["weight"][name], rule.weight_decay[name]
        moments = state["mean"][name], state["variance"][name]
        gradient = gradient * factor + (0 if rule.is_adamw else decay * weight)
        decay = decay if rule.is_adamw else 0
        step, mean, variance = adam_step(weight, gradient, *moments, decay, rule.epsilon)
        for kind, value in (("weight", weight - learning_rate * step), ("mean", mean), ("variance", variance)):
            new[kind][name] = jnp.where(is_sound, value, state[kind][name])
    if rule.scales_loss:
        new["scale"], new["sound_updates"] = _next_scale(state["scale"], state["sound_updates"] + 1, is_sound)
    return new, norm


def adam_step(
    weight: Any, gradient: Any, mean: Any, variance: Any, decay: Any, epsilon: Any, betas: Tuple[Any, Any] = _BETAS
) -> Tuple[Any, Any, Any]:
    """What Adam subtracts from a weight, times the learning rate, and the new moments of its gradient."""
    mean = betas[0] * mean + (1 - betas[0]) * gradient
    variance = betas[1] * variance + (1 - betas[1]) * jnp.square(gradient)
    return mean / (jnp.sqrt(variance) + epsilon) + decay * weight, mean, variance


def _next_scale(scale: Any, sound_updates: Any, is_sound: Any) -> Tuple[Any, Any]:
    """Half of it after an overflow; twice as much after many updates without one."""
    is_due = sound_updates >= _UPDATES_TO_DOUBLE
    larger = jnp.where(is_due, jnp.minimum(2 * scale, _LARGEST_SCALE), scale)
    scale = jnp.where(is_sound, larger, jnp.maximum(scale / 2, 1))
    return scale, jnp.where(is_sound & ~is_due, sound_updates, 0)
