"""BERT: any ``bert_L_H_A`` (layers, units, attention heads)."""

import re
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

import mxnet as mx
from gluonnlp.model import bert
from gluonnlp.vocab import BERTVocab

from .. import registry
from ..data.layout import BERT_LAYOUT
from ..errors import CheckpointError, UsageError

_SHAPE = re.compile(r"bert_([0-9]{1,4})_([0-9]{1,6})_([0-9]{1,6})")  # larger models do not fit any machine
_SMALLEST = 1e-30  # positive number that MXNet can parse in a net's description
_HIDDEN_SIZE = {"bert_2_256_4": 512}  # as in the D2L chapter; otherwise four times the units, as in the BERT paper
_EPS = 1e-12  # of LayerNorm, unless a checkpoint says otherwise
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
# Hugging Face's names of sizes -> GluonNLP's.
_SIZES = {
    "num_hidden_layers": "num_layers",
    "hidden_size": "units",
    "num_attention_heads": "num_heads",
    "intermediate_size": "hidden_size",
    "max_position_embeddings": "max_length",
    "type_vocab_size": "token_type_vocab_size",
}

_Parameters = Iterator[Tuple[str, Tuple[str, Tuple[int, ...]]]]


class BertFamily:
    """BERT (Devlin et al., 2018) as ``gluonnlp.model.BERTModel`` computes it; a :class:`.family.Family`."""

    form = "bert_LAYERS_UNITS_HEADS, such as bert_12_768_12"
    model_type = "bert"
    layout = BERT_LAYOUT

    def knows(self, backbone: str) -> bool:
        return bool(_SHAPE.fullmatch(backbone))

    def hparams(self, backbone: str) -> Dict[str, Any]:
        shape = _SHAPE.fullmatch(backbone)
        if not shape:
            raise UsageError(f"no architecture {backbone!r}; a name is {self.form}")
        layers, units, heads = map(int, shape.groups())
        if not (layers and units and heads) or units % heads:
            raise UsageError(f"no architecture {backbone!r}: {units} units cannot be divided among {heads} heads")
        return {
            "num_layers": layers,
            "units": units,
            "hidden_size": _HIDDEN_SIZE.get(backbone, 4 * units),
            "max_length": 512,
            "num_heads": heads,
            "dropout": 0.1,
            "embed_size": units,
            "token_type_vocab_size": 2,
            "word_embed": None,
        }

    def are_hparams(self, backbone: str, hparams: Dict[str, Any]) -> bool:
        named = self.hparams(backbone)
        optional = {"activation": ("gelu", "approx_gelu", "relu"), "use_residual": (True, False)}
        sizes = ("num_layers", "units", "num_heads", "embed_size", "hidden_size", "max_length", "token_type_vocab_size")
        eps = hparams.get("layer_norm_eps", 0.5)
        return (
            set(named) <= set(hparams) <= set(named) | set(optional) | {"layer_norm_eps"}
            and all(hparams[key] in values for key, values in optional.items() if key in hparams)
            and type(eps) is float
            and _SMALLEST <= eps < 1
            and all(type(hparams[key]) is int and 0 < hparams[key] < 1 << 24 for key in sizes)
            and all(hparams[key] == named[key] for key in ("num_layers", "units", "num_heads", "embed_size"))
            and hparams["word_embed"] is None
            and is_dropout(hparams["dropout"])
        )

    def parameters(
        self, hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
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

    def build(self, backbone: str, vocab: BERTVocab, hparams: Dict[str, Any], use_pooler: bool) -> mx.gluon.Block:
        registry.add_backbone(backbone, self.hparams(backbone))
        net, _ = bert.get_bert_model(
            backbone,
            vocab=vocab,
            pretrained=False,
            use_pooler=use_pooler,
            use_decoder=False,
            use_classifier=False,
            hparam_allow_override=True,
            **hparams,
        )
        return net

    def read_config(self, config: Dict[str, Any], path: Any) -> Tuple[str, Dict[str, Any]]:
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise CheckpointError(
                f"{path}: position_embedding_type is {config['position_embedding_type']!r}; a plain BERT has 'absolute'"
            )
        for flag in ("is_decoder", "add_cross_attention"):
            if config.get(flag):
                raise CheckpointError(f"{path}: {flag} is set; only encoders can be imported")
        for key in ("vocab_size", *_SIZES):
            value = config.get(key)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 24:
                raise CheckpointError(f"{path}: {key} is {'missing' if value is None else repr(value)[:60]}")
        sizes = {ours: config[theirs] for theirs, ours in _SIZES.items()}
        if sizes["token_type_vocab_size"] < 2:
            raise CheckpointError(f"{path}: type_vocab_size is 1; a pair of sentences needs 2")
        activation = config.get("hidden_act", "gelu")
        if not isinstance(activation, str) or activation not in _ACTIVATIONS:
            raise CheckpointError(f"{path}: hidden_act {activation!r}; GluonNLP has {', '.join(sorted(_ACTIVATIONS))}")
        eps = config.get("layer_norm_eps", _EPS)
        if not isinstance(eps, float) or not _SMALLEST <= eps < 1:
            raise CheckpointError(f"{path}: layer_norm_eps is {eps!r}")
        backbone = f"bert_{sizes['num_layers']}_{sizes['units']}_{sizes['num_heads']}"
        try:
            hparams = {**self.hparams(backbone), **sizes}
        except UsageError as error:
            raise CheckpointError(f"{path}: {error}") from None
        if _ACTIVATIONS[activation] != "gelu":
            hparams["activation"] = _ACTIVATIONS[activation]
        if eps != _EPS:
            hparams["layer_norm_eps"] = eps
        return backbone, hparams

    def write_config(self, hparams: Dict[str, Any]) -> Dict[str, Any]:
        names = {"gelu": "gelu", "approx_gelu": "gelu_pytorch_tanh", "relu": "relu"}
        return {
            **{theirs: hparams[ours] for theirs, ours in _SIZES.items()},
            "hidden_act": names[hparams.get("activation", "gelu")],
            "layer_norm_eps": hparams.get("layer_norm_eps", _EPS),
            "hidden_dropout_prob": hparams["dropout"],
            "attention_probs_dropout_prob": hparams["dropout"],
        }


BERT = registry.family("bert")(BertFamily())


def is_dropout(value: Any) -> bool:
    """Whether `value` is a valid dropout rate."""
    return type(value) in (int, float) and (value == 0 or _SMALLEST <= value < 1)


def _encoder_mapping(hparams: Dict[str, Any], vocab_size: int) -> _Parameters:
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


def _dense(ours: str, theirs: str, shape: Tuple[int, ...]) -> _Parameters:
    yield f"{ours}.weight", (f"{theirs}.weight", shape)
    yield f"{ours}.bias", (f"{theirs}.bias", shape[:1])


def _layer_norm(ours: str, theirs: str, units: int) -> _Parameters:
    yield f"{ours}.gamma", (f"{theirs}.weight", (units,))
    yield f"{ours}.beta", (f"{theirs}.bias", (units,))


@registry.models_matching(_SHAPE)
def _bert(name: str) -> Callable[..., Any]:
    """A function that builds the architecture `name`, with the parameters of ``gluonnlp.model.bert_12_768_12``."""

    def build(dataset_name: Any = None, vocab: Any = None, **kwargs: Any) -> Any:
        registry.add_backbone(name, BERT.hparams(name))
        return bert.get_bert_model(name, dataset_name=dataset_name, vocab=vocab, **kwargs)

    build.__name__ = name
    return build


#: The small BERT of the *Dive into Deep Learning* chapter.
bert_2_256_4 = registry.model("bert_2_256_4")(_bert("bert_2_256_4"))
#: MiniLM (Wang et al., 2020).
bert_6_384_12 = registry.model("bert_6_384_12")(_bert("bert_6_384_12"))


@registry.at_activation
def _register() -> None:
    for name in ("bert_2_256_4", "bert_6_384_12"):
        registry.add_backbone(name, BERT.hparams(name))
