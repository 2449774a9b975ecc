"""The weights of a BERT: Hugging Face's names to GluonNLP's."""

import logging
import re
from typing import Any, Dict, List, Optional, Set, Tuple

import mxnet as mx
import numpy as np

from ...errors import CheckpointError
from ...model.bert import BERT
from ...store.pretrained import add_missing_pooler
from .tensors import Tensors

_LAYER = re.compile(r"encoder\.layer\.(\d{1,6})\.")
_BUFFERS = {"embeddings.position_ids", "embeddings.token_type_ids"}  # which count up, and are zeros
_HEADS = {"pooler": "pooler.", "decoder": "cls.predictions.", "classifier": "cls.seq_relationship."}
_log = logging.getLogger("gluonnlp_snli_plugin")


def convert_weights(
    hparams: Dict[str, Any], vocab_size: int, tensors: Tensors, head: Tuple[str, ...] = ()
) -> Tuple[Dict[str, mx.nd.NDArray], List[str]]:
    """The parameters of GluonNLP's BERT from those of Hugging Face's.

    Parameters
    ----------
    hparams : dict
    vocab_size : int
    tensors : Tensors
    head : tuple of str
        Tensors that the caller reads itself.

    Returns
    -------
    parameters : dict of str to NDArray
    parts : list of str
        Which of 'pooler', 'decoder' and 'classifier' exist. A warning names what else is left out.

    Raises
    ------
    CheckpointError
        If the encoder is incomplete, or has parameters that no plain BERT has.
    """
    tensors.require(f"encoder.layer.{hparams['num_layers'] - 1}.output.dense.weight")
    reasons = {part: _why_unusable(part, hparams, vocab_size, tensors) for part in _HEADS}
    parts = [part for part, reason in reasons.items() if reason is None]
    mapping = BERT.parameters(hparams, vocab_size, parts)
    parameters = {}
    for ours, (theirs, shape) in mapping.items():
        tensors.require(theirs, shape)
        parameters[ours] = mx.nd.array(tensors.finite(theirs), dtype=np.float32)
    _warn_of_others(hparams, tensors, {theirs for theirs, _ in mapping.values()} | set(head), reasons)
    add_missing_pooler(parameters, parts, hparams["units"], tensors.path)
    return parameters, parts


def _warn_of_others(
    hparams: Dict[str, Any], tensors: Tensors, used: Set[str], reasons: Dict[str, Optional[str]]
) -> None:
    """Warn of tensors that are left out; a CheckpointError if they belong to the encoder."""
    if "cls.predictions.bias" in used:  # the same as that, and as the word embedding
        used |= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    left: Dict[str, None] = {}
    for name in tensors.names():
        if name in used or name in _BUFFERS:
            continue
        layer = _LAYER.match(name)
        is_further = layer and int(layer[1]) >= hparams["num_layers"]
        if name.startswith(("embeddings.", "encoder.")) and not is_further:
            raise CheckpointError(f"{tensors.path}: {name} is not a parameter of the BERT that config.json describes")
        part = next((part for part, prefix in _HEADS.items() if name.startswith(prefix)), None)
        reason = reasons.get(part or "")
        left[f"{part} ({reason})" if reason else layer[0].rstrip(".") if layer else name] = None
    if left:
        names = list(left)
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        _log.warning("%s: left out, besides the encoder: %s%s", tensors.path, ", ".join(names[:4]), more)


def _why_unusable(part: str, hparams: Dict[str, Any], vocab_size: int, tensors: Tensors) -> Optional[str]:
    """Why GluonNLP's BERT cannot have a part of the weights; None if it can."""
    encoder = BERT.parameters(hparams, vocab_size, [])
    wanted = {
        ours: there for ours, there in BERT.parameters(hparams, vocab_size, [part]).items() if ours not in encoder
    }
    for name, shape in wanted.values():
        if name not in tensors:
            return f"{name} is missing"
        if tensors.shape(name) != shape:
            return f"{name} is of shape {tensors.shape(name)}"
    if part == "decoder":  # GluonNLP ties it to the word embedding and always uses GELU in it
        own = "cls.predictions.decoder.weight"
        if own in tensors and not np.array_equal(tensors[own], tensors["embeddings.word_embeddings.weight"]):
            return "its weights are its own, not the word embedding"
        if "activation" in hparams:
            return "GluonNLP's has the activation gelu alone"
    if part == "classifier" and "pooler.dense.weight" not in tensors:
        return "there is no pooler"
    return None
