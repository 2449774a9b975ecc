"""GluonNLP's BERT on its way into the model store: names and shapes of its parameters, and Hugging Face's for them."""

import dataclasses
import logging
import re
from typing import Any, Dict, List, Optional, Set, Tuple

import mxnet as mx
import numpy as np

from ..data.tokenizer_settings import TokenizerSettings
from ..errors import CheckpointError
from .tensors import Tensors

_LAYER = re.compile(r"encoder\.layer\.(\d{1,6})\.")
_BUFFERS = {"embeddings.position_ids", "embeddings.token_type_ids"}  # which count up, and are zeros
_HEADS = {"pooler": "pooler.", "decoder": "cls.predictions.", "classifier": "cls.seq_relationship."}
_log = logging.getLogger("gluonnlp_snli_plugin")


@dataclasses.dataclass(frozen=True)
class ImportedBert:
    """A BERT that was read and checked, in GluonNLP's terms.

    Attributes
    ----------
    backbone : str
        Architecture, ``bert_L_H_A``.
    hparams : dict
        All hyper-parameters of the architecture.
    parameters : dict of str to NDArray
        float32, by the names of ``Block.save_parameters``.
    parts : list of str
        Which of 'pooler', 'decoder' and 'classifier' are there besides the encoder.
    vocab_content : bytes
        The vocabulary's file.
    vocab_extension : str
        '.vocab' (GluonNLP's JSON) or '.spiece' (a SentencePiece model).
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` must be told.
    tokenizer : TokenizerSettings
    """

    backbone: str
    hparams: Dict[str, Any]
    parameters: Dict[str, mx.nd.NDArray]
    parts: List[str]
    vocab_content: bytes
    vocab_extension: str
    special_tokens: Dict[str, str]
    tokenizer: TokenizerSettings


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
        Which of 'pooler', 'decoder' and 'classifier' there are. What else is beside the encoder is left out, in a
        warning.

    Raises
    ------
    CheckpointError
        If the encoder is incomplete, or has parameters that no plain BERT has.
    """
    tensors.require(f"encoder.layer.{hparams['num_layers'] - 1}.output.dense.weight")
    reasons = {part: _why_unusable(part, hparams, vocab_size, tensors) for part in _HEADS}
    parts = [part for part, reason in reasons.items() if reason is None]
    mapping = bert_mapping(hparams, vocab_size, parts)
    parameters = {}
    for ours, (theirs, shape) in mapping.items():
        tensors.require(theirs, shape)
        parameters[ours] = mx.nd.array(tensors.finite(theirs), dtype=np.float32)
    _tell_what_is_left(hparams, tensors, {theirs for theirs, _ in mapping.values()} | set(head), reasons)
    add_missing_pooler(parameters, parts, hparams["units"], tensors.path)
    return parameters, parts


def _tell_what_is_left(
    hparams: Dict[str, Any], tensors: Tensors, used: Set[str], reasons: Dict[str, Optional[str]]
) -> None:
    """Warn of tensors that are left out; a CheckpointError if the encoder would not be itself without them."""
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
        _log.warning("%s: left out, beside the encoder: %s%s", tensors.path, ", ".join(names[:4]), more)


def add_missing_pooler(parameters, parts, units, path):
    """Make a new pooler for weights from `path` that have none, the same at every import."""
    if "pooler" not in parts:
        _log.warning("%s has no pooler: a new one is made, to be trained with the head", path)
        new = np.random.default_rng(0).normal(0, 0.02, (units, units))
        parameters["pooler.weight"] = mx.nd.array(new, dtype=np.float32)
        parameters["pooler.bias"] = mx.nd.zeros(units)
        parts.insert(0, "pooler")


def bert_mapping(hparams, vocab_size, parts):
    """GluonNLP's parameter name -> (Hugging Face's name, shape), of the encoder and the given parts; a dict."""
    units = hparams["units"]
    mapping = dict(_encoder_mapping(hparams, vocab_size))
    if "pooler" in parts:
        mapping.update(_dense("pooler", "pooler.dense", (units, units)))
    if "decoder" in parts:
        mapping.update(_dense("decoder.0", "cls.predictions.transform.dense", (units, units)))
        mapping.update(_layer_norm("decoder.2", "cls.predictions.transform.LayerNorm", units))
        mapping["decoder.3.bias"] = ("cls.predictions.bias", (vocab_size,))
    if "classifier" in parts:
        mapping.update(_dense("classifier", "cls.seq_relationship", (2, units)))
    return mapping


def _why_unusable(part: str, hparams: Dict[str, Any], vocab_size: int, tensors: Tensors) -> Optional[str]:
    """Why GluonNLP's BERT cannot have a part of the weights; None if it can."""
    encoder = bert_mapping(hparams, vocab_size, [])
    wanted = {ours: there for ours, there in bert_mapping(hparams, vocab_size, [part]).items() if ours not in encoder}
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
            return "GluonNLP's has no other activation than gelu"
    if part == "classifier" and "pooler.dense.weight" not in tensors:
        return "there is no pooler"
    return None


def _encoder_mapping(hparams, vocab_size):
    units, hidden = hparams["units"], hparams["hidden_size"]
    for ours, theirs, rows in (
        ("word_embed.0.weight", "word", vocab_size),
        ("token_type_embed.0.weight", "token_type", hparams["token_type_vocab_size"]),
        ("encoder.position_weight", "position", hparams["max_length"]),
    ):
        yield ours, (f"embeddings.{theirs}_embeddings.weight", (rows, units))
    yield from _layer_norm("encoder.layer_norm", "embeddings.LayerNorm", units)
    for i in range(hparams["num_layers"]):
        ours, theirs = f"encoder.transformer_cells.{i}", f"encoder.layer.{i}"
        for which in ("query", "key", "value"):
            yield from _dense(f"{ours}.attention_cell.proj_{which}", f"{theirs}.attention.self.{which}", (units, units))
        yield from _dense(f"{ours}.proj", f"{theirs}.attention.output.dense", (units, units))
        yield from _layer_norm(f"{ours}.layer_norm", f"{theirs}.attention.output.LayerNorm", units)
        yield from _dense(f"{ours}.ffn.ffn_1", f"{theirs}.intermediate.dense", (hidden, units))
        yield from _dense(f"{ours}.ffn.ffn_2", f"{theirs}.output.dense", (units, hidden))
        yield from _layer_norm(f"{ours}.ffn.layer_norm", f"{theirs}.output.LayerNorm", units)


def _dense(ours, theirs, shape):
    yield f"{ours}.weight", (f"{theirs}.weight", shape)
    yield f"{ours}.bias", (f"{theirs}.bias", shape[:1])


def _layer_norm(ours, theirs, units):
    yield f"{ours}.gamma", (f"{theirs}.weight", (units,))
    yield f"{ours}.beta", (f"{theirs}.bias", (units,))
