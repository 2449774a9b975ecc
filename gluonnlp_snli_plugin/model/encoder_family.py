"""What the families of GluonNLP's ``BERTModel`` have in common: names by shape, sizes, parameters, ``config.json``."""

import re
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, TypeVar

import mxnet as mx
import numpy as np
from gluonnlp.vocab import Vocab

from .. import registry
from ..data.layout import PairLayout
from ..errors import CheckpointError, UsageError
from .parameter_names import HostClassifier, HuggingFaceNames, Parameters, dense, layer_norm

SMALLEST = 1e-30  # positive number that MXNet can parse in a net's description
LARGEST = 1 << 24  # above any size of a model
#: Hyper-parameters that every caller of GluonNLP's functions sets; an architecture determines the others.
OPEN_TO_CALLERS = frozenset({"use_residual", "dropout", "word_embed"})
# Hugging Face's names of activations -> GluonNLP's.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "approx_gelu",
    "gelu_fast": "approx_gelu",
    "gelu_accurate": "approx_gelu",
    "gelu_pytorch_tanh": "approx_gelu",
    "gelu_python_tanh": "approx_gelu",
    "relu": "relu",
}
_WRITTEN_ACTIVATIONS = {"gelu": "gelu", "approx_gelu": "gelu_pytorch_tanh", "relu": "relu"}


class EncoderFamily:
    """Base class of the families whose nets are GluonNLP's ``BERTModel``; each is a :class:`.family.Family`.

    Attributes
    ----------
    name : str
        Before the shape in the names of its architectures.
    sizes : dict of str to str
        The sizes in Hugging Face's ``config.json`` -> GluonNLP's names.
    layer_norm_eps : float
        Of LayerNorm, unless a checkpoint says otherwise.
    """

    name = ""
    example = ""
    model_type = ""
    layout: PairLayout
    parts: Tuple[str, ...] = ()
    own_head = "mlp"
    default_head = "mlp"
    host_classifier: Optional[HostClassifier] = None
    builder = ("gluonnlp.model.bert", "get_bert_model")
    huggingface: HuggingFaceNames
    sizes: Mapping[str, str] = {}
    layer_norm_eps = 1e-12

    @property
    def form(self) -> str:
        return f"{self.name}_LAYERS_UNITS_HEADS, such as {self.example}"

    @property
    def has_pooler(self) -> bool:
        return "pooler" in self.parts

    @property
    def pattern(self) -> "re.Pattern[str]":
        """The form of its architecture names; larger models do not fit any machine."""
        return re.compile(rf"{self.name}_([0-9]{{1,4}})_([0-9]{{1,6}})_([0-9]{{1,6}})")

    def knows(self, backbone: str) -> bool:
        return bool(self.pattern.fullmatch(backbone))

    def hparams(self, backbone: str) -> Dict[str, Any]:
        shape = self.pattern.fullmatch(backbone)
        if not shape:
            raise UsageError(f"no architecture {backbone!r}; a name is {self.form}")
        layers, units, heads = map(int, shape.groups())
        if not (layers and units and heads) or units % heads:
            raise UsageError(f"no architecture {backbone!r}: {units} units cannot be divided among {heads} heads")
        return {
            "num_layers": layers,
            "units": units,
            "hidden_size": 4 * units,
            "max_length": 512,
            "num_heads": heads,
            "dropout": 0.1,
            "embed_size": units,
            **self.usual_hparams(),
            "word_embed": None,
        }

    def usual_hparams(self) -> Dict[str, Any]:
        """Further hyper-parameters, the same for all shapes."""
        return {"layer_norm_eps": self.layer_norm_eps}

    def are_hparams(self, backbone: str, hparams: Dict[str, Any]) -> bool:
        named = self.hparams(backbone)
        optional = {"activation": ("gelu", "approx_gelu", "relu"), "use_residual": (True, False)}
        sizes = {"num_layers", "units", "num_heads", "embed_size", "hidden_size", "max_length", "token_type_vocab_size"}
        return (
            set(named) <= set(hparams) <= set(named) | set(optional) | {"layer_norm_eps"}
            and all(hparams[key] in values for key, values in optional.items() if key in hparams)
            and _is_eps(hparams.get("layer_norm_eps", self.layer_norm_eps))
            and all(type(hparams[key]) is int and 0 < hparams[key] < LARGEST for key in sizes & set(named))
            and all(hparams[key] == named[key] for key in ("num_layers", "units", "num_heads", "embed_size"))
            and hparams["word_embed"] is None
            and is_dropout(hparams["dropout"])
        )

    def parameters(
        self, hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
        mapping = dict(self._encoder(hparams, vocab_size))
        for part in parts:
            mapping.update(self.part(part, hparams, vocab_size))
        return mapping

    def part(self, part: str, hparams: Dict[str, Any], vocab_size: int) -> Parameters:
        """The parameters of a part besides the encoder."""
        raise ValueError(f"{self.name} has no {part}")

    def _encoder(self, hparams: Dict[str, Any], vocab_size: int) -> Parameters:
        units, hidden, names = hparams["units"], hparams["hidden_size"], self.huggingface.layer
        yield "word_embed.0.weight", ("embeddings.word_embeddings.weight", (vocab_size, units))
        if "token_type_vocab_size" in hparams:
            shape = hparams["token_type_vocab_size"], units
            yield "token_type_embed.0.weight", ("embeddings.token_type_embeddings.weight", shape)
        yield "encoder.position_weight", ("embeddings.position_embeddings.weight", (hparams["max_length"], units))
        yield from layer_norm("encoder.layer_norm", "embeddings.LayerNorm", units)
        for i in range(hparams["num_layers"]):
            ours, theirs = f"encoder.transformer_cells.{i}", f"{names.start}{i}"
            for which in ("query", "key", "value"):
                name = f"{theirs}.{getattr(names, which)}"
                yield from dense(f"{ours}.attention_cell.proj_{which}", name, (units, units))
            yield from dense(f"{ours}.proj", f"{theirs}.{names.proj}", (units, units))
            yield from layer_norm(f"{ours}.layer_norm", f"{theirs}.{names.attention_norm}", units)
            yield from dense(f"{ours}.ffn.ffn_1", f"{theirs}.{names.ffn_1}", (hidden, units))
            yield from dense(f"{ours}.ffn.ffn_2", f"{theirs}.{names.ffn_2}", (units, hidden))
            yield from layer_norm(f"{ours}.ffn.layer_norm", f"{theirs}.{names.ffn_norm}", units)

    def function(self, backbone: str) -> Callable[..., Any]:
        """What ``nlp.model.get_model`` calls for an architecture, with the parameters of :attr:`builder`'s function."""

        def build(dataset_name: Any = None, vocab: Any = None, **kwargs: Any) -> Any:
            registry.add_backbone(backbone, self.hparams(backbone))
            builder = registry.builder(*self.builder)
            return builder(backbone, dataset_name=dataset_name, vocab=vocab, **kwargs)

        build.__name__ = backbone
        return build

    def build(self, backbone: str, vocab: Vocab, hparams: Dict[str, Any], use_pooler: bool) -> mx.gluon.Block:
        use = {f"use_{part}": part == "pooler" and use_pooler for part in self.parts}
        net, _ = self.function(backbone)(vocab=vocab, pretrained=False, hparam_allow_override=True, **use, **hparams)
        return net

    def read_config(self, config: Dict[str, Any], path: Any) -> Tuple[str, Dict[str, Any]]:
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise CheckpointError(
                f"{path}: position_embedding_type is {config['position_embedding_type']!r}; only 'absolute' can be "
                "imported"
            )
        for flag in ("is_decoder", "add_cross_attention"):
            if config.get(flag):
                raise CheckpointError(f"{path}: {flag} is set; only encoders can be imported")
        sizes = {ours: size_in(config, theirs, path) for theirs, ours in [("vocab_size", ""), *self.sizes.items()]}
        del sizes[""]
        activation = config.get(self.huggingface.activation, "gelu")
        if not isinstance(activation, str) or activation not in _ACTIVATIONS:
            known = ", ".join(sorted(_ACTIVATIONS))
            raise CheckpointError(f"{path}: {self.huggingface.activation} {activation!r}; GluonNLP has {known}")
        eps = self.eps_in(config)
        if not _is_eps(eps):
            raise CheckpointError(f"{path}: layer_norm_eps is {eps!r}")
        backbone = f"{self.name}_{sizes['num_layers']}_{sizes['units']}_{sizes['num_heads']}"
        try:
            hparams = {**self.hparams(backbone), **self.sizes_in(config, sizes, path)}
        except UsageError as error:
            raise CheckpointError(f"{path}: {error}") from None
        if _ACTIVATIONS[activation] != "gelu":
            hparams["activation"] = _ACTIVATIONS[activation]
        if eps != hparams.get("layer_norm_eps", self.layer_norm_eps):
            hparams["layer_norm_eps"] = eps
        return backbone, hparams

    def eps_in(self, config: Dict[str, Any]) -> Any:
        """Epsilon of LayerNorm as ``config.json`` has it, unchecked."""
        return config.get("layer_norm_eps", self.layer_norm_eps)

    def sizes_in(self, config: Dict[str, Any], sizes: Dict[str, int], path: Any) -> Dict[str, int]:
        """GluonNLP's sizes from those of ``config.json``; a CheckpointError if they do not fit."""
        return sizes

    def padding_in(self, config: Dict[str, Any]) -> Optional[int]:
        return None

    def write_config(self, hparams: Dict[str, Any], pad_id: int) -> Dict[str, Any]:
        names = self.huggingface
        return {
            **{theirs: hparams[ours] for theirs, ours in self.sizes.items()},
            names.activation: _WRITTEN_ACTIVATIONS[hparams.get("activation", "gelu")],
            "layer_norm_eps": hparams.get("layer_norm_eps", self.layer_norm_eps),
            names.dropout: hparams["dropout"],
            names.attention_dropout: hparams["dropout"],
        }

    def tensors(
        self, config: Dict[str, Any], hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[int, ...]]:
        return dict(self.parameters(hparams, vocab_size, parts).values())

    def from_huggingface(
        self, name: str, theirs: str, tensor_of: Callable[[str], np.ndarray], config: Dict[str, Any]
    ) -> np.ndarray:
        return tensor_of(theirs)

    def to_huggingface(
        self, parameters: Mapping[str, np.ndarray], hparams: Dict[str, Any], pad_id: int
    ) -> Dict[str, np.ndarray]:
        mapping = self.parameters(hparams, len(parameters["word_embed.0.weight"]), self.parts)
        return {theirs: parameters[ours] for ours, (theirs, _) in mapping.items() if ours in parameters}


_EncoderFamily = TypeVar("_EncoderFamily", bound=EncoderFamily)


def register(family: _EncoderFamily) -> _EncoderFamily:
    """Make a family known by its name, and its architectures to ``nlp.model.get_model``."""
    registry.family(family.name)(family)
    registry.models_matching(family.pattern)(family.function)
    return family


def size_in(config: Dict[str, Any], key: str, path: Any) -> int:
    """A size in ``config.json``; a CheckpointError if it is missing or is not a size."""
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < LARGEST:
        raise CheckpointError(f"{path}: {key} is {'missing' if value is None else repr(value)[:60]}")
    return value


def is_dropout(value: Any) -> bool:
    """Whether `value` is a valid dropout rate."""
    return type(value) in (int, float) and (value == 0 or SMALLEST <= value < 1)


def _is_eps(value: Any) -> bool:
    return type(value) is float and SMALLEST <= value < 1
