"""DistilBERT: any ``distilbert_L_H_A`` (layers, units, attention heads)."""

import functools
import os
from typing import Any, Callable, Dict, Optional, Tuple

import gluonnlp as nlp
import mxnet as mx
from gluonnlp.model import bert
from gluonnlp.vocab import Vocab

from .. import registry
from ..data.layout import BERT_LAYOUT
from ..errors import UsageError
from .encoder_family import OPEN_TO_CALLERS, EncoderFamily, register
from .parameter_names import HuggingFaceNames, LayerNames

_GLUONNLPS = "distilbert_6_768_12"  # the only one that GluonNLP builds


class DistilBertFamily(EncoderFamily):
    """DistilBERT (Sanh et al., 2019) as ``gluonnlp.model.DistilBERTModel`` computes it; a :class:`.family.Family`."""

    name = "distilbert"
    example = _GLUONNLPS
    model_type = "distilbert"
    layout = BERT_LAYOUT._replace(has_segments=False)
    builder = (__name__, "get_distilbert_model")
    huggingface = HuggingFaceNames(
        classifier="DistilBertForSequenceClassification",
        head=("pre_classifier", "classifier"),
        prefix="distilbert.",
        layer=LayerNames(
            "transformer.layer.",
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "sa_layer_norm",
            "ffn.lin1",
            "ffn.lin2",
            "output_layer_norm",
        ),
        parts={"decoder": "vocab_"},
        tied={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
        head_dropout="seq_classif_dropout",
        dropout="dropout",
        attention_dropout="attention_dropout",
        activation="activation",
    )
    sizes = {
        "n_layers": "num_layers",
        "dim": "units",
        "n_heads": "num_heads",
        "hidden_dim": "hidden_size",
        "max_position_embeddings": "max_length",
    }

    def hparams(self, backbone: str) -> Dict[str, Any]:
        named = super().hparams(backbone)
        return {**named, "layer_norm_eps": 1e-5} if backbone == _GLUONNLPS else named  # as GluonNLP computes it

    def eps_in(self, config: Dict[str, Any]) -> Any:
        return self.layer_norm_eps  # no config.json says another

    def write_config(self, hparams: Dict[str, Any], pad_id: int) -> Dict[str, Any]:
        if hparams["layer_norm_eps"] != self.layer_norm_eps:
            raise UsageError(
                f"layer_norm_eps is {hparams['layer_norm_eps']}; transformers' DistilBERT has {self.layer_norm_eps}: "
                "--format onnx takes any"
            )
        config = super().write_config(hparams, pad_id)
        del config["layer_norm_eps"]
        return {**config, "sinusoidal_pos_embds": False, "pad_token_id": pad_id}


DISTILBERT = register(DistilBertFamily())


def get_distilbert_model(
    model_name: str,
    dataset_name: Optional[str] = None,
    vocab: Optional[Vocab] = None,
    pretrained: bool = True,
    ctx: Any = mx.cpu(),  # noqa: B008  # as GluonNLP's functions
    root: Optional[str] = None,
    hparam_allow_override: bool = False,
    **kwargs: Any,
) -> Tuple[nlp.model.DistilBERTModel, Vocab]:
    """A DistilBERT of any shape, with the parameters of ``gluonnlp.model.bert.get_roberta_model``.

    Raises
    ------
    UsageError
        If there is no such architecture, or a hyper-parameter is given that it determines.
    """
    hparams = DISTILBERT.hparams(model_name)
    determined = sorted((set(hparams) - OPEN_TO_CALLERS) & set(kwargs))
    if determined and not hparam_allow_override:
        raise UsageError(
            f"{model_name} determines {' and '.join(determined)}: omit {'them' if determined[1:] else 'it'}, or give "
            "hparam_allow_override=True"
        )
    root = root or os.path.join(nlp.base.get_home_dir(), "models")
    net, vocab = bert.distilbert_6_768_12(
        dataset_name, vocab, pretrained=False, ctx=ctx, root=root, hparam_allow_override=True, **{**hparams, **kwargs}
    )
    if pretrained:
        bert._load_pretrained_params(net, model_name, dataset_name, root, ctx)
    return net, vocab


@registry.replacement("gluonnlp.model", _GLUONNLPS)
def _distilbert_6_768_12(original: Callable[..., Any]) -> Callable[..., Any]:
    """GluonNLP's own function, with the local store; its default `dataset_name` does not name a vocabulary."""

    @functools.wraps(original)
    def distilbert_6_768_12(dataset_name: Any = None, vocab: Any = None, **kwargs: Any) -> Any:
        return get_distilbert_model(_GLUONNLPS, dataset_name=dataset_name, vocab=vocab, **kwargs)

    return distilbert_6_768_12
