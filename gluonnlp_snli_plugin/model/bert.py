"""BERT: any ``bert_L_H_A`` (layers, units, attention heads)."""

from typing import Any, Dict

from .. import registry
from ..data.layout import BERT_LAYOUT
from ..errors import CheckpointError
from .encoder_family import EncoderFamily, register
from .parameter_names import BERT_LAYER, HostClassifier, HuggingFaceNames, Parameters, dense, layer_norm

_HIDDEN_SIZE = {"bert_2_256_4": 512}  # as in the D2L chapter; otherwise four times the units, as in the BERT paper


class BertFamily(EncoderFamily):
    """BERT (Devlin et al., 2018) as ``gluonnlp.model.BERTModel`` computes it; a :class:`.family.Family`."""

    name = "bert"
    example = "bert_12_768_12"
    model_type = "bert"
    layout = BERT_LAYOUT
    parts = ("pooler", "decoder", "classifier")
    own_head = "pooled"
    host_classifier = HostClassifier("BERTClassifier", "bert", "pooled", 0.1, {"classifier.1": "classifier.1"})
    huggingface = HuggingFaceNames(
        classifier="BertForSequenceClassification",
        head=("pooler.dense", "classifier"),
        prefix="bert.",
        layer=BERT_LAYER,
        parts={"pooler": "pooler.", "decoder": "cls.predictions.", "classifier": "cls.seq_relationship."},
        tied={
            "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        head_dropout="classifier_dropout",
        dropout="hidden_dropout_prob",
        attention_dropout="attention_probs_dropout_prob",
        activation="hidden_act",
        fits_deberta=True,
    )
    sizes = {
        "num_hidden_layers": "num_layers",
        "hidden_size": "units",
        "num_attention_heads": "num_heads",
        "intermediate_size": "hidden_size",
        "max_position_embeddings": "max_length",
        "type_vocab_size": "token_type_vocab_size",
    }

    def hparams(self, backbone: str) -> Dict[str, Any]:
        named = super().hparams(backbone)
        return {**named, "hidden_size": _HIDDEN_SIZE.get(backbone, named["hidden_size"])}

    def usual_hparams(self) -> Dict[str, Any]:
        return {"token_type_vocab_size": 2}

    def part(self, part: str, hparams: Dict[str, Any], vocab_size: int) -> Parameters:
        units = hparams["units"]
        if part == "pooler":
            yield from dense("pooler", "pooler.dense", (units, units))
        elif part == "decoder":
            yield from dense("decoder.0", "cls.predictions.transform.dense", (units, units))
            yield from layer_norm("decoder.2", "cls.predictions.transform.LayerNorm", units)
            yield "decoder.3.bias", ("cls.predictions.bias", (vocab_size,))
        elif part == "classifier":
            yield from dense("classifier", "cls.seq_relationship", (2, units))
        else:
            yield from super().part(part, hparams, vocab_size)

    def sizes_in(self, config: Dict[str, Any], sizes: Dict[str, int], path: Any) -> Dict[str, int]:
        if sizes["token_type_vocab_size"] < 2:
            raise CheckpointError(f"{path}: type_vocab_size is 1; a pair of sentences needs 2")
        return sizes


BERT = register(BertFamily())

#: The small BERT of the *Dive into Deep Learning* chapter.
bert_2_256_4 = registry.model("bert_2_256_4")(BERT.function("bert_2_256_4"))
#: MiniLM (Wang et al., 2020).
bert_6_384_12 = registry.model("bert_6_384_12")(BERT.function("bert_6_384_12"))


@registry.at_activation
def _register() -> None:
    for name in ("bert_2_256_4", "bert_6_384_12"):
        registry.add_backbone(name, BERT.hparams(name))
