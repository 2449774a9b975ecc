"""What a backbone is, read off its blocks: for whatever computes it without them."""

from typing import Any, Dict, List

import mxnet as mx
from gluonnlp.model import BERTModel, DistilBERTModel, RoBERTaModel
from gluonnlp.model.bert import BERTEncoder, BERTEncoderCell, DotProductSelfAttentionCell
from gluonnlp.model.block import GELU
from gluonnlp.model.transformer import PositionwiseFFN
from mxnet.gluon import nn

from .first_token import FirstTokenAttention, FirstTokenCell

MODELS = (BERTModel, RoBERTaModel, DistilBERTModel)
_PARTS = {*MODELS, BERTEncoder, BERTEncoderCell, DotProductSelfAttentionCell, FirstTokenCell, FirstTokenAttention}
_PARTS |= {PositionwiseFFN, GELU, nn.Activation, nn.Dense, nn.Dropout, nn.Embedding, nn.LayerNorm, nn.HybridSequential}


class UnknownNet(Exception):
    """A net has parts that only MXNet computes; the message names them, and goes before "is not …"."""


def parts_of(block: mx.gluon.Block) -> List[Any]:
    """All blocks and parameters of which a block consists: it is the same net as long as they are the same."""
    found: List[Any] = list(block._reg_params.values())
    for child in block._children.values():
        found.append(child)
        found += parts_of(child)
    return found


def hyperparameters_of(model: BERTModel) -> Dict[str, Any]:
    """The hyper-parameters of a backbone by GluonNLP's names.

    Parameters
    ----------
    model : gluonnlp.model.BERTModel, RoBERTaModel or DistilBERTModel
        With the layers it was made with, not those of :func:`gluonnlp_snli_plugin.native.accelerate`.

    Returns
    -------
    dict
        num_layers, units, num_heads, dropout, activation ('gelu', 'approx_gelu' or 'relu') and layer_norm_eps.

    Raises
    ------
    UnknownNet
        If it has other parts, or computes something else besides.
    """
    for part in (model, *parts_of(model)):
        if isinstance(part, mx.gluon.Block) and type(part) not in _PARTS:
            raise UnknownNet(f"a backbone with a {type(part).__name__} inside")
    encoder, cell = model.encoder, model.encoder.transformer_cells[0]
    if encoder._output_attention or encoder._output_all_encodings:
        raise UnknownNet("a backbone that returns attention weights, or all layers' encodings,")
    if not cell.attention_cell._use_bias:
        raise UnknownNet("a backbone whose attention has no biases")
    embeddings = [model.word_embed, *([model.token_type_embed] if model._use_token_type_embed else [])]
    if any([type(layer) for layer in embedding] != [nn.Embedding] for embedding in embeddings):
        raise UnknownNet("a backbone with its own embedding layers")
    rates = {part._rate for part in parts_of(encoder) if isinstance(part, nn.Dropout)}
    if not rates <= {encoder._dropout or 0.0}:
        raise UnknownNet("a backbone whose layers have several dropout rates")
    return {
        "num_layers": len(encoder.transformer_cells),
        "units": encoder._units,
        "num_heads": cell.attention_cell._num_heads,
        "dropout": encoder._dropout,
        "activation": _activation(cell.ffn.activation),
        "layer_norm_eps": encoder._layer_norm_eps,
    }


def _activation(block: Any) -> str:
    if isinstance(block, GELU):
        return "approx_gelu" if block._approximate else "gelu"
    if block._act_type != "relu":
        raise UnknownNet(f"a backbone with the activation {block._act_type}")
    return "relu"
