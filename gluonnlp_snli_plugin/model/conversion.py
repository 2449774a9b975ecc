"""GluonNLP's BERT on its way into the model store: names and shapes of its parameters, and Hugging Face's for them."""

import dataclasses
import json
import logging
import re
from typing import Any, Dict, List

import mxnet as mx
import numpy as np
import safetensors

from ..errors import CheckpointError
from ..files import require_regular

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
    """

    backbone: str
    hparams: Dict[str, Any]
    parameters: Dict[str, mx.nd.NDArray]
    parts: List[str]
    vocab_content: bytes
    vocab_extension: str
    special_tokens: Dict[str, str]


def convert_weights(hparams, vocab_size, tensors):
    """The parameters of GluonNLP's BERT from those of Hugging Face's; returns ({name: NDArray}, parts)."""
    tensors.require(f"encoder.layer.{hparams['num_layers'] - 1}.output.dense.weight")
    parts = [part for part in ("pooler", "decoder", "classifier") if _usable(part, hparams, tensors)]
    parameters = {}
    for ours, (theirs, shape) in bert_mapping(hparams, vocab_size, parts).items():
        tensors.require(theirs, shape)
        parameters[ours] = mx.nd.array(tensors.finite(theirs), dtype=np.float32)
    add_missing_pooler(parameters, parts, hparams["units"], tensors.path)
    return parameters, parts


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


def _usable(part, hparams, tensors):
    """Whether the weights have a part in a form that GluonNLP's BERT can hold."""
    if part == "decoder":  # GluonNLP ties it to the word embedding and always uses GELU in it
        own = "cls.predictions.decoder.weight"
        tied = own not in tensors or np.array_equal(tensors[own], tensors["embeddings.word_embeddings.weight"])
        return "cls.predictions.bias" in tensors and tied and "activation" not in hparams
    if part == "classifier":
        return "cls.seq_relationship.weight" in tensors and "pooler.dense.weight" in tensors
    return "pooler.dense.weight" in tensors or "pooler.dense.bias" in tensors  # half of one is refused later


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


class Tensors:
    """The tensors of ``model.safetensors`` as float32 arrays, by one spelling of their names."""

    def __init__(self, folder):
        self.path = folder / "model.safetensors"
        if not self.path.is_file():
            pickled = next(folder.glob("pytorch_model*.bin"), None)
            if pickled is not None:
                raise CheckpointError(
                    f"{pickled} is a pickle, and loading one can run any program; convert it where it comes from: "
                    "AutoModel.from_pretrained(DIR).save_pretrained(DIR, safe_serialization=True)"
                )
            raise CheckpointError(f"{self.path} is missing")
        try:
            require_regular(self.path)
        except OSError as error:
            raise CheckpointError(f"{self.path}: {error.strerror}") from None
        try:
            with safetensors.safe_open(str(self.path), framework="np") as file:
                names = file.keys()
        except (safetensors.SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path} is no safetensors file ({error})") from None
        self._names: Dict[str, str] = {}
        for name in names:
            other = self._names.setdefault(self._common(name), name)
            if other != name:
                raise CheckpointError(f"{self.path}: {other} and {name} are the same parameter of a BERT")

    @staticmethod
    def _common(name):
        """Without the prefix of ``BertFor…`` models, with BERT's own names and the LayerNorm names of today."""
        name = re.sub(r"^(bert|deberta)\.", "", name)
        name = re.sub(r"(\.attention\.self\.(query|key|value))_proj\.", r"\1.", name)  # DeBERTa's
        return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))

    def __contains__(self, name):
        return name in self._names

    def require(self, name, shape=None):
        """Complain if a tensor is missing, or has not the shape that config.json says; nothing of it is read."""
        if name not in self:
            raise CheckpointError(f"{self.path} has no tensor {name}: it is no complete BERT")
        if shape is None:
            return
        with safetensors.safe_open(str(self.path), framework="np") as file:
            found = tuple(file.get_slice(self._names[name]).get_shape())
        if found != shape:
            raise CheckpointError(f"{self.path}: {name} is of shape {found}, config.json says {shape}")

    def finite(self, name):
        """A tensor without infinity and NaN in it."""
        tensor = self[name]
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{self.path}: {name} holds numbers that are not finite")
        return tensor

    def __getitem__(self, name):
        self.require(name)
        with safetensors.safe_open(str(self.path), framework="np") as file:
            tensor = file.get_slice(self._names[name])
            if tensor.get_dtype() == "BF16":  # no numpy type: widen the bits
                return self._bfloat16(self._names[name])
            if tensor.get_dtype() not in ("F16", "F32", "F64"):
                raise CheckpointError(f"{self.path}: {name} is of type {tensor.get_dtype()}, no floating point")
            with np.errstate(over="ignore"):  # what is not finite is complained about
                return file.get_tensor(self._names[name]).astype(np.float32)

    def _bfloat16(self, name):
        with open(self.path, "rb") as file:  # safe_open has checked the sizes
            header_size = int.from_bytes(file.read(8), "little")
            tensor = json.loads(file.read(header_size))[name]
            begin, end = tensor["data_offsets"]
            file.seek(8 + header_size + begin)
            bits = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor["shape"])
