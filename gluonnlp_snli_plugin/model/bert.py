"""BERT architectures by name: any ``bert_L_H_A`` (layers, units, attention heads)."""

import re

from gluonnlp.model import bert

from .. import registry
from ..errors import UsageError

_SHAPE = re.compile(r"bert_([0-9]{1,4})_([0-9]{1,6})_([0-9]{1,6})")  # more than that no machine holds
_SMALLEST = 1e-30  # of the numbers that MXNet can read in a net's description
_HIDDEN_SIZE = {"bert_2_256_4": 512}  # the chapter's; elsewhere it is four times the units, as in the BERT paper


def bert_hparams(name):
    """Hyper-parameters of a BERT architecture, in the form of ``gluonnlp.model.bert.bert_hparams``.

    Parameters
    ----------
    name : str
        ``bert_L_H_A``, for example 'bert_6_384_12'.

    Returns
    -------
    dict

    Raises
    ------
    UsageError
        If the name is no such shape, or the units cannot be divided among the heads.
    """
    shape = _SHAPE.fullmatch(name)
    if not shape:
        raise UsageError(f"no BERT architecture {name!r}; a name is bert_LAYERS_UNITS_HEADS, such as bert_12_768_12")
    layers, units, heads = map(int, shape.groups())
    if not (layers and units and heads) or units % heads:
        raise UsageError(f"no BERT architecture {name!r}: {units} units cannot be divided among {heads} heads")
    return {
        "num_layers": layers,
        "units": units,
        "hidden_size": _HIDDEN_SIZE.get(name, 4 * units),
        "max_length": 512,
        "num_heads": heads,
        "dropout": 0.1,
        "embed_size": units,
        "token_type_vocab_size": 2,
        "word_embed": None,
    }


def are_hparams(name, hparams):
    """Whether what a file says can be all the hyper-parameters of the architecture `name`.

    Raises
    ------
    UsageError
        If there is no such architecture.
    """
    named = bert_hparams(name)
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


def is_dropout(value):
    """Whether `value` can be a share of numbers to drop."""
    return type(value) in (int, float) and (value == 0 or _SMALLEST <= value < 1)


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


@registry.models_matching(_SHAPE)
def _bert(name):
    """A function that builds the architecture `name`, with the parameters of ``gluonnlp.model.bert_12_768_12``."""

    def build(dataset_name=None, vocab=None, **kwargs):
        registry.add_backbone(name, bert_hparams(name))
        return bert.get_bert_model(name, dataset_name=dataset_name, vocab=vocab, **kwargs)

    build.__name__ = name
    return build


#: The small BERT of the *Dive into Deep Learning* chapter.
bert_2_256_4 = registry.model("bert_2_256_4")(_bert("bert_2_256_4"))
#: MiniLM (Wang et al., 2020).
bert_6_384_12 = registry.model("bert_6_384_12")(_bert("bert_6_384_12"))


@registry.at_activation
def _register():
    for name in ("bert_2_256_4", "bert_6_384_12"):
        registry.add_backbone(name, bert_hparams(name))
