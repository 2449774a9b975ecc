"""The weights of a backbone: Hugging Face's names to GluonNLP's."""

import logging
import re
from typing import Any, Dict, List, Optional, Set, Tuple

import mxnet as mx
import numpy as np

from ...errors import CheckpointError
from ...model.family import Family
from ...store.pretrained import add_missing_pooler
from .tensors import Tensors

_BUFFERS = {"embeddings.position_ids", "embeddings.token_type_ids"}  # which count up, and are zeros
_log = logging.getLogger("gluonnlp_snli_plugin")


def convert_weights(
    family: Family,
    config: Dict[str, Any],
    hparams: Dict[str, Any],
    vocab_size: int,
    tensors: Tensors,
    head: Tuple[str, ...] = (),
) -> Tuple[Dict[str, mx.nd.NDArray], List[str]]:
    """The parameters of GluonNLP's net from those of Hugging Face's.

    Parameters
    ----------
    family : Family
    config : dict
        ``config.json``.
    hparams : dict
        What the family reads from it.
    vocab_size : int
    tensors : Tensors
    head : tuple of str
        Tensors that the caller reads itself.

    Returns
    -------
    parameters : dict of str to NDArray
    parts : list of str
        Which of the family's parts exist. A warning names what else is left out.

    Raises
    ------
    CheckpointError
        If the encoder is incomplete, or has parameters that none of this family has.
    """
    names = family.huggingface
    tensors.require(f"{names.layer.start}{hparams['num_layers'] - 1}.{names.layer.ffn_2}.weight")
    reasons = {part: _why_unusable(part, family, hparams, vocab_size, tensors) for part in names.parts}
    parts = [part for part, reason in reasons.items() if reason is None]
    needed = family.tensors(config, hparams, vocab_size, parts)
    for name, shape in needed.items():
        tensors.require(name, shape)
    parameters = {}
    for ours, (theirs, _) in family.parameters(hparams, vocab_size, parts).items():
        array = family.from_huggingface(ours, theirs, tensors.finite, config)
        parameters[ours] = mx.nd.array(array, dtype=np.float32)
    _warn_of_others(family, hparams, tensors, set(needed) | set(head), reasons)
    if family.has_pooler:
        add_missing_pooler(parameters, parts, hparams["units"], tensors.path)
    return parameters, parts


def _warn_of_others(
    family: Family, hparams: Dict[str, Any], tensors: Tensors, used: Set[str], reasons: Dict[str, Optional[str]]
) -> None:
    """Warn of tensors that are left out; a CheckpointError if they belong to the encoder."""
    names = family.huggingface
    if "decoder" in reasons and reasons["decoder"] is None:
        used |= set(names.tied)
    layer_of = re.compile(re.escape(names.layer.start) + r"(\d{1,6})\.")
    encoder = ("embeddings.", names.layer.start.partition(".")[0] + ".")
    left: Dict[str, None] = {}
    for name in tensors.names():
        if name in used or name in _BUFFERS:
            continue
        layer = layer_of.match(name)
        is_further = layer and int(layer[1]) >= hparams["num_layers"]
        if name.startswith(encoder) and not is_further:
            raise CheckpointError(f"{tensors.path}: {name} is not a parameter of the model that config.json describes")
        part = next((part for part, prefix in names.parts.items() if name.startswith(prefix)), None)
        reason = reasons.get(part or "")
        left[f"{part} ({reason})" if reason else layer[0].rstrip(".") if layer else name] = None
    if left:
        listed = list(left)
        more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
        _log.warning("%s: left out, besides the encoder: %s%s", tensors.path, ", ".join(listed[:4]), more)


def _why_unusable(
    part: str, family: Family, hparams: Dict[str, Any], vocab_size: int, tensors: Tensors
) -> Optional[str]:
    """Why GluonNLP's net cannot have a part of the weights; None if it can."""
    if part not in family.parts:
        return "GluonNLP's has none"
    encoder = family.parameters(hparams, vocab_size)
    wanted = {
        ours: there for ours, there in family.parameters(hparams, vocab_size, [part]).items() if ours not in encoder
    }
    for name, shape in wanted.values():
        if name not in tensors:
            return f"{name} is missing"
        if tensors.shape(name) != shape:
            return f"{name} is of shape {tensors.shape(name)}"
    if part == "decoder":  # GluonNLP ties it to the word embedding and always uses GELU in it
        for own, other in family.huggingface.tied.items():
            if own.endswith(".weight") and own in tensors and not np.array_equal(tensors[own], tensors[other]):
                return "its weights are its own, not the word embedding"
        if "activation" in hparams:
            return "GluonNLP's has the activation gelu alone"
    if part == "classifier" and f"{family.huggingface.parts['pooler']}dense.weight" not in tensors:
        return "there is no pooler"
    return None
